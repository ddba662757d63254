# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Listing a cluster page by page, in the order that keeps enforcement closed, into a snapshot."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from ..model.problem import Problem
from ..model.snapshot import Snapshot
from . import project
from .client import ApiClient, ApiError
from .gather import Gathering
from .resources import (
    CLUSTER_POLICIES,
    CLUSTER_POLICY_GROUP,
    CLUSTER_POLICY_VERSION,
    NAMESPACES,
    NODES,
    RESOURCES,
    Resource,
)

PAGE_SIZE = 500

_RESTARTS = 4
_NOT_FOUND = 404


class Gatherer(Protocol):
    """Takes the objects of a list as they arrive."""

    def add(self, kind: str, raw: Any) -> None:
        """Raises :class:`project.ObjectError` for an object without an identity."""


G = TypeVar("G", bound=Gatherer)
Query = Sequence[tuple[str, str]]


def read(client: ApiClient, page_size: int = PAGE_SIZE) -> Snapshot:
    """Read the whole cluster once.

    Each list is consistent in itself and fresh (no resourceVersion is asked for). A namespace that objects are in
    and the list lacks was made meanwhile, so namespaces are read once more; objects of one that is still missing
    are kept as they are, and the compiler refuses them. Raises :class:`ApiError` when any list cannot be completed.
    """
    with collector_paused():
        return _read(client, page_size)


def read_nodes(client: ApiClient, make: Callable[[], G], page_size: int = PAGE_SIZE, selectors: Query = ()) -> G:
    """Read the nodes and nothing else, with ``selectors`` (``labelSelector``, ``fieldSelector``) for the API to apply.

    ``make`` makes what they are gathered in, anew whenever the list starts again. Raises :class:`ApiError`.
    """
    with collector_paused():
        return _list_whole(client, NODES, page_size, make, selectors)[0]


def _read(client: ApiClient, page_size: int) -> Snapshot:
    gathering = Gathering()
    versions: dict[str, str] = {}
    for resource in RESOURCES:
        versions[resource.plural] = list_into(gathering, client, resource, page_size)
    if serves_cluster_policies(client, gathering):
        versions[CLUSTER_POLICIES.plural] = list_into(gathering, client, CLUSTER_POLICIES, page_size)
    if gathering.missing_namespaces():
        versions[NAMESPACES.plural] = list_into(gathering, client, NAMESPACES, page_size)
    return gathering.snapshot(versions)


@contextmanager
def collector_paused() -> Iterator[None]:
    """JSON has no cycles, and looking for them in page after page takes 40 % of the time that reading takes."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def list_into(gathering: Gathering, client: ApiClient, resource: Resource, page_size: int) -> str:
    """List one resource; returns its resourceVersion."""
    complete, version = _list_whole(client, resource, page_size, Gathering)
    gathering.add_all(complete)
    return version


def _list_whole(
    client: ApiClient, resource: Resource, page_size: int, make: Callable[[], G], selectors: Query = ()
) -> tuple[G, str]:
    """List one resource, from the start again when its continue token expires; also returns its resourceVersion.

    An expired token means that the pages took longer than the server keeps history: larger ones are fewer.
    """
    for _restart in range(_RESTARTS):
        gathering = make()
        try:
            return gathering, _list(gathering, client, resource, [("limit", str(page_size)), *selectors])
        except ApiError as error:
            if not error.expired:
                raise
            page_size *= 2
    where = f"GET {client.connection.host}{resource.path}"
    reason = f"the list expired {_RESTARTS} times before its last page: set a larger page_size"
    raise ApiError(where, reason, status=410)


def _list(gathering: Gatherer, client: ApiClient, resource: Resource, query: Query) -> str:
    token = ""
    while True:
        page = client.get(resource.path, [*query, ("continue", token)] if token else query)
        where = f"GET {client.connection.host}{resource.path}"
        metadata, items = checked(page, where)
        try:
            for item in items:
                gathering.add(resource.kind, item)
        except project.ObjectError as error:
            raise ApiError(where, str(error)) from error
        following = str(metadata.get("continue") or "")
        if not following:
            return str(metadata.get("resourceVersion") or "")
        if following == token:
            raise ApiError(where, "the list does not go on: two pages have the same continue token")
        token = following


def checked(page: Any, where: str) -> tuple[dict[str, Any], list[Any]]:
    """Metadata and items of a page; an answer of another shape would be a cluster without objects."""
    if not isinstance(page, dict) or not str(page.get("kind", "")).endswith("List"):
        kind = page.get("kind") if isinstance(page, dict) else type(page).__name__
        raise ApiError(where, f"the answer is not a list but {kind!r}")
    metadata, items = page.get("metadata"), page.get("items", ())
    if not isinstance(metadata, dict):
        raise ApiError(where, "the list has no metadata, so nobody can tell whether it is complete")
    # The API writes an empty list as null at times; without the key it is not a list at all.
    if items is not None and not isinstance(items, list):
        raise ApiError(where, "the list has no items")
    return metadata, items or []


def serves_cluster_policies(client: ApiClient, gathering: Gathering) -> bool:
    """Whether the API has ClusterNetworkPolicies in the version that we read; other versions are reported."""
    try:
        group = client.get(f"/apis/{CLUSTER_POLICY_GROUP}")
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    listed = group.get("versions") if isinstance(group, dict) else None
    versions = sorted(str(each.get("version")) for each in listed or [] if isinstance(each, dict))
    if CLUSTER_POLICY_VERSION in versions:
        resources = client.get(CLUSTER_POLICIES.prefix)
        names = resources.get("resources") if isinstance(resources, dict) else None
        return any(isinstance(each, dict) and each.get("name") == CLUSTER_POLICIES.plural for each in names or [])
    gathering.problems.append(
        Problem(
            "APIGroup",
            "",
            CLUSTER_POLICY_GROUP,
            "versions",
            f"is served as {', '.join(versions) or 'nothing'}, not as {CLUSTER_POLICY_VERSION}",
            "policies of this group are not enforced",
        )
    )
    return False
