# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make it, and those above it that are missing, for their owner alone (mode 0700). Raises :class:`OSError`."""
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def write(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` (mode 0600), in the place of a file that may be there.

    Directories that are missing are made (mode 0700). A reader sees the old file or the new one, never a part.
    Raises :class:`OSError`.
    """
    make_directory(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
