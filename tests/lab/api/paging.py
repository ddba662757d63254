# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists: the options of a query, continue tokens, and one page as bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

from . import errors, selectors
from .collection import CompactedError, Listing
from .records import Record
from .resources import Resource
from .store import Store

_LATEST = -1
_MATCHES = {"", "Exact", "NotOlderThan"}


@dataclass(frozen=True, slots=True)
class ContinueToken:
    """Where a list goes on. ``resource_version`` -1: from the newest state, which doesn't fit the pages before."""

    resource_version: int
    start: str
    page: int

    def encode(self) -> str:
        data = {"v": "meta.k8s.io/v1", "rv": self.resource_version, "start": self.start, "page": self.page}
        text = json.dumps(data, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> ContinueToken:
        try:
            data = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return cls(int(data["rv"]), str(data["start"]), int(data["page"]))
        except (ValueError, KeyError, TypeError) as error:
            raise errors.bad_request("continue key is not valid") from error

    def inconsistent(self) -> ContinueToken:
        return ContinueToken(_LATEST, self.start, self.page)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list's or watch's query asks for. ``resource_version`` None: the newest state; 0: any state."""

    selector: selectors.Selector = selectors.EVERYTHING
    limit: int = 0
    token: ContinueToken | None = None
    resource_version: int | None = None
    match: str = ""
    timeout_seconds: int | None = None
    bookmarks: bool = False
    initial_events: bool | None = None

    @classmethod
    def parse(cls, resource: Resource, query: Mapping[str, str]) -> ListOptions:
        text = query.get("continue", "")
        options = cls(
            selectors.parse(resource, query.get("labelSelector", ""), query.get("fieldSelector", "")),
            _number(query, "limit") or 0,
            ContinueToken.decode(text) if text else None,
            _number(query, "resourceVersion"),
            query.get("resourceVersionMatch", ""),
            _number(query, "timeoutSeconds"),
            query.get("allowWatchBookmarks") in {"true", "1"},
            None if "sendInitialEvents" not in query else query["sendInitialEvents"] in {"true", "1"},
        )
        options._require_consistent()
        return options

    def _require_consistent(self) -> None:
        if self.match not in _MATCHES:
            raise errors.bad_request(f"resourceVersionMatch: unsupported value {self.match!r}")
        if self.token and (self.resource_version or self.match):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        if self.match and self.resource_version is None and self.initial_events is None:
            raise errors.bad_request("resourceVersionMatch is forbidden unless resourceVersion is given")
        if self.match == "Exact" and self.resource_version == 0:
            raise errors.bad_request('resourceVersionMatch "Exact" is forbidden with resourceVersion 0')


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to a list: its number from 1, the matching records, and how to go on ("" at the end)."""

    number: int
    resource_version: int
    records: list[Record]
    continue_text: str
    remaining: int | None

    def encode(self, resource: Resource) -> bytes:
        metadata: dict[str, object] = {"resourceVersion": str(self.resource_version)}
        if self.continue_text:
            metadata["continue"] = self.continue_text
        if self.remaining:
            metadata["remainingItemCount"] = self.remaining
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata}
        start = json.dumps(head, separators=(",", ":")).encode()[:-1]
        return b"".join((start, b',"items":[', b",".join(record.item(resource) for record in self.records), b"]}"))


def page_of(
    store: Store, resource: Resource, namespace: str, options: ListOptions, stale_version: int | None = None
) -> Page:
    """One page. ApiError 410 when its state is forgotten, 504 when it lies in the future.

    ``stale_version``: what a list from any state (resourceVersion 0) is served from; None: the newest.
    """
    resource_version, listing = _listing(store, resource, options, stale_version)
    token = options.token
    number = token.page if token else 1
    span = listing.span(namespace, token.start if token else "")
    # A list from any state comes from a cache, which ignores the limit (Kubernetes documents the same).
    limit = 0 if options.resource_version == 0 and options.match != "Exact" else options.limit
    records, end = _taken(listing, span, options.selector, limit)
    if end >= span.stop:
        return Page(number, resource_version, records, "", None)
    following = ContinueToken(resource_version, listing.ordered[end].key, number + 1)
    remaining = None if options.selector else span.stop - end
    return Page(number, resource_version, records, following.encode(), remaining)


def _listing(store: Store, resource: Resource, options: ListOptions, stale_version: int | None) -> tuple[int, Listing]:
    newest = store.resource_version
    asked = options.resource_version
    if options.token:
        asked = options.token.resource_version
        try:
            return store.listing(resource, None if asked == _LATEST else asked)
        except CompactedError as error:
            raise expired_token(options.token) from error
    if asked and asked > newest:
        message = f"Too large resource version: {asked}, current: {newest}"
        causes = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
        raise errors.ApiError(504, message, details=causes, retry_after=1)
    if asked and (options.match == "Exact" or (options.limit and not options.match)):
        try:
            return store.listing(resource, asked)
        except CompactedError as error:
            raise errors.expired(f"The resourceVersion for the provided list is too old: {error}") from error
    if asked == 0 and stale_version is not None:
        return store.listing(resource, stale_version)
    return store.listing(resource)


def expired_token(token: ContinueToken) -> errors.ApiError:
    message = (
        "The provided continue parameter is too old to display a consistent list result: start a new list, "
        "or go on with the token in this answer, which mixes two states"
    )
    return errors.expired(message, token.inconsistent().encode())


def _taken(listing: Listing, span: range, selector: selectors.Selector, limit: int) -> tuple[list[Record], int]:
    """The matching records of a page, and the position after it.

    A page ends right after its last match, so what follows may hold no match at all: the next page is then empty.
    """
    if not selector:
        end = min(span.stop, span.start + limit) if limit else span.stop
        return listing.ordered[span.start : end], end
    records: list[Record] = []
    for position in span:
        if selector.matches(listing.ordered[position]):
            records.append(listing.ordered[position])
            if len(records) == limit:
                return records, position + 1
    return records, span.stop


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isdigit():
        raise errors.bad_request(f"{name}: {text!r} is not a number")
    return int(text)
