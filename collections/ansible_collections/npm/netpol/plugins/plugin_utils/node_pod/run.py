# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the processes of one Ansible run share: who the run is, and which helper pods it has.

Ansible runs every task in a process of its own, which ends with the task. All of them know the directory for temporary
files that the main process made for the run (a random name, removed when the run ends): what they share is in there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_DIRECTORY = "npm-netpol-node-pod"


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper pod that was seen running. ``fresh_until`` (seconds since the epoch): then it is time for the next one.

    ``doubtful``: it has to be looked at before it is used again.
    """

    name: str
    generation: int
    fresh_until: float
    doubtful: bool = False


class Run:
    """A run of Ansible. ``id`` is random, and the same in all of its processes."""

    def __init__(self, temporary: Path) -> None:
        self._directory = temporary / _DIRECTORY
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self.is_first("id", secrets.token_hex(16))
        self.id = (self._directory / "id").read_text(encoding="ascii")

    def is_first(self, name: str, text: str = "") -> bool:
        """Whether no other process of the run has said this ``name``; the first one's ``text`` is kept."""
        own = self._write(text)
        try:
            # Unlike the creation of a file, a link appears with its content.
            os.link(own, self._directory / name)
        except FileExistsError:
            return False
        finally:
            own.unlink()
        return True

    def helper(self, key: str) -> Helper | None:
        """What was last noted of a node's helper pod."""
        try:
            return Helper(**json.loads((self._directory / f"{key}.json").read_text(encoding="ascii")))
        except FileNotFoundError:
            return None

    def note(self, key: str, helper: Helper) -> None:
        self._write(json.dumps(asdict(helper))).replace(self._directory / f"{key}.json")

    def forget(self, key: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self._directory / f"{key}.json").unlink()

    def _write(self, text: str) -> Path:
        path = self._directory / f"{os.getpid()}-{secrets.token_hex(4)}.new"
        path.write_text(text, encoding="ascii")
        return path


def digest_of(*told: Mapping[str, Any] | str) -> str:
    """A short name for what is told; nothing of it can be read from the name."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]
