# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The snapshot: all that enforcement needs to know of a cluster, read once, as plain data with a JSON form.

Every later step sees this and nothing else, so that a run can be replayed, compared and explained offline.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from .problem import Problem

FORMAT = "npm.netpol/snapshot"
VERSION = 2


class SnapshotFormatError(ValueError):
    """The data is not a snapshot, or one of a version that this code does not read."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster, and at which point of its history.

    ``uid`` is the UID of the namespace ``kube-system``; empty when it is not known (manifests without it).
    ``resource_versions`` has one entry for each list that was read: ``{"pods": "4711"}``.
    """

    uid: str = ""
    resource_versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The highest list resourceVersion, which orders two snapshots of one cluster; 0 when there is none."""
        return max((int(value) for value in self.resource_versions.values() if value.isdigit()), default=0)


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NamedPort:
    """One ``containerPort`` that has a name, of a container or a restartable init container (rules 18, 19)."""

    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod as the API reports it, whether or not it can be enforced: the compiler decides that (rules 29, 30).

    ``created`` is ``metadata.creationTimestamp`` (RFC 3339, so that text order is time order). ``unreadable``
    says that its labels or ``hostNetwork`` were not what the API allows: nobody can tell which policies select
    it, so it is isolated in both directions and is a peer of nobody.
    """

    namespace: str
    name: str
    labels: Mapping[str, str]
    node: str = ""
    ips: tuple[str, ...] = ()
    phase: str = ""
    host_network: bool = False
    terminating: bool = False
    created: str = ""
    ports: tuple[NamedPort, ...] = ()
    unreadable: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A node. ``addresses`` are the values of ``status.addresses`` of the types InternalIP and ExternalIP.

    ``os`` is the label ``kubernetes.io/os``, else ``status.nodeInfo.operatingSystem``. ``virtual`` marks a
    node with no kernel of its own (virtual-kubelet). ``uid`` tells the machine from another one that had its name
    before, ``boot_id`` (``status.nodeInfo.bootID``) this start of it from the last; manifests may lack both.
    """

    name: str
    labels: Mapping[str, str]
    addresses: tuple[str, ...] = ()
    os: str = "linux"
    virtual: bool = False
    uid: str = ""
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """What the report on NodePort and LoadBalancer Services needs; rules never depend on a Service (rule 15)."""

    namespace: str
    name: str
    type: str = "ClusterIP"
    selector: Mapping[str, str] = field(default_factory=dict)
    external_traffic_policy: str = ""


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """A NetworkPolicy with its ``spec`` as the API gave it: only the compiler judges what is valid in it.

    ``annotations`` holds those of our own prefix (``netpol.npm/``) only.
    """

    namespace: str
    name: str
    spec: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterNetworkPolicy:
    """A ClusterNetworkPolicy (policy.networking.k8s.io) with its ``spec`` as the API gave it."""

    name: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of one cluster. Every list is sorted by namespace and name (:func:`make`)."""

    cluster: Cluster = Cluster()
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    services: tuple[Service, ...] = ()
    network_policies: tuple[NetworkPolicy, ...] = ()
    cluster_network_policies: tuple[ClusterNetworkPolicy, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def id(self) -> str:
        """SHA-256 (hex) of the JSON form: the same cluster state gives the same id."""
        return hashlib.sha256(dump(self).encode()).hexdigest()


_LISTS: Mapping[str, type] = {
    "namespaces": Namespace,
    "nodes": Node,
    "services": Service,
    "network_policies": NetworkPolicy,
    "cluster_network_policies": ClusterNetworkPolicy,
}


def make(
    cluster: Cluster,
    *,
    namespaces: list[Namespace] | None = None,
    pods: list[Pod] | None = None,
    nodes: list[Node] | None = None,
    services: list[Service] | None = None,
    network_policies: list[NetworkPolicy] | None = None,
    cluster_network_policies: list[ClusterNetworkPolicy] | None = None,
    problems: list[Problem] | None = None,
) -> Snapshot:
    """A snapshot with everything in its order, so that the order in which lists arrive changes nothing."""
    return Snapshot(
        cluster=cluster,
        namespaces=tuple(sorted(namespaces or (), key=lambda item: item.name)),
        pods=tuple(sorted(pods or (), key=lambda item: (item.namespace, item.name))),
        nodes=tuple(sorted(nodes or (), key=lambda item: item.name)),
        services=tuple(sorted(services or (), key=lambda item: (item.namespace, item.name))),
        network_policies=tuple(sorted(network_policies or (), key=lambda item: (item.namespace, item.name))),
        cluster_network_policies=tuple(sorted(cluster_network_policies or (), key=lambda item: item.name)),
        problems=tuple(sorted(set(problems or ()))),
    )


def dump(snapshot: Snapshot) -> str:
    """The JSON form: versioned, sorted, one line."""
    data: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "cluster": _plain(snapshot.cluster),
        "pods": [_plain_pod(pod) for pod in snapshot.pods],
        "problems": [problem.to_json() for problem in snapshot.problems],
    }
    for name in _LISTS:
        data[name] = [_plain(item) for item in getattr(snapshot, name)]
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def load(text: str) -> Snapshot:
    """Read the JSON form.

    Raises :class:`SnapshotFormatError` on anything else.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise SnapshotFormatError(f"not JSON: {error}") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SnapshotFormatError(f"not a snapshot: 'format' is not {FORMAT!r}")
    if data.get("version") != VERSION:
        raise SnapshotFormatError(f"snapshot version {data.get('version')!r}; this code reads version {VERSION}")
    try:
        lists = {name: tuple(kind(**item) for item in data[name]) for name, kind in _LISTS.items()}
        return Snapshot(
            cluster=Cluster(**data["cluster"]),
            pods=tuple(_pod(item) for item in data["pods"]),
            problems=tuple(Problem.from_json(item) for item in data["problems"]),
            **{name: _with_tuples(items) for name, items in lists.items()},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotFormatError(f"damaged snapshot: {error!r}") from error


def _plain(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in _field_names(item.__class__)}


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    """Asked for once, not for each of many thousand pods."""
    return tuple(each.name for each in fields(kind))


def _plain_pod(pod: Pod) -> dict[str, Any]:
    data = _plain(pod)
    data["ports"] = [[port.name, port.protocol, port.port] for port in pod.ports]
    return data


def _pod(data: dict[str, Any]) -> Pod:
    data["ips"] = tuple(data["ips"])
    data["ports"] = tuple(NamedPort(*port) for port in data["ports"])
    return Pod(**data)


def _with_tuples(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if items and isinstance(items[0], Node):
        return tuple(replace(node, addresses=tuple(node.addresses)) for node in items)
    return items
