# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The places and the environment that the tools share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections/ansible_collections/npm/netpol"
CACHE = ROOT / ".cache"
# Of the virtual environment, whose interpreter runs this.
SCRIPTS = Path(sys.executable).parent

# A developer's own settings must not decide what a test sees.
_FOREIGN = ("ANSIBLE_", "K8S_AUTH_", "KUBECONFIG", "MOLECULE_", "PYTEST_ADDOPTS", "PYTHONPATH", "PYTHONHOME")


def environment(**added: str) -> dict[str, str]:
    """This process's environment for a tool of ours: the virtual environment first, nobody's Ansible settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = os.pathsep.join([str(SCRIPTS), kept.get("PATH", os.defpath)])
    return kept | {"PATH": path, "PYTHONPATH": str(ROOT / "tests")} | added


def tracked_files(directory: Path) -> list[Path]:
    """What git knows in ``directory``, and what it would take in; sorted, relative to it. No deleted files."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = sorted({Path(name) for name in listed.split("\0") if name})
    return [path for path in paths if (directory / path).is_symlink() or (directory / path).is_file()]


def copy_tree(source: Path, target: Path) -> None:
    """Copy what :func:`tracked_files` finds into ``target``, a new or empty directory; links stay links."""
    for path in tracked_files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path, follow_symlinks=False)
