# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container's root directory, made of an image and the pod's volumes, in a mount namespace copied from the node's."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from . import linux

# Made by the node at its start; nothing is left in it.
WORKPLACE = "/run/lab/containers"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def enter(spec: dict[str, Any]) -> None:
    """The caller, in the node's namespaces and a mount namespace of its own, has the container's root from now on."""
    linux.mount("none", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", WORKPLACE, "tmpfs", data="size=64m,mode=0755")
    # So that a volume of the node's root does not have the container's root in it.
    linux.mount("none", WORKPLACE, flags=linux.MS_UNBINDABLE)
    root = Path(WORKPLACE)
    _unpack(root, spec["image"])
    for name in ("dev", "etc", "proc", "sys", "tmp", "root", "var"):
        (root / name).mkdir(exist_ok=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
    (root / "etc" / "group").write_text("root:x:0:\nnobody:x:65534:\n")
    (root / "etc" / "hostname").write_text(f"{os.uname().nodename}\n")
    linux.mount("proc", f"{root}/proc", "proc")
    linux.mount("sysfs", f"{root}/sys", "sysfs", 0 if spec["privileged"] else linux.MS_RDONLY)
    _make_devices(root / "dev", every=spec["privileged"])
    for volume in spec["mounts"]:
        _mount(root, volume)
    if spec["read_only"]:
        linux.mount("none", str(root), flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)
    linux.pivot_root(str(root))


def _unpack(root: Path, image: dict[str, Any]) -> None:
    for path, source in image["files"].items():
        target = _below(root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    for path, text in image["links"].items():
        _below(root, path).symlink_to(text)


def _make_devices(directory: Path, *, every: bool) -> None:
    if every:
        linux.mount("/dev", str(directory), flags=linux.MS_BIND | linux.MS_REC)
        return
    linux.mount("tmpfs", str(directory), "tmpfs", linux.MS_NOSUID, "mode=0755,size=64k")
    for name in _DEVICES:
        (directory / name).touch()
        linux.mount(f"/dev/{name}", str(directory / name), flags=linux.MS_BIND)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (directory / name).symlink_to(f"/proc/self/fd/{number}")


def _mount(root: Path, volume: dict[str, Any]) -> None:
    """``source``: a path of the node; without one the volume is empty."""
    target = _below(root, volume["path"])
    source = volume.get("source")
    if source and not Path(source).is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    else:
        target.mkdir(parents=True, exist_ok=True)
    if not source:
        linux.mount("tmpfs", str(target), "tmpfs", data="mode=0777,size=64m")
        return
    linux.mount(source, str(target), flags=linux.MS_BIND | linux.MS_REC)
    if volume.get("read_only"):
        linux.mount("none", str(target), flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
