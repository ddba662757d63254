# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All objects of one resource, at every point of its history that isn't compacted yet."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from .records import Record

_CACHED_LISTINGS = 8


class CompactedError(Exception):
    """The history that the question needs is forgotten; ``oldest`` is the first resourceVersion still known."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Change:
    """``type`` is ADDED, MODIFIED or DELETED. A deletion's record is the last version, with the deletion's number."""

    type: str
    record: Record
    previous: Record | None

    @property
    def resource_version(self) -> int:
        return self.record.resource_version


class Listing:
    """The records of a collection at one point, in the order of their keys."""

    def __init__(self, records: dict[str, Record]) -> None:
        self._records = records

    @cached_property
    def _keys(self) -> list[str]:
        return sorted(self._records)

    @cached_property
    def ordered(self) -> list[Record]:
        return [self._records[key] for key in self._keys]

    def span(self, namespace: str, start: str) -> range:
        """The positions in ``ordered`` from the key ``start`` on; of one namespace, or of all when it is empty."""
        lower = max(start, f"{namespace}/") if namespace else start
        first = bisect_left(self._keys, lower)
        last = bisect_left(self._keys, f"{namespace}0") if namespace else len(self._keys)
        return range(first, max(first, last))


class Collection:
    """Not safe for threads by itself: the store holds its lock around every call."""

    def __init__(self, history: int) -> None:
        self.records: dict[str, Record] = {}
        self._changes: deque[Change] = deque()
        self._kept = history
        self._compacted = 0
        self._listings: OrderedDict[int, Listing] = OrderedDict()

    def record_change(self, change: Change) -> None:
        if change.type == "DELETED":
            del self.records[change.record.key]
        else:
            self.records[change.record.key] = change.record
        self._changes.append(change)
        while len(self._changes) > self._kept:
            self._compacted = self._changes.popleft().resource_version

    def compact(self, resource_version: int) -> None:
        while self._changes and self._changes[0].resource_version <= resource_version:
            self._changes.popleft()
        self._compacted = max(self._compacted, resource_version)
        self._listings.clear()

    def at(self, resource_version: int) -> Listing:
        """The listing as it was when the counter stood there."""
        self._require_known(resource_version)
        later = list(self._changes_after(resource_version))
        point = self._last_change() if not later else self._change_before(later[-1])
        if point not in self._listings:
            self._listings[point] = Listing(self._undone(later))
        self._listings.move_to_end(point)
        while len(self._listings) > _CACHED_LISTINGS:
            self._listings.popitem(last=False)
        return self._listings[point]

    def changes_since(self, resource_version: int) -> list[Change]:
        self._require_known(resource_version)
        return list(reversed(list(self._changes_after(resource_version))))

    def _require_known(self, resource_version: int) -> None:
        if resource_version < self._compacted:
            raise CompactedError(resource_version, self._compacted)

    def _changes_after(self, resource_version: int) -> Iterator[Change]:
        """Newest first, so that a question about now costs nothing."""
        for change in reversed(self._changes):
            if change.resource_version <= resource_version:
                return
            yield change

    def _last_change(self) -> int:
        return self._changes[-1].resource_version if self._changes else self._compacted

    def _change_before(self, change: Change) -> int:
        """Names the state that this change ended: states between two changes are one."""
        return -change.resource_version

    def _undone(self, newest_first: list[Change]) -> dict[str, Record]:
        records = dict(self.records)
        for change in newest_first:
            if change.previous is None:
                del records[change.record.key]
            else:
                records[change.record.key] = change.previous
        return records
