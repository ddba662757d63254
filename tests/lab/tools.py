# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tools of a bare node: a directory of links that is its whole PATH. No Python in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from .netns import LabError
from .spec import Variant

# Where they are looked for: this machine's directories, whatever the PATH of who starts the lab.
_WHERE = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ESSENTIAL = """
sh bash sudo gzip gunzip zcat awk sed grep egrep fgrep find xargs diff cmp flock setsid logger hostname mount umount
mountpoint ps pkill pgrep kill ip ss ipset conntrack sysctl
[ base64 basename cat chgrp chmod chown comm cp cut date dd df dirname du echo env expr false head id install join ln
ls md5sum mkdir mkfifo mktemp mv nice nl nohup nproc od paste printenv printf pwd readlink realpath rm rmdir seq
sha256sum shred sleep sort split stat stty sync tac tail tee test timeout touch tr true truncate tty uname uniq
wc whoami yes
""".split()  # noqa: SIM905 (ninety quoted strings read worse)
_BOTH = ("", "-save", "-restore")


def populate(directory: Path, alternative: Variant) -> None:
    """Fill the empty directory with links.

    ``alternative`` is what the plain names ``iptables…`` run. Raises :class:`lab.netns.LabError` when this machine
    lacks one of the tools.
    """
    for name in _ESSENTIAL:
        (directory / name).symlink_to(_find(name))
    for family in ("iptables", "ip6tables"):
        for suffix in _BOTH:
            for variant in ("nft", "legacy"):
                name = f"{family}-{variant}{suffix}"
                (directory / name).symlink_to(_find(name))
            (directory / f"{family}{suffix}").symlink_to(_find(f"{family}-{alternative}{suffix}"))


def _find(name: str) -> str:
    found = shutil.which(name, path=_WHERE)
    if found is None:
        raise LabError(f"this machine has no {name}, which a node of the lab needs")
    return found


def missing() -> list[str]:
    """What this machine lacks for a lab, sorted; for the reason of a skipped test."""
    outside = ["ip", "nsenter", "unshare", "nft", "sshd", "ssh", "ssh-keygen", "busybox", "dash"]
    names = [
        *_ESSENTIAL,
        *outside,
        *(f"{each}-{variant}" for each in ("iptables", "ip6tables") for variant in ("nft", "legacy")),
    ]
    return sorted(name for name in names if shutil.which(name, path=_WHERE) is None)
