# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Failures that tests ask the server for, each for the requests that it names."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

EXEC_KINDS = ("exec-cut", "exec-close", "exec-reset", "exec-stall")
DENIALS = ("webhook", "quota")
KINDS = (
    *("status", "cut", "hangup", "truncate", "expire", "delay", "stale", "mutate", "certificate", "line", "end"),
    *EXEC_KINDS,
    *DENIALS,
)
CERTIFICATES = ("other-ca", "wrong-host", "expired")


@dataclass(frozen=True, slots=True)
class Fault:
    """README.md says what each kind does and which fields it reads.

    ``skip``: how many requests that it matches go by before it begins. ``times`` None: until it is cleared.
    """

    kind: str
    resource: str = "*"
    verb: str = "*"
    page: int | None = None
    skip: int = 0
    times: int | None = None
    code: int = 500
    message: str = ""
    retry_after: int | None = None
    seconds: float = 0.0
    after_bytes: int = 0
    resource_version: int | None = None
    certificate: str = ""
    apply: tuple[Mapping[str, Any], ...] = ()
    remove: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"fault kind {self.kind!r}: not one of {', '.join(KINDS)}")
        if self.kind == "certificate" and self.certificate not in CERTIFICATES:
            raise ValueError(f"fault certificate {self.certificate!r}: not one of {', '.join(CERTIFICATES)}")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """ValueError for a field that isn't one."""
        if unknown := set(data) - {each.name for each in fields(cls)}:
            raise ValueError(f"fault: unknown field {', '.join(sorted(unknown))}")
        lists = {name: tuple(data[name]) for name in ("apply", "remove") if name in data}
        return cls(**(dict(data) | lists))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def matches(self, verb: str, resource: str, page: int | None) -> bool:
        return (
            self.kind != "certificate"
            and (self.kind not in EXEC_KINDS or resource == "pods/exec")
            and (self.kind not in DENIALS or verb == "create" or resource == "pods/exec")
            and self.verb in {"*", verb}
            and self.resource in {"*", resource}
            and self.page in {None, page}
            and (self.kind != "expire" or (page or 1) > 1)
        )


@dataclass(slots=True)
class _Active:
    number: int
    fault: Fault
    hits: int = field(default=0)
    skipped: int = field(default=0)

    def is_spent(self) -> bool:
        return self.fault.times is not None and self.hits >= self.fault.times


class Faults:
    """The faults in force, in the order they were added; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[_Active] = []
        self._count = 0

    def add(self, fault: Fault) -> int:
        with self._lock:
            self._count += 1
            self._active.append(_Active(self._count, fault))
            return self._count

    def clear(self, number: int | None = None) -> None:
        """Take one fault back, or all."""
        with self._lock:
            self._active = [each for each in self._active if number not in {None, each.number}]

    def hits(self, number: int) -> int:
        with self._lock:
            return next(each.hits for each in self._active if each.number == number)

    def take(self, verb: str, resource: str, page: int | None) -> Fault | None:
        """The fault that this request meets, counted as a hit."""
        with self._lock:
            for each in self._active:
                if each.is_spent() or not each.fault.matches(verb, resource, page):
                    continue
                if each.skipped < each.fault.skip:
                    each.skipped += 1
                    continue
                each.hits += 1
                return each.fault
            return None

    def take_certificate(self) -> str:
        """Which certificate a new connection meets; "" for the right one."""
        with self._lock:
            for each in self._active:
                if each.fault.kind == "certificate" and not each.is_spent():
                    each.hits += 1
                    return each.fault.certificate
            return ""

    def to_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [{"id": each.number, "hits": each.hits, "fault": each.fault.to_json()} for each in self._active]
