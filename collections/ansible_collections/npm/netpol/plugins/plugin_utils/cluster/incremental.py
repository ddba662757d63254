# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A snapshot from the last one and what has changed since; to the byte what listing everything would give.

The order is that of a full reading: which version of each resource is wanted is asked in the order of
:mod:`resources`, policies last, and every resource is brought to exactly that version. So a policy is never older than
what we know of the pods, although the watches run side by side and may end in any order. Where a resource has to be
listed after all, its list is younger than the versions asked so far, and those of all that follow are asked anew.

A resource that one page holds is listed without ado: that is one request, where two are needed to follow it, and where
nothing has changed the server takes a second or more to say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import state_directory, whole_file
from ..model.snapshot import Snapshot
from . import kept
from .client import ApiClient, ApiError
from .configmaps import ConfigMapStore, StoreError
from .gather import IDENTITY_NAMESPACE, Gathering, Newest
from .kept import Kept, KeptError
from .listing import PAGE_SIZE, collector_paused, list_into, serves_cluster_policies
from .resources import CLUSTER_POLICIES, NAMESPACES, RESOURCES, Resource
from .watching import Changes, WatchError

FULL = "full"
INCREMENTAL = "incremental"

_UNTELLABLE = (403, 404)


@dataclass(frozen=True, slots=True)
class Reading:
    """A snapshot and how it came about.

    ``reason``: why the cluster, or the resources that it names, were listed in full; "" where none was. ``events``:
    how many changes were taken in. ``versions``: from which version the next reading can go on, for each resource.
    ``newest``: of each kind the object that was changed last, by which the next reading knows the API's history again.
    ``file`` and ``store``: where to keep this reading; None where that is not known, or where no more would be kept
    than is. ``warnings``: what was wrong with the store, in words.
    """

    snapshot: Snapshot
    mode: str
    reason: str
    events: int
    versions: Mapping[str, str]
    newest: Mapping[str, Newest]
    file: Path | None
    store: ConfigMapStore | None = None
    warnings: tuple[str, ...] = ()

    def keep(self, content: bytes) -> None:
        """Keep the snapshot, whose JSON form is ``content``, for the next reading. Raises :class:`OSError`."""
        if self.file:
            whole_file.write(self.file, self._to_be_kept(content))

    def share(self, content: bytes) -> None:
        """Keep it in the cluster too, for a reading of another controller. Raises :class:`StoreError`."""
        if self.store:
            self.store.write(kept.BLOB, self._to_be_kept(content))

    def _to_be_kept(self, content: bytes) -> bytes:
        return kept.encode(content, self.versions, self.snapshot.cluster.uid, self.newest)


def read(
    client: ApiClient, directory: Path | None, page_size: int = PAGE_SIZE, store: ConfigMapStore | None = None
) -> Reading:
    """Read the whole cluster once, from what ``store`` or ``directory`` have of it where that is of use.

    Raises :class:`ApiError` where a full reading does.
    """
    with collector_paused():
        uid, state, reason = "", Kept(Snapshot(), {}, {}), ""
        file: Path | None = None
        warnings: list[str] = []
        try:
            uid = _cluster_uid(client)
            kept.require_identity(uid)
            file = state_directory.objects(directory, uid) if directory else None
            state = _kept(file, uid, store, warnings)
        except KeptError as error:
            reason = str(error)
        reader = _Reader(client, state, page_size)
        # What is kept of a cluster that was larger is replaced once more: otherwise it would be followed for good.
        was_small = reader.needs_one_page_each
        reader.follow()
        snapshot = reader.snapshot()
        small = was_small and reader.needs_one_page_each
        if small:
            reason = f"a page of {page_size} objects holds each resource"
        elif not reason:
            reason = "; ".join(f"{plural}: {why}" for plural, why in reader.listed.items())
        # Versions that move alone are no reason to write: with a store every write would be the next one's reason.
        same = store and store.known and store.digest(kept.BLOB) and not (reason or reader.events or warnings)
        # The namespace may have been made anew meanwhile: then this is another cluster.
        keep = snapshot.cluster.uid == uid and not same and not small
        return Reading(
            snapshot=snapshot,
            mode=INCREMENTAL if reader.followed else FULL,
            reason=reason,
            events=reader.events,
            versions=reader.versions,
            newest=reader.newest,
            file=file if keep else None,
            store=store if store and store.known and keep else None,
            warnings=tuple(warnings),
        )


