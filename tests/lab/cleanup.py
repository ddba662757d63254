# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removing a lab, whoever made it and however that ended: from the namespaces' names and the directory alone."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

from . import netns

DIRECTORY = Path("/run/npm-netpol-lab")


def known() -> list[str]:
    """The ids of all labs of which something is left."""
    found = {name.split("-")[1] for name in netns.existing("npml-")}
    if DIRECTORY.is_dir():
        found |= {entry.name for entry in DIRECTORY.iterdir()}
    return sorted(found)


def remove(lab_id: str) -> None:
    """Remove all that there is of the lab; nothing there is no error."""
    # A pod may have been coming into being while we looked: again, until there is none.
    while names := netns.existing(netns.prefix(lab_id)):
        netns.end_processes(names)
        netns.delete(names)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(DIRECTORY / lab_id)
    # The last one out; another lab may be coming in.
    with contextlib.suppress(OSError):
        DIRECTORY.rmdir()


def make_directory(lab_id: str) -> None:
    """The lab's own, for root only."""
    while True:
        DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        # Another lab that goes down may take the directory above away in between.
        with contextlib.suppress(FileNotFoundError):
            (DIRECTORY / lab_id).mkdir(mode=0o700)
            return


def start_watchdog(lab_id: str) -> subprocess.Popen[bytes]:
    """A process that removes the lab when the caller's end of the pipe closes: when we end, even by kill -9.

    Closing its ``stdin`` after writing a byte ends it without removing anything.
    """
    command = [sys.executable, "-m", "lab.cleanup", lab_id]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    )


def dismiss(watchdog: subprocess.Popen[bytes]) -> None:
    watchdog.communicate(b"x")


if __name__ == "__main__":
    if not sys.stdin.buffer.read():
        remove(sys.argv[1])
