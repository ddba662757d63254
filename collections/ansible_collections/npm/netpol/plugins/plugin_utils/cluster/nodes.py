# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cluster's nodes as an inventory needs them: what cloud and kubelet say of each, with a JSON form to keep."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..model.problem import Problem
from ..model.snapshot import Node
from . import project
from .client import ApiClient
from .listing import PAGE_SIZE, read_nodes

FORMAT = "npm.netpol/nodes"
VERSION = 2

IP_TYPES = ("InternalIP", "ExternalIP")
NAME_TYPES = ("Hostname", "InternalDNS", "ExternalDNS")

_NEVER_REPORTED = "NodeStatusNeverUpdated"
_ADDRESS_EFFECT = "this address is ignored"
# A name becomes an argument of ssh: one that begins with a dash would be an option there.
_HOST_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Address:
    """One of ``status.addresses``, checked: an IP address in canonical spelling, or the name of a host."""

    type: str
    value: str


@dataclass(frozen=True, slots=True)
class ClusterNode:
    """A node, and what the snapshot has no use for.

    ``ready`` is the status of its condition Ready (``True``, ``False``, ``Unknown``; empty without one), and
    ``ready_reason`` the condition's reason in one word.
    """

    node: Node
    addresses: tuple[Address, ...] = ()
    pod_cidrs: tuple[str, ...] = ()
    unschedulable: bool = False
    ready: str = ""
    ready_reason: str = ""
    architecture: str = ""
    kernel_version: str = ""
    os_image: str = ""
    kubelet_version: str = ""
    container_runtime: str = ""

    @property
    def reported(self) -> bool:
        """Whether a kubelet has ever reported on it; one that has stopped since has."""
        return bool(self.kubelet_version and self.ready) and self.ready_reason != _NEVER_REPORTED


@dataclass(slots=True)
class Nodes:
    """Nodes as they are gathered from a list, and what is wrong with them."""

    items: list[ClusterNode] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add(self, _kind: str, raw: Any) -> None:
        """Raises :class:`project.ObjectError` for an object without an identity."""
        self.items.append(cluster_node(raw, self.problems))


@dataclass(frozen=True, slots=True)
class Selectors:
    """Which nodes the API is asked for; all of them must hold."""

    labels: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def query(self) -> list[tuple[str, str]]:
        both = (("labelSelector", self.labels), ("fieldSelector", self.fields))
        return [(name, ",".join(selectors)) for name, selectors in both if selectors]


def read(client: ApiClient, page_size: int = PAGE_SIZE, selectors: Selectors = Selectors()) -> Nodes:
    """Read the nodes, sorted by name. Raises :class:`.client.ApiError` when the list can't be completed."""
    found = read_nodes(client, Nodes, page_size, selectors.query)
    return Nodes(sorted(found.items, key=lambda each: each.node.name), sorted(set(found.problems)))


def cluster_node(raw: Any, problems: list[Problem]) -> ClusterNode:
    """One node of the API. Raises :class:`project.ObjectError`."""
    node = project.node(raw, problems)
    source = project.identify("Node", raw, problems, namespaced=False)
    unknown = "it is unknown"
    status, spec = source.part("status", "its addresses are unknown"), source.part("spec", "its taints are unknown")
    information = source.mapping(status.get("nodeInfo"), "status.nodeInfo", "its operating system is unknown")
    conditions = source.maps(status.get("conditions"), "status.conditions", "this condition is not seen")
    path, ready = next((each for each in conditions if each[1].get("type") == "Ready"), ("", {}))
    cidrs = spec.get("podCIDRs")
    listed = cidrs if isinstance(cidrs, list) else [spec.get("podCIDR")]

    def told(name: str) -> str:
        return source.text(information.get(name), f"status.nodeInfo.{name}", unknown)

    return ClusterNode(
        node=node,
        addresses=tuple(
            dict.fromkeys(_addresses(source.maps(status.get("addresses"), "status.addresses", ""), source))
        ),
        pod_cidrs=tuple(filter(None, (source.text(each, "spec.podCIDRs", unknown) for each in listed))),
        unschedulable=spec.get("unschedulable") is True,
        ready=source.text(ready.get("status"), f"{path}.status", unknown),
        ready_reason=source.text(ready.get("reason"), f"{path}.reason", unknown),
        architecture=told("architecture"),
        kernel_version=told("kernelVersion"),
        os_image=told("osImage"),
        kubelet_version=told("kubeletVersion"),
        container_runtime=told("containerRuntimeVersion"),
    )


def to_json(nodes: Nodes) -> dict[str, Any]:
    """Plain data that any cache can keep."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "nodes": [asdict(each) for each in nodes.items],
        "problems": [each.to_json() for each in nodes.problems],
    }


def from_json(data: Any) -> Nodes | None:
    """What :func:`to_json` made; None for anything else, such as what another version of this code has kept."""
    if not isinstance(data, Mapping) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        return None
    try:
        return Nodes(
            [_node_from_json(each) for each in data["nodes"]], [Problem.from_json(each) for each in data["problems"]]
        )
    except (KeyError, TypeError):
        return None


def _addresses(listed: Iterator[tuple[str, Mapping[str, Any]]], source: project.Object) -> Iterator[Address]:
    for path, each in listed:
        kind, value = each.get("type"), each.get("address")
        if kind in IP_TYPES or kind in NAME_TYPES:
            checked = project.host_address(value) or (_host_name(value) if kind in NAME_TYPES else None)
            if checked:
                yield Address(kind, checked)
            else:
                what = "an IP address of a host" if kind in IP_TYPES else "the name of a host"
                source.report(f"{path}.address", f"{value!r} is not {what}", _ADDRESS_EFFECT)


def _host_name(value: Any) -> str | None:
    return value if isinstance(value, str) and _HOST_NAME.fullmatch(value) else None


def _node_from_json(data: Mapping[str, Any]) -> ClusterNode:
    values = {each.name: data[each.name] for each in fields(ClusterNode)}
    node = {each.name: data["node"][each.name] for each in fields(Node)}
    return ClusterNode(
        **values
        | {
            "node": Node(**node | {"addresses": tuple(node["addresses"])}),
            "addresses": tuple(Address(**each) for each in data["addresses"]),
            "pod_cidrs": tuple(data["pod_cidrs"]),
        }
    )
