# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collecting projected objects, in whatever order they come, into one snapshot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any, NamedTuple

from ..model.problem import Problem
from ..model.snapshot import (
    Cluster,
    ClusterNetworkPolicy,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Service,
    Snapshot,
    make,
)
from . import project

IDENTITY_NAMESPACE = "kube-system"


class Newest(NamedTuple):
    """The object of a kind that was changed last. ``namespace``: empty for a kind without one."""

    version: int
    namespace: str
    name: str


class Gathering:
    """What was read so far. Raw objects are projected as they are added and not kept.

    ``newest``: by kind, unless that object has been taken back, or no version is a number.
    """

    def __init__(self) -> None:
        self.newest: dict[str, Newest] = {}
        self.problems: list[Problem] = []
        self.cluster_uid = ""
        self._namespaces: dict[str, Namespace] = {}
        self._refused_namespaces: set[str] = set()
        self._items: dict[str, list[Any]] = {kind: [] for kind in project.PROJECTIONS if kind != "Namespace"}

    @classmethod
    def of(cls, snapshot: Snapshot) -> Gathering:
        """What was read to make ``snapshot``; what it says of anything but objects is left out."""
        gathering = cls()
        gathering.problems = [problem for problem in snapshot.problems if problem.kind in project.PROJECTIONS]
        gathering.cluster_uid = snapshot.cluster.uid
        gathering._namespaces = {item.name: item for item in snapshot.namespaces}
        # A namespace is left out for what is wrong with it only.
        wrong = {problem.name for problem in gathering.problems if problem.kind == "Namespace"}
        gathering._refused_namespaces = wrong - gathering._namespaces.keys()
        gathering._items = {
            "Pod": list(snapshot.pods),
            "Node": list(snapshot.nodes),
            "Service": list(snapshot.services),
            "NetworkPolicy": list(snapshot.network_policies),
            "ClusterNetworkPolicy": list(snapshot.cluster_network_policies),
        }
        return gathering

    def add(self, kind: str, raw: Any) -> None:
        """Project one raw object of a kind of :data:`project.PROJECTIONS`.

        Raises :class:`project.ObjectError` for an object without an identity.
        """
        item = project.PROJECTIONS[kind](raw, self.problems)
        self._note_version(kind, raw)
        if kind == "Namespace":
            self._add_namespace(raw, item)
        else:
            self._items[kind].append(item)

    def add_all(self, other: Gathering) -> None:
        """Take over what another one read; its namespaces win over ours of the same name."""
        self.problems += other.problems
        self.cluster_uid = other.cluster_uid or self.cluster_uid
        self._namespaces.update(other._namespaces)
        self._refused_namespaces |= other._refused_namespaces
        for kind, items in other._items.items():
            self._items[kind] += items
        for kind, newest in other.newest.items():
            self.newest[kind] = max(newest, self.newest.get(kind, newest))

    def identities(self, kind: str) -> set[tuple[str, str]]:
        """Namespace (empty for a kind without one) and name of all objects of a kind, refused ones included."""
        if kind == "Namespace":
            return {("", name) for name in (*self._namespaces, *self._refused_namespaces)}
        return {_identity(kind, item) for item in self._items[kind]}

    def size(self, kind: str) -> int:
        """How many objects of a kind there are, refused ones included."""
        return len(self._namespaces) + len(self._refused_namespaces) if kind == "Namespace" else len(self._items[kind])

    def forget(self, kind: str, identities: Container[tuple[str, str]]) -> None:
        """Take these objects of a kind back, and what was wrong with them."""
        if kind in self.newest and self.newest[kind][1:] in identities:
            del self.newest[kind]
        self.problems = [
            problem
            for problem in self.problems
            if problem.kind != kind or (problem.namespace, problem.name) not in identities
        ]
        if kind == "Namespace":
            self._namespaces = {name: item for name, item in self._namespaces.items() if ("", name) not in identities}
            self._refused_namespaces = {name for name in self._refused_namespaces if ("", name) not in identities}
            if ("", IDENTITY_NAMESPACE) in identities:
                self.cluster_uid = ""
        else:
            self._items[kind] = [item for item in self._items[kind] if _identity(kind, item) not in identities]

    def missing_namespaces(self) -> Mapping[str, Counter[str]]:
        """Namespaces that objects are in and that were not read: name to how many objects of which kind."""
        missing: dict[str, Counter[str]] = {}
        for kind, items in self._items.items():
            if kind in project.CLUSTER_SCOPED:
                continue
            for item in items:
                if item.namespace not in self._namespaces and item.namespace not in self._refused_namespaces:
                    missing.setdefault(item.namespace, Counter())[kind] += 1
        return dict(sorted(missing.items()))

    def assume_namespace(self, name: str) -> None:
        """Add a namespace of which nothing but its name is known."""
        self._namespaces[name] = Namespace(name, {project.NAME_LABEL: name})

    def snapshot(self, resource_versions: Mapping[str, str]) -> Snapshot:
        items: dict[str, Any] = self._items
        pods: list[Pod] = items["Pod"]
        nodes: list[Node] = items["Node"]
        services: list[Service] = items["Service"]
        policies: list[NetworkPolicy] = items["NetworkPolicy"]
        cluster_policies: list[ClusterNetworkPolicy] = items["ClusterNetworkPolicy"]
        return make(
            Cluster(uid=self.cluster_uid, resource_versions=dict(sorted(resource_versions.items()))),
            namespaces=list(self._namespaces.values()),
            pods=pods,
            nodes=nodes,
            services=services,
            network_policies=policies,
            cluster_network_policies=cluster_policies,
            problems=self.problems,
        )

    def _note_version(self, kind: str, raw: Mapping[str, Any]) -> None:
        version = raw["metadata"].get("resourceVersion")
        if isinstance(version, str) and version.isascii() and version.isdigit():
            newest = self.newest.get(kind)
            if not newest or int(version) > newest.version:
                self.newest[kind] = Newest(int(version), *project.identity(kind, raw))

    def _add_namespace(self, raw: Mapping[str, Any], item: Namespace | None) -> None:
        _none, name = project.identity("Namespace", raw)
        if item is None:
            self._refused_namespaces.add(name)
            self._namespaces.pop(name, None)
            return
        self._namespaces[name] = item
        self._refused_namespaces.discard(name)
        if name == IDENTITY_NAMESPACE:
            self.cluster_uid = str(raw["metadata"].get("uid") or "")


def _identity(kind: str, item: Any) -> tuple[str, str]:
    return "" if kind in project.CLUSTER_SCOPED else item.namespace, item.name
