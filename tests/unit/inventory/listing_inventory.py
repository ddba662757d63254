# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ansible-inventory printed, and the type of what runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Listed:
    """What ``ansible-inventory --list`` printed; ``words`` is standard error, on one line."""

    code: int
    output: str
    words: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.output)
        return document

    def variables(self, host: str) -> dict[str, Any]:
        variables: dict[str, Any] = self.document["_meta"]["hostvars"][host]
        return variables

    def group(self, name: str) -> list[str]:
        return sorted(self.document.get(name, {}).get("hosts", []))

    @property
    def groups(self) -> set[str]:
        return self.document.keys() - {"_meta", "all", "ungrouped"}


List = Callable[..., Listed]
