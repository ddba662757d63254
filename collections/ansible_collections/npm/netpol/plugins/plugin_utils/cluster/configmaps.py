# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blobs by name, kept in ConfigMaps of the cluster itself.

::

    NAME                        the head: of each blob its SHA-256, and in how many parts it is
    NAME-BLOB-DIGEST-NUMBER     a part of a blob, compressed

Parts are named by what they are of, so that a name never stands for two contents. They are there before the head names
them, and go only after it names others: who reads a head finds its parts, or a part that is gone, and never a mixture.
The head is replaced under its resourceVersion, so that of two writers one does it again, on what the other has left.
Writers that begin together, as the slices of a job do, come to their turns by pauses of different length.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .client import ApiClient, ApiError

# A ConfigMap has room for 1 MiB of values, and base64 adds a third on the way to it.
LARGEST_PART = 700 * 1024

MANAGER_LABEL, MANAGER = "app.kubernetes.io/managed-by", "npm.netpol"
NAME_LABEL, NAME = "app.kubernetes.io/name", "npm-netpol-state"
# Its value is the head's name: what belongs together can be listed, and deleted, by it.
STATE_LABEL = "npm.netpol/state"

_PART = "part"
# More takes three times as long for 3 % less.
_LEVEL = 6
# In seconds. A try takes a few requests, and fails when another writer comes between them: in all of this time there is
# room for the tries of many writers, one after the other.
_FIRST_PAUSE, _LONGEST_PAUSE, _ALL_PAUSES = 0.2, 8.0, 60.0
_MOST_PARTS = 1000
_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
# A label has room for as much.
_WORD = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_PLACE = re.compile(rf"(?P<namespace>{_WORD})/(?P<name>{_WORD})")


class StoreError(Exception):
    """Nothing can be read from the store, or written to it. The message names the ConfigMap, and says why.

    ``foreign``: whatever is there, it is nothing that was written with these rights.
    """

    def __init__(self, message: str, *, foreign: bool = False) -> None:
        super().__init__(message)
        self.foreign = foreign


class DamagedError(StoreError):
    """What is there is not whole, whoever reads it: deleted or edited by hand."""


class _PartGoneError(DamagedError):
    """Also when another writer has replaced the head meanwhile."""


class _UnansweredError(StoreError):
    """Nobody knows whether the head was replaced, or still will be."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is."""

    namespace: str
    name: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Of ``NAMESPACE/NAME``. Raises :class:`ValueError`."""
        match = _PLACE.fullmatch(text)
        if not match:
            raise ValueError(
                f"{text!r} is not NAMESPACE/NAME, both of small letters, digits and hyphens, and of 63 at the most"
            )
        return cls(match["namespace"], match["name"])

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the head says of a blob."""

    sha256: str
    parts: int

    def written(self) -> str:
        return json.dumps({"sha256": self.sha256, "parts": self.parts}, sort_keys=True)

    @classmethod
    def read(cls, text: Any) -> _Entry | None:
        """None where nothing of use is said, as by somebody who edited it."""
        try:
            said = json.loads(text)
            entry = cls(str(said["sha256"]), int(said["parts"]))
        except (ValueError, KeyError, TypeError):
            return None
        return entry if 0 < entry.parts <= _MOST_PARTS else None


def pauses_between_tries() -> Iterator[float]:
    """In seconds: at random, and ever longer, until they come to as much together as a writer waits for its turn."""
    longest, left = _FIRST_PAUSE, _ALL_PAUSES
    while (pause := random.uniform(0, longest)) <= left:  # noqa: S311 (nothing secret depends on it)
        yield pause
        left -= pause
        longest = min(2 * longest, _LONGEST_PAUSE)


