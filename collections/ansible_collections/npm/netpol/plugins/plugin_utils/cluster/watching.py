# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The changes of one resource from a version that is known to the one that a list would have now.

What a list would have now is asked first (a list of one object names its version), and the watch is read up to there
and not a change further: the outcome is exactly that list, although the cluster goes on meanwhile. Whatever leaves a
doubt about that ends in a :class:`WatchError`, and the resource is then listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from . import json_text, project
from .client import ApiClient, ApiError, Lines
from .gather import Gathering, Newest
from .listing import checked
from .resources import Resource

Identity = tuple[str, str]

# A server sends a bookmark two seconds before it ends a watch, so that this brings one after a second, also where
# nothing changes; one that has much to tell takes all of it.
_SECONDS = 3
_TRIES = 2
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


class WatchError(Exception):
    """The changes of a resource cannot be told; it has to be listed. Says why."""


def version_and_size_of_list(client: ApiClient, resource: Resource) -> tuple[str, int | None]:
    """The resourceVersion that a list has now, and how many objects, if the API says. Raises :class:`ApiError`."""
    page = client.get(resource.path, [("limit", "1")])
    metadata, items = checked(page, f"GET {client.connection.host}{resource.path}")
    more = metadata.get("remainingItemCount", None if metadata.get("continue") else 0)
    size = len(items) + more if isinstance(more, int) else None
    return str(metadata.get("resourceVersion") or ""), size


class Changes:
    """What happened to one resource after ``since``, up to now.

    ``known``: which objects there were at ``since``; ``newest``: the one of them that was changed last. The watch is
    open from the start, so that the server has the changes of several resources ready while one is read. Raises
    :class:`ApiError` and :class:`WatchError`.
    """

    def __init__(
        self, client: ApiClient, resource: Resource, since: str, known: Set[Identity], newest: Newest | None
    ) -> None:
        self.resource = resource
        self.version, self._size = version_and_size_of_list(client, resource)
        # Each object that changed: projected as it is at the end, alone, or None for one that is gone.
        self.objects: dict[Identity, Gathering | None] = {}
        self.events = 0
        self._client = client
        self._known = known
        self._newest = newest
        self._goal = _number(self.version, "the list's")
        self._at = _number(since, "the kept")
        if self._at > self._goal:
            raise WatchError(f"the kept resourceVersion {since} is newer than the API's {self.version}")
        # Where they are equal nothing at all has happened in the cluster.
        self._moved = self._at < self._goal
        self._lines = self._watch() if self._moved else None

    def read(self) -> None:
        """Take in every change up to the version. Raises :class:`ApiError` and :class:`WatchError`."""
        broken = ""
        for attempt in range(_TRIES):
            if attempt:
                self._lines = self._watch()
            events = self.events
            broken = self._read_once() if self._at < self._goal else ""
            if self._at >= self._goal:
                self._check_size()
                if self._moved:
                    self._check_history()
                return
            # It has nothing to tell, and does not know that that is all: nor will it in three seconds more.
            if not broken and self.events == events:
                break
        raise WatchError(broken or f"the watch ended before it had told all up to resourceVersion {self._goal}")

    def _check_size(self) -> None:
        """What went wrong once, in a state or in the API's history, would otherwise be wrong in every later run."""
        gone = sum(changed is None for changed in self.objects.values())
        size = len(self._known | self.objects.keys()) - gone
        if self._size is not None and size != self._size:
            raise WatchError(f"{size} objects are known, and the API has {self._size}")

    def _check_history(self) -> None:
        """An API that was restored from a backup goes on counting from there, and forgets what was changed after it.

        The last change that we know of is then not known there. Nothing else would tell, once it has counted beyond
        the version that we have: not even that there is something to tell.
        """
        if not self._newest or self._newest[1:] in self.objects:
            return
        version, namespace, name = self._newest
        what = "/".join(filter(None, (namespace, name)))
        try:
            item = self._client.get(self.resource.path_of(namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                raise WatchError(f"{what} is gone, and no change says so") from error
            if error.status == _FORBIDDEN:
                raise WatchError(f"whether the history is the same cannot be told: {error}") from error
            raise
        metadata = item.get("metadata") if isinstance(item, dict) else None
        found = _number(metadata.get("resourceVersion") if isinstance(metadata, dict) else None, "an object's")
        # What happened after the version that is wanted is not for now.
        if found != version and found <= self._goal:
            raise WatchError(f"{what} has the resourceVersion {found}, had {version}, and no change says so")

    def close(self) -> None:
        if self._lines:
            self._lines.close()
            self._lines = None

    def _read_once(self) -> str:
        """Follow the watch that is open, to the version or to its end; returns how it broke off, if it did."""
        try:
            for line in self._lines or ():
                self._take(line)
                if self._at >= self._goal:
                    break
        except ApiError as error:
            if not error.transient:
                raise
            return f"the watch broke off: {error}"
        finally:
            self.close()
        return ""

    def _watch(self) -> Lines:
        query = {
            "watch": "true",
            "resourceVersion": str(self._at),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_SECONDS),
        }
        try:
            return self._client.lines(self.resource.path, query.items(), _SECONDS)
        except ApiError as error:
            if error.status == _UNAUTHORIZED:
                raise
            raise WatchError(f"the watch was refused: {error}") from error

    def _take(self, line: bytes) -> None:
        event_type, item = _event(line)
        if event_type == "ERROR":
            raise WatchError(f"the API ended the watch: {item.get('code')} {item.get('message')}")
        if item.get("kind") != self.resource.kind:
            raise WatchError(f"an event is about {item.get('kind')!r}")
        metadata = item.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        at = _number(version, "an event's")
        if event_type == "BOOKMARK":
            self._at = max(self._at, at)
            return
        if at <= self._at:
            raise WatchError(f"an event of resourceVersion {at} came after {self._at}")
        self._at = at
        # A change beyond the goal says that all before it have been told. It is no part of what the list would have,
        # and comes again the next time.
        if at <= self._goal:
            self._change(event_type, item)

    def _change(self, event_type: str, item: Mapping[str, Any]) -> None:
        try:
            identity = project.identity(self.resource.kind, item)
        except project.ObjectError as error:
            raise ApiError(f"GET {self._client.connection.host}{self.resource.path}", str(error)) from error
        there = self.objects[identity] is not None if identity in self.objects else identity in self._known
        # The first thing that does not fit shows that the kept objects are not those of this history.
        if there == (event_type == "ADDED"):
            name = "/".join(filter(None, identity))
            raise WatchError(f"{name} is {event_type}, and {'was there' if there else 'was not there'} before")
        self.objects[identity] = None
        if event_type != "DELETED":
            self.objects[identity] = changed = Gathering()
            changed.add(self.resource.kind, item)
        self.events += 1


def _event(line: bytes) -> tuple[str, Mapping[str, Any]]:
    try:
        event = json_text.read(line)
    except ValueError as error:
        raise WatchError(f"a line of the watch is not JSON: {error}") from error
    event_type, item = (event.get("type"), event.get("object")) if isinstance(event, dict) else (None, None)
    if event_type not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR") or not isinstance(item, dict):
        raise WatchError(f"a line of the watch is no event: its type is {event_type!r}")
    return event_type, item


def _number(version: Any, whose: str) -> int:
    """Versions of one API can be compared as numbers; a server whose versions are none cannot be followed."""
    if not isinstance(version, str) or not version.isascii() or not version.isdigit():
        raise WatchError(f"{whose} resourceVersion {version!r} is not a number")
    return int(version)
