# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches: the changes of a resource as a stream of events, one JSON document a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from . import errors
from .collection import Change, CompactedError
from .paging import ListOptions
from .resources import Resource
from .store import Store

_LONGEST_SECONDS = 1800
_LOOK_AROUND_SECONDS = 0.5
_LAST_BOOKMARK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Watch:
    """``wanted``: whether to go on. ``bookmark_seconds``: how long nothing may be said before a bookmark comes."""

    store: Store
    resource: Resource
    namespace: str
    options: ListOptions
    bookmark_seconds: float
    wanted: Callable[[], bool]

    def lines(self) -> Iterator[bytes]:
        """Until the time is up or nobody wants more; ends with an ERROR event when the history is forgotten.

        Without a resourceVersion (or with 0) every object there is comes first, as ADDED. Bookmarks come only where
        they are asked for: when nothing was said for long, two seconds before the time is up, and as the last line.
        """
        deadline = time.monotonic() + (self.options.timeout_seconds or _LONGEST_SECONDS)
        seen = yield from self._beginning()
        quiet_since = time.monotonic()
        # As a real server, which sends none early on a watch that is too short for it.
        early = deadline - _LAST_BOOKMARK_SECONDS
        planned = early if early > quiet_since else deadline
        while self.wanted():
            try:
                newest, changes = self.store.changes_since(self.resource, seen)
            except CompactedError as error:
                yield _event("ERROR", json.dumps(errors.expired(str(error)).status()).encode())
                return
            for line in filter(None, map(self._line, changes)):
                yield line
                quiet_since = time.monotonic()
            # A watch may start in the future: nothing is known about the time until then.
            seen = max(seen, newest)
            now = time.monotonic()
            if self.options.bookmarks and (now >= planned or now - quiet_since >= self.bookmark_seconds):
                yield _bookmark(self.resource, seen)
                quiet_since = now
                planned = deadline
            if now >= deadline:
                return
            until = planned if planned > now else deadline
            self.store.wait_beyond(newest, min(_LOOK_AROUND_SECONDS, self.bookmark_seconds, until - now))

    def _beginning(self) -> Generator[bytes, None, int]:
        """The objects there are, where they are asked for; returns where the changes start."""
        options = self.options
        start = options.resource_version or 0
        wanted = options.initial_events if options.initial_events is not None else not start
        if not wanted:
            return start or self.store.resource_version
        start, listing = self.store.listing(self.resource)
        span = listing.span(self.namespace, "")
        for record in listing.ordered[span.start : span.stop]:
            if options.selector.matches(record):
                yield _event("ADDED", record.encoded(self.resource))
        if options.initial_events and options.bookmarks:
            yield _bookmark(self.resource, start, {"k8s.io/initial-events-end": "true"})
        return start

    def _line(self, change: Change) -> bytes:
        """What the change is to this watch: an object that begins to match its selector is new to it."""
        if self.namespace and not change.record.key.startswith(f"{self.namespace}/"):
            return b""
        matches = self.options.selector.matches
        before = change.previous is not None and matches(change.previous)
        after = change.type != "DELETED" and matches(change.record)
        if not before and not after:
            return b""
        name = "MODIFIED" if before and after else ("ADDED" if after else "DELETED")
        return _event(name, change.record.encoded(self.resource))


def _event(name: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (name.encode(), body)


def _bookmark(resource: Resource, resource_version: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(resource_version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return _event("BOOKMARK", resource.prefix + json.dumps({"metadata": metadata}).encode()[1:])
