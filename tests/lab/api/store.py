# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects: created, replaced, patched and deleted under one counter, with a history that watches follow."""

from __future__ import annotations

import copy
import datetime
import secrets
import threading
import uuid
from collections.abc import Iterable
from typing import Any

from . import admission, errors, patches
from .collection import Change, Collection, CompactedError, Listing
from .records import Object, Record, key_of
from .resources import Catalog, Resource

SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


class Store:
    """Safe for threads. ``history`` is how many changes of one resource are kept for watches and continued lists.

    ``validate``: refuse what the API refuses and fill in its defaults; otherwise store objects as they come.
    Writers return the stored Record and raise ApiError (404, 409, 422, ...).
    """

    def __init__(self, catalog: Catalog | None = None, *, validate: bool = True, history: int = 50_000) -> None:
        self.catalog = catalog or Catalog()
        self.validate = validate
        self._history = history
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        # Many wait for one object each: what happens to others should not wake them.
        self._awaited: dict[tuple[str, str], threading.Condition] = {}
        self._collections: dict[str, Collection] = {}
        self._resource_version = 0
        for name in SYSTEM_NAMESPACES:
            self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    @property
    def resource_version(self) -> int:
        with self._changed:
            return self._resource_version

    # Reading

    def get(self, plural: str, name: str, namespace: str = "") -> Record:
        resource = self.catalog.by_plural(plural)
        with self._changed:
            record = self._collection(resource).records.get(key_of(namespace, name))
        if record is None:
            raise errors.not_found(resource.group, plural, name)
        return record

    def document(self, plural: str, name: str, namespace: str = "") -> Object:
        return self.get(plural, name, namespace).document(self.catalog.by_plural(plural))

    def listing(self, resource: Resource, resource_version: int | None = None) -> tuple[int, Listing]:
        """The state now, or at a resourceVersion. CompactedError when that is forgotten."""
        with self._changed:
            point = self._resource_version if resource_version is None else resource_version
            return point, self._collection(resource).at(point)

    def changes_since(self, resource: Resource, resource_version: int) -> tuple[int, list[Change]]:
        """The counter now, and what happened between the two. CompactedError when that is forgotten."""
        with self._changed:
            return self._resource_version, self._collection(resource).changes_since(resource_version)

    def wait_beyond(self, resource_version: int, seconds: float) -> None:
        """Until anything changes, ``wake`` is called or the time is up."""
        with self._changed:
            if self._resource_version <= resource_version:
                self._changed.wait(seconds)

    def wait_beyond_record(self, plural: str, record: Record, seconds: float) -> None:
        """Until this object is another version, or gone, or the time is up."""
        resource = self.catalog.by_plural(plural)
        with self._lock:
            if self._collection(resource).records.get(record.key) is record:
                self._awaited.setdefault((plural, record.key), threading.Condition(self._lock)).wait(seconds)

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # Writing

    def create(self, document: Object, *, dry_run: bool = False) -> Record:
        resource = self.catalog.of(document)
        document = _normalised(resource, copy.deepcopy(document))
        _name_generated(document["metadata"])
        with self._changed:
            self._admit(resource, document)
            collection = self._collection(resource)
            metadata = document["metadata"]
            if key_of(metadata.get("namespace", ""), metadata["name"]) in collection.records:
                raise errors.already_exists(resource.group, resource.plural, metadata["name"])
            _complete(resource, metadata)
            return self._commit(resource, "ADDED", document, None, dry_run)

    def replace(self, document: Object, *, subresource: str = "", dry_run: bool = False) -> Record:
        resource = self.catalog.of(document)
        document = _normalised(resource, copy.deepcopy(document))
        metadata = document["metadata"]
        with self._changed:
            current = self.get(resource.plural, metadata.get("name", ""), metadata.get("namespace", ""))
            return self._update(resource, current, document, subresource, dry_run)

    def apply(self, document: Object) -> Record:
        """Create it, or replace the one that exists whatever its version is."""
        with self._changed:
            resource = self.catalog.of(document)
            metadata = _normalised(resource, document)["metadata"]
            try:
                current = self.get(resource.plural, metadata.get("name", ""), metadata.get("namespace", ""))
            except errors.ApiError:
                return self.create(document)
            kept = {name: current.document(resource)["metadata"].get(name) for name in ("uid", "creationTimestamp")}
            rest = {name: value for name, value in metadata.items() if name != "resourceVersion"}
            return self.replace(document | {"metadata": rest | kept})

    def patch(
        self,
        plural: str,
        name: str,
        change: Any,
        namespace: str = "",
        *,
        content_type: str = patches.MERGE_PATCH,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Record:
        resource = self.catalog.by_plural(plural)
        with self._changed:
            current = self.get(plural, name, namespace)
            document = patches.apply(content_type, current.document(resource), change, custom=resource.custom)
            return self._update(resource, current, document, subresource, dry_run)

    def delete(self, plural: str, name: str, namespace: str = "", *, preconditions: Object | None = None) -> Record:
        """The last version of the object; of one that finalizers hold back, the version with its deletionTimestamp."""
        resource = self.catalog.by_plural(plural)
        with self._changed:
            current = self.get(plural, name, namespace)
            document = current.document(resource)
            metadata = document["metadata"]
            _require_preconditions(resource, metadata, preconditions)
            if metadata.get("finalizers"):
                if "deletionTimestamp" in metadata:
                    return current
                metadata |= {"deletionTimestamp": _now(), "deletionGracePeriodSeconds": 0}
                return self._commit(resource, "MODIFIED", document, current, False)
            if resource.kind == "Namespace":
                self._empty_namespace(name)
            return self._commit(resource, "DELETED", document, current, False)

    def terminate(
        self, plural: str, name: str, namespace: str, grace_seconds: int, *, preconditions: Object | None = None
    ) -> Record:
        """Say that the object is to go after a time of grace: who runs it deletes it then. Grace only gets shorter."""
        resource = self.catalog.by_plural(plural)
        with self._changed:
            current = self.get(plural, name, namespace)
            document = current.document(resource)
            metadata = document["metadata"]
            _require_preconditions(resource, metadata, preconditions)
            if metadata.get("deletionGracePeriodSeconds", grace_seconds + 1) <= grace_seconds:
                return current
            metadata |= {"deletionTimestamp": _now(grace_seconds), "deletionGracePeriodSeconds": grace_seconds}
            return self._commit(resource, "MODIFIED", document, current, False)

    def load(self, documents: Iterable[Object]) -> int:
        """Store many objects as they are: neither validated nor defaulted; one that exists is overwritten."""
        count = 0
        for document in documents:
            resource = self.catalog.of(document)
            complete = _normalised(resource, document)
            _complete(resource, complete["metadata"])
            key = key_of(complete["metadata"].get("namespace", ""), complete["metadata"]["name"])
            with self._changed:
                current = self._collection(resource).records.get(key)
                self._commit(resource, "MODIFIED" if current else "ADDED", complete, current, False)
            count += 1
        return count

    def compact(self) -> int:
        """Forget all history up to now: continue tokens and watches from before are too old afterwards."""
        with self._changed:
            self._resource_version += 1
            for resource in self.catalog.served():
                self._collection(resource).compact(self._resource_version)
            self._changed.notify_all()
            return self._resource_version

    # Inner parts; the caller holds the lock

    def _collection(self, resource: Resource) -> Collection:
        name = f"{resource.group}/{resource.plural}"
        if name not in self._collections:
            self._collections[name] = Collection(self._history)
        return self._collections[name]

    def _admit(self, resource: Resource, document: Object) -> None:
        if not self.validate:
            return
        admission.set_defaults(resource, document)
        admission.validate(resource, document)
        namespace = document["metadata"].get("namespace")
        if namespace:
            self.get("namespaces", namespace)

    def _update(self, resource: Resource, current: Record, document: Object, subresource: str, dry_run: bool) -> Record:
        before = current.document(resource)
        document = _normalised(resource, document)
        old, new = before["metadata"], document["metadata"]
        self._require_same_object(resource, old, new)
        # What only the server writes stays as it was.
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion"):
            if field in old:
                new[field] = old[field]
        if subresource == "status":
            document = {name: value for name, value in document.items() if name != "spec"}
            document |= {"spec": before["spec"]} if "spec" in before else {}
        self._admit(resource, document)
        if document == before:
            return current
        if resource.generation and document.get("spec") != before.get("spec"):
            new["generation"] = old.get("generation", 0) + 1
        if "deletionTimestamp" in new and old.get("finalizers") and not new.get("finalizers"):
            return self._commit(resource, "DELETED", document, current, dry_run)
        return self._commit(resource, "MODIFIED", document, current, dry_run)

    def _require_same_object(self, resource: Resource, old: Object, new: Object) -> None:
        for field in ("name", "namespace"):
            if new.get(field, "") != old.get(field, ""):
                message = f"metadata.{field} can't be changed from {old.get(field)!r} to {new.get(field)!r}"
                raise errors.bad_request(message)
        for field in ("uid", "resourceVersion"):
            if new.get(field) not in {None, "", old.get(field)}:
                why = f"metadata.{field} is {old.get(field)}, not {new.get(field)}"
                raise errors.conflict(resource.group, resource.plural, old["name"], why)

    def _empty_namespace(self, namespace: str) -> None:
        for resource in self.catalog.served():
            if resource.namespaced:
                listing = self._collection(resource).at(self._resource_version)
                span = listing.span(namespace, "")
                for record in listing.ordered[span.start : span.stop]:
                    self._commit(resource, "DELETED", record.document(resource), record, False)

    def _commit(
        self, resource: Resource, change_type: str, document: Object, previous: Record | None, dry_run: bool
    ) -> Record:
        record = Record.of(resource, document, self._resource_version + 1)
        if not dry_run:
            self._resource_version += 1
            self._collection(resource).record_change(Change(change_type, record, previous))
            self._changed.notify_all()
            if news := self._awaited.pop((resource.plural, record.key), None):
                news.notify_all()
        return record


def _require_preconditions(resource: Resource, metadata: Object, preconditions: Object | None) -> None:
    for field in ("uid", "resourceVersion"):
        if preconditions and preconditions.get(field) not in {None, metadata.get(field)}:
            why = f"the precondition on {field} doesn't hold"
            raise errors.conflict(resource.group, resource.plural, metadata["name"], why)


def _normalised(resource: Resource, document: Object) -> Object:
    """A copy (of the first two levels) with a metadata object, and a namespace where the resource has one."""
    if not isinstance(document.get("metadata"), dict):
        raise errors.bad_request(f"{resource.kind}: metadata is not an object")
    metadata = dict(document["metadata"])
    if resource.namespaced:
        metadata["namespace"] = metadata.get("namespace") or "default"
    else:
        metadata.pop("namespace", None)
    return document | {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}


def _name_generated(metadata: Object) -> None:
    if not metadata.get("name") and metadata.get("generateName"):
        ending = "".join(secrets.choice(_NAME_LETTERS) for _ in range(5))
        metadata["name"] = metadata["generateName"][:58] + ending


def _complete(resource: Resource, metadata: Object) -> None:
    if not metadata.get("name"):
        raise errors.bad_request(f"{resource.kind}: metadata.name or metadata.generateName is required")
    metadata.setdefault("uid", str(uuid.uuid4()))
    metadata.setdefault("creationTimestamp", _now())
    if resource.generation:
        metadata.setdefault("generation", 1)


def _now(seconds_later: int = 0) -> str:
    time = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds_later)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["SYSTEM_NAMESPACES", "CompactedError", "Store"]
