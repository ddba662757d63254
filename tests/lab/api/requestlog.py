# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every request that the server answered, for tests that count and look."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """``identity`` is "" for a request without a known token; ``fault`` the kind that it met, or ""."""

    method: str
    path: str
    query: Mapping[str, str]
    verb: str
    resource: str
    identity: str
    user_agent: str
    accept: str
    code: int
    bytes_sent: int
    fault: str = ""
    impersonate_user: str = ""
    impersonate_groups: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"query": dict(self.query)}


class RequestLog:
    """In the order of the answers; safe for threads.

    The records have the bytes of answers that were made at once; ``streamed`` has those of all watches together.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []
        self.streamed = 0

    def add(self, record: RequestRecord) -> None:
        with self._lock:
            self._records.append(record)

    def add_streamed(self, count: int) -> None:
        with self._lock:
            self.streamed += count

    def all(self) -> list[RequestRecord]:
        with self._lock:
            return list(self._records)

    def count(self, verb: str = "", resource: str = "") -> int:
        return sum(verb in {"", each.verb} and resource in {"", each.resource} for each in self.all())

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self.streamed = 0
