# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches: the changes of a resource as a stream of events, one JSON document a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from . import errors
from .collection import Change, CompactedError
from .paging import ListOptions
from .records import Record
from .resources import Resource
from .selectors import Selector
from .store import Store

_LONGEST_SECONDS = 1800
_LOOK_AROUND_SECONDS = 0.5


def events(
    store: Store,
    resource: Resource,
    namespace: str,
    options: ListOptions,
    *,
    bookmark_seconds: float,
    wanted: Callable[[], bool],
) -> Iterator[bytes]:
    """Lines until the time is up or ``wanted()`` is false. Ends with an ERROR event when the history is forgotten.

    Without a resourceVersion (or with 0) every object there is comes first, as ADDED. Bookmarks, where asked for,
    come every ``bookmark_seconds`` in which nothing else did, and as the last line.
    """
    deadline = time.monotonic() + (options.timeout_seconds or _LONGEST_SECONDS)
    seen = options.resource_version or 0
    bookmarks = options.bookmarks
    if options.initial_events or (options.initial_events is None and not seen):
        seen, listing = store.listing(resource)
        span = listing.span(namespace, "")
        for record in listing.ordered[span.start : span.stop]:
            if options.selector.matches(record):
                yield _event("ADDED", record.encoded(resource))
        if options.initial_events and bookmarks:
            yield _bookmark(resource, seen, {"k8s.io/initial-events-end": "true"})
    elif not seen:
        seen = store.resource_version
    next_bookmark = time.monotonic() + bookmark_seconds
    while wanted():
        try:
            seen_now, changes = store.changes_since(resource, seen)
        except CompactedError as error:
            yield _event("ERROR", json.dumps(errors.expired(str(error)).status()).encode())
            return
        for change in changes:
            line = _change_line(resource, namespace, options.selector, change)
            if line:
                yield line
                next_bookmark = time.monotonic() + bookmark_seconds
        # A watch may start in the future: nothing is known about the time until then.
        seen = max(seen, seen_now)
        now = time.monotonic()
        if now >= deadline:
            break
        if bookmarks and now >= next_bookmark:
            yield _bookmark(resource, seen)
            next_bookmark = now + bookmark_seconds
        store.wait_beyond(seen_now, min(_LOOK_AROUND_SECONDS, deadline - now))
    else:
        return
    if bookmarks:
        yield _bookmark(resource, seen)


def _change_line(resource: Resource, namespace: str, selector: Selector, change: Change) -> bytes:
    """What the change is to a watch with this selector: an object that begins to match is new to it."""
    if namespace and not change.record.key.startswith(f"{namespace}/"):
        return b""

    def matched(record: Record | None) -> bool:
        return record is not None and selector.matches(record)

    before = matched(change.previous)
    after = change.type != "DELETED" and matched(change.record)
    if not before and not after:
        return b""
    name = "MODIFIED" if before and after else ("ADDED" if after else "DELETED")
    return _event(name, change.record.encoded(resource))


def _event(name: str, body: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (name.encode(), body)


def _bookmark(resource: Resource, resource_version: int, annotations: dict[str, str] | None = None) -> bytes:
    metadata: dict[str, object] = {"resourceVersion": str(resource_version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return _event("BOOKMARK", resource.prefix + json.dumps({"metadata": metadata}).encode()[1:])