def _kept(file: Path | None, uid: str, store: ConfigMapStore | None, warnings: list[str]) -> Kept:
    """Raises :class:`KeptError`."""
    reason = "nothing is to be kept"
    if store:
        try:
            return kept.read_shared(store, file, uid)
        except StoreError as error:
            reason = str(error)
            warnings.append(f"what is kept in the cluster was not used: {error}")
    if not file:
        raise KeptError(reason)
    return kept.read(file, uid)


def _cluster_uid(client: ApiClient) -> str:
    """Which cluster this is. Raises :class:`KeptError` where that cannot be told."""
    try:
        namespace = client.get(f"{NAMESPACES.path}/{IDENTITY_NAMESPACE}")
    except ApiError as error:
        if error.status in _UNTELLABLE:
            raise KeptError(f"which cluster it is cannot be told: {error}") from error
        raise
    metadata = namespace.get("metadata") if isinstance(namespace, dict) else None
    return str(metadata.get("uid") or "") if isinstance(metadata, dict) else ""


class _Reader:
    """Brings what was kept to the present, resource by resource. ``listed``: plural of what was listed, and why."""

    def __init__(self, client: ApiClient, state: Kept, page_size: int) -> None:
        self._client = client
        self._kept_versions = state.versions
        self._page_size = page_size
        self._gathering = Gathering.of(state.snapshot)
        self._gathering.newest.update(state.newest)
        self._resources: Sequence[Resource] = RESOURCES
        if serves_cluster_policies(client, self._gathering):
            self._resources = (*RESOURCES, CLUSTER_POLICIES)
        else:
            self._forget_all(CLUSTER_POLICIES)
        self._found: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.listed: dict[str, str] = {}
        self.followed = False
        self.events = 0

    def follow(self) -> None:
        position = 0
        while position < len(self._resources):
            if self._is_of_one_page(self._resources[position]):
                self._list(self._resources[position])
                position += 1
                continue
            begun: list[Changes] = []
            reason = ""
            try:
                reason = self._begin(self._resources[position:], begun)
                for changes in begun:
                    changes.read()
                    self._take(changes)
                    position += 1
            except WatchError as error:
                reason = str(error)
            finally:
                for changes in begun:
                    changes.close()
            if reason:
                self._list(self._resources[position])
                self.listed[self._resources[position].plural] = reason
                position += 1
        self._read_missing_namespaces()

    @property
    def newest(self) -> Mapping[str, Newest]:
        return self._gathering.newest

    @property
    def needs_one_page_each(self) -> bool:
        """Whether there is nothing that is better followed than listed."""
        return all(map(self._is_of_one_page, self._resources))

    def _is_of_one_page(self, resource: Resource) -> bool:
        return self._gathering.size(resource.kind) < self._page_size

    def snapshot(self) -> Snapshot:
        return self._gathering.snapshot(self._found)

    def _begin(self, resources: Sequence[Resource], begun: list[Changes]) -> str:
        """Open the watches of these, as far as the first that is not to be followed; returns why that one cannot."""
        for resource in resources:
            if self._is_of_one_page(resource):
                break
            since = self._kept_versions.get(resource.plural)
            if since is None:
                return "nothing is kept of it"
            known = self._gathering.identities(resource.kind)
            try:
                newest = self._gathering.newest.get(resource.kind)
                begun.append(Changes(self._client, resource, since, known, newest))
            except WatchError as error:
                return str(error)
        return ""

    def _take(self, changes: Changes) -> None:
        kind = changes.resource.kind
        self._gathering.forget(kind, changes.objects)
        for changed in changes.objects.values():
            if changed:
                self._gathering.add_all(changed)
        self.followed = True
        self.events += changes.events
        self._note(changes.resource, changes.version)

    def _list(self, resource: Resource) -> None:
        self._forget_all(resource)
        self._note(resource, list_into(self._gathering, self._client, resource, self._page_size))

    def _read_missing_namespaces(self) -> None:
        """As a full reading does; namespaces of two versions together are nothing to go on from."""
        if self._gathering.missing_namespaces():
            version = list_into(self._gathering, self._client, NAMESPACES, self._page_size)
            self._found[NAMESPACES.plural] = version
            del self.versions[NAMESPACES.plural]

    def _note(self, resource: Resource, version: str) -> None:
        self._found[resource.plural] = self.versions[resource.plural] = version

    def _forget_all(self, resource: Resource) -> None:
        self._gathering.forget(resource.kind, self._gathering.identities(resource.kind))