class ConfigMapStore:
    """The blobs at ``place``. The head is read once, and again after somebody else has replaced it.

    ``pauses``: how long to wait before each further try at what another writer has overtaken. ``warnings``: what went
    wrong beside the matter, in words.
    """

    def __init__(
        self, client: ApiClient, place: Place, *, pauses: Callable[[], Iterable[float]] = pauses_between_tries
    ) -> None:
        self.place = place
        self.warnings: list[str] = []
        self._client = client
        self._pauses = pauses
        # The head as it was read; without a resourceVersion as long as there is none.
        self._head: dict[str, Any] | None = None
        self._unreadable: set[_Entry] = set()

    @property
    def known(self) -> bool:
        """Whether the head could be read, and may still be that one."""
        return self._head is not None

    def digest(self, blob: str) -> str:
        """The SHA-256 of a blob in hex; "" where there is none. Raises :class:`StoreError`."""
        entry = self._entry(blob)
        return entry.sha256 if entry else ""

    def read(self, blob: str) -> bytes | None:
        """None where there is none. Raises :class:`StoreError`, also for a blob that is not whole."""
        entry = self._entry(blob)
        while entry:
            # Until it has been read: what cannot be is written again, even if it is to be the same.
            self._unreadable.add(entry)
            try:
                content = self._content(blob, entry)
            except _PartGoneError:
                self._head, former = None, entry
                entry = self._entry(blob)
                if entry == former:
                    raise
            else:
                self._unreadable.discard(entry)
                return content
        return None

    def write(self, blob: str, content: bytes) -> None:
        """Put ``content`` in the place of what the blob is. Nothing is sent where it is that. Raises as change()."""
        self.change(blob, lambda: content)

    def change(self, blob: str, change: Callable[[], bytes | None]) -> None:
        """Make a blob what ``change`` returns; None: there is none afterwards.

        It is asked again whenever another writer was quicker, and reads then what that one has left. Raises
        :class:`StoreError`, after which nothing has changed, or nobody knows.
        """
        # Names of parts: of all heads that were met on the way, and of our own tries.
        met: set[str] = set()
        written: set[str] = set()
        try:
            pauses = iter(self._pauses())
            tries = 1
            while not self._try(blob, change, met, written):
                pause = next(pauses, None)
                if pause is None:
                    raise StoreError(f"the ConfigMap {self.place} was changed by others {tries} times in a row")
                time.sleep(pause)
                tries += 1
        except StoreError as error:
            self._withdraw(blob, written, error)
            raise
        self._unreadable.clear()
        self._delete_parts((met | written) - self._names(blob, self._entry(blob)))

    def _try(self, blob: str, change: Callable[[], bytes | None], met: set[str], written: set[str]) -> bool:
        """False when another writer was quicker."""
        content = change()
        old = self._entry(blob)
        met.update(self._names(blob, old))
        if _digest(content) == (old.sha256 if old else "") and old not in self._unreadable:
            return True
        entry, parts = self._divided(blob, content)
        self._write_parts(parts, written)
        return entry == old or self._replace_head(blob, entry)

    def _withdraw(self, blob: str, written: set[str], error: StoreError) -> None:
        """Take away what was written in vain. What the head may name stays."""
        if not written:
            return
        reason = "nobody knows whether they are named"
        if not isinstance(error, _UnansweredError):
            try:
                named = self._names(blob, _entry(self._read_head(), blob))
            except StoreError as unreadable:
                reason = str(unreadable)
            else:
                self._delete_parts(written - named)
                return
        self.warnings.append(f"parts that were written in vain may stay in the cluster: {reason}")

    def _content(self, blob: str, entry: _Entry) -> bytes:
        try:
            content = gzip.decompress(b"".join(self._part(self._name(blob, entry, at)) for at in range(entry.parts)))
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedError(f"the ConfigMap {self.place} has a damaged state ({blob}): {error}") from error
        if _digest(content) != entry.sha256:
            raise DamagedError(f"the ConfigMap {self.place} has another state ({blob}) than it says")
        return content

    def _divided(self, blob: str, content: bytes | None) -> tuple[_Entry | None, dict[str, bytes]]:
        """How a blob is stored, part by part: the same content in the same bytes each time."""
        if content is None:
            return None, {}
        compressed = gzip.compress(content, _LEVEL, mtime=0)
        parts = [compressed[start : start + LARGEST_PART] for start in range(0, len(compressed), LARGEST_PART)]
        entry = _Entry(_digest(content), len(parts))
        return entry, {self._name(blob, entry, at): part for at, part in enumerate(parts)}

    def _names(self, blob: str, entry: _Entry | None) -> set[str]:
        return {self._name(blob, entry, at) for at in range(entry.parts)} if entry else set()

    def _name(self, blob: str, entry: _Entry, at: int) -> str:
        return f"{self.place.name}-{blob}-{entry.sha256[:12]}-{at}"

    def _entry(self, blob: str) -> _Entry | None:
        return _entry(self._known_head(), blob)

    def _known_head(self) -> dict[str, Any]:
        if self._head is None:
            self._head = self._read_head()
        return self._head

    def _read_head(self) -> dict[str, Any]:
        try:
            head = self._client.get(self._path(self.place.name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return self._config_map(self.place.name)
            raise self._refused(error, foreign=error.status == _FORBIDDEN) from error
        metadata = head.get("metadata") if isinstance(head, dict) else None
        labels = metadata.get("labels") if isinstance(metadata, dict) else None
        if not isinstance(labels, dict) or labels.get(MANAGER_LABEL) != MANAGER:
            raise StoreError(
                f"the ConfigMap {self.place} is somebody else's: it has no label {MANAGER_LABEL}: {MANAGER}, and is "
                "left as it is",
                foreign=True,
            )
        return dict(head)

    def _replace_head(self, blob: str, entry: _Entry | None) -> bool:
        """False when another writer was quicker."""
        head = self._known_head()
        data = {name: value for name, value in _data(head).items() if name != blob}
        if entry:
            data[blob] = entry.written()
        try:
            if "resourceVersion" in head["metadata"]:
                self._head = self._client.replace(self._path(self.place.name), head | {"data": data})
            else:
                self._head = self._client.create(self._path(), head | {"data": data})
        except ApiError as error:
            overtaken = error.status in (_CONFLICT, _NOT_FOUND) and 'namespaces "' not in error.message
            if overtaken or error.transient:
                # Then it is another one, or may be.
                self._head = None
            if not overtaken:
                raise self._refused(error, _UnansweredError if error.transient else StoreError) from error
            # The other writer is this one, where the answer was lost and the request sent again.
            if self._entry(blob) != entry:
                self._head = None
                return False
        return True

    def _part(self, name: str) -> bytes:
        try:
            item = self._client.get(self._path(name))
            return base64.b64decode(item["binaryData"][_PART], validate=True)
        except ApiError as error:
            if error.status == _NOT_FOUND:
                raise _PartGoneError(f"the ConfigMap {self.place} names a part that is not there: {name}") from error
            raise self._refused(error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"the ConfigMap {self.place} has a damaged part: {name}") from error

    def _write_parts(self, parts: Mapping[str, bytes], written: set[str]) -> None:
        """Those that are not among ``written`` yet, to which this adds them: all that are there, or may be."""
        for name, part in parts.items():
            if name in written:
                continue
            item = self._config_map(name) | {"binaryData": {_PART: base64.b64encode(part).decode()}}
            try:
                try:
                    self._client.create(self._path(), item)
                except ApiError as error:
                    if error.status != _CONFLICT:
                        raise
                    # Another writer's of the same content; or one that was damaged.
                    self._client.replace(self._path(name), item)
            except ApiError as error:
                if error.transient:
                    written.add(name)
                raise self._refused(error) from error
            written.add(name)

    def _delete_parts(self, names: Iterable[str]) -> None:
        for name in sorted(names):
            try:
                self._client.delete(self._path(name))
            except ApiError as error:
                self.warnings.append(f"a part of a former state stays in the cluster: {self._refused(error)}")
                return

    def _config_map(self, name: str) -> dict[str, Any]:
        labels = {MANAGER_LABEL: MANAGER, NAME_LABEL: NAME, STATE_LABEL: self.place.name}
        metadata = {"name": name, "namespace": self.place.namespace, "labels": labels}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    def _path(self, name: str = "") -> str:
        return "/".join(filter(None, (f"/api/v1/namespaces/{self.place.namespace}/configmaps", name)))

    def _refused(self, error: ApiError, kind: type[StoreError] = StoreError, *, foreign: bool = False) -> StoreError:
        said = error.message or error.reason
        hint = ""
        if error.status in (_FORBIDDEN, _NOT_FOUND) and ("cannot " in said or "namespaces" in said):
            hint = " (the collection's docs/state-rbac.yaml makes a namespace and the rights)"
        return kind(f"the ConfigMap {self.place} is of no use: {error.where}: {said}{hint}", foreign=foreign)


def _data(head: Mapping[str, Any]) -> Mapping[str, Any]:
    data = head.get("data")
    return data if isinstance(data, dict) else {}


def _entry(head: Mapping[str, Any], blob: str) -> _Entry | None:
    return _Entry.read(_data(head).get(blob))


def _digest(content: bytes | None) -> str:
    """In hex; "" for none."""
    return hashlib.sha256(content).hexdigest() if content is not None else ""
