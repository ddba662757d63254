# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The snapshot file: written whole or not at all, and readable by its owner only."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import whole_file
from ..model.snapshot import Snapshot, dump, load


def write(snapshot: Snapshot, path: Path) -> str:
    """Put the snapshot at ``path``, whole or not at all; returns its id. Raises :class:`OSError`."""
    content = dump(snapshot).encode()
    whole_file.write(path, content)
    # What snapshot.id is too, without spelling the cluster out a second time.
    return hashlib.sha256(content).hexdigest()


def read(path: Path) -> Snapshot:
    """Read a snapshot file.

    Raises :class:`OSError`, or :class:`SnapshotFormatError` of the model.
    """
    return read_with_id(path)[0]


def read_with_id(path: Path) -> tuple[Snapshot, str]:
    """The same, and the id that :func:`write` returned for it, which takes no second look at the cluster."""
    content = path.read_bytes()
    return load(content.decode()), hashlib.sha256(content).hexdigest()
