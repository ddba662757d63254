# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images that the lab's registry has: what of this machine's programs is in each, as a container sees them."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_WHERE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LIBRARY = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x")

# No nsenter, and no busybox that has one inside.
_PLAIN = """
sh awk base64 basename cat chmod chroot cp cut date dd dirname du echo env expr false grep gzip head id ln ls md5sum
mkdir mktemp mv od printf pwd readlink rm rmdir sed seq sha256sum sleep sort stat stty tail tee test timeout touch tr
true tty uname wc
""".split()  # noqa: SIM905 (so many quoted strings read worse)


@dataclass(frozen=True, slots=True)
class Image:
    """``files``: path in the image to path on this machine; ``links``: path in the image to what it says."""

    files: dict[str, str]
    links: dict[str, str]
    entrypoint: tuple[str, ...] = ("/bin/sh",)


@functools.cache
def busybox() -> Image:
    """As the official one: everything is one program, nsenter and chroot among it."""
    program = _find("busybox")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    links = {f"/bin/{name}": "busybox" for name in listed if name != "busybox"}
    return Image({"/bin/busybox": program, **_libraries([program])}, links)


@functools.cache
def plain() -> Image:
    """A shell and the common tools, without nsenter."""
    programs = {f"/bin/{name}": _find(name) for name in _PLAIN}
    return Image({**programs, **_libraries(programs.values())}, {})


KINDS = {"busybox": busybox, "plain": plain}


def _find(name: str) -> str:
    found = shutil.which(name, path=_WHERE)
    if found is None:
        raise FileNotFoundError(f"this machine has no {name}, which an image of the lab needs")
    return str(Path(found).resolve())


def _libraries(programs: Iterable[str]) -> dict[str, str]:
    """The shared libraries of the programs, and what loads them."""
    # A static program has none, which ldd calls a failure.
    done = subprocess.run(["ldd", *sorted(set(programs))], capture_output=True, text=True, check=False)
    return {path: str(Path(path).resolve()) for path in _LIBRARY.findall(done.stdout)}
