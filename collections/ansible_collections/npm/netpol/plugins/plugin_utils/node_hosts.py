# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a node of the cluster to a host of the inventory: its groups, its variables, and the address to reach it by."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .cluster.nodes import ClusterNode
from .node_selection import obstacle

MEMBERS = "npm_nodes"
LEFT_OUT = "npm_left_out"

FAMILIES = ("any", "ipv4", "ipv6")

# Ansible gives these names to something else.
_NAMES_OF_ANSIBLE = frozenset({"all", "ungrouped", "localhost"})
# AKS sets both; only the cloud may set the first.
_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")
_ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_ARCHITECTURE_LABEL = "kubernetes.io/arch"
_OS_SKU_LABEL = "kubernetes.azure.com/os-sku"
_UNREPORTED = "no kubelet has reported on it yet"


class NodeNameError(ValueError):
    """A node whose name can't be a host's."""


@dataclass(frozen=True, slots=True)
class AddressChoice:
    """Types of ``status.addresses`` in the order of preference, and which IP addresses count (:data:`FAMILIES`)."""

    types: tuple[str, ...] = ("InternalIP",)
    family: str = "any"

    def __str__(self) -> str:
        family = "" if self.family == "any" else f" of the family {self.family}"
        return f"{' or '.join(self.types)}{family}"


@dataclass(frozen=True, slots=True)
class NodeHost:
    """``groups`` may hold characters that a group's name can't. ``left_out``: why, empty for a member."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Any]
    left_out: str = ""


def node_host(node: ClusterNode, choice: AddressChoice) -> NodeHost:
    """The host that a node is. Raises :class:`NodeNameError`."""
    name, labels = node.node.name, node.node.labels
    if name in _NAMES_OF_ANSIBLE:
        raise NodeNameError(f"Node {name}: metadata.name: is a name that Ansible gives to something else")
    why = obstacle(node.node)
    left_out = why.reason if why else "" if node.reported else _UNREPORTED
    pool, zone = _first(labels, _POOL_LABELS), _first(labels, _ZONE_LABELS)
    architecture = labels.get(_ARCHITECTURE_LABEL) or node.architecture
    named = (("pool", pool), ("zone", zone), ("os", node.node.os), ("arch", architecture))
    address = address_of(node, choice)
    variables: dict[str, Any] = {
        "npm_node_uid": node.node.uid,
        "npm_node_boot_id": node.node.boot_id,
        "npm_node_labels": dict(sorted(labels.items())),
        "npm_node_pool": pool,
        "npm_node_zone": zone,
        "npm_node_os": node.node.os,
        "npm_node_os_sku": labels.get(_OS_SKU_LABEL, ""),
        "npm_node_os_image": node.os_image,
        "npm_node_kernel_version": node.kernel_version,
        "npm_node_architecture": architecture,
        "npm_node_kubelet_version": node.kubelet_version,
        "npm_node_container_runtime": node.container_runtime,
        "npm_node_ready": node.ready == "True",
        "npm_node_ready_reason": node.ready_reason,
        "npm_node_unschedulable": node.unschedulable,
        "npm_node_virtual": node.node.virtual,
        "npm_node_pod_cidrs": list(node.pod_cidrs),
        "npm_node_addresses": [{"type": each.type, "address": each.value} for each in node.addresses],
        "npm_node_left_out": left_out,
    }
    return NodeHost(
        name=name,
        groups=(
            LEFT_OUT if left_out else MEMBERS,
            *(f"npm_{kind}_{value}" for kind, value in named if value),
            "npm_ready" if node.ready == "True" else "npm_not_ready",
        ),
        variables=variables | ({"ansible_host": address} if address else {}),
        left_out=left_out,
    )


def address_of(node: ClusterNode, choice: AddressChoice) -> str | None:
    """The first address of the first type that the node has one of; in a list of the API the first is the primary."""
    for wanted in choice.types:
        for each in node.addresses:
            if each.type == wanted and _is_usable(each.value, choice.family):
                return each.value
    return None


def left_out_lines(hosts: Iterable[NodeHost]) -> Iterator[str]:
    """Who is left out, by reason: a line each."""
    names: dict[str, list[str]] = {}
    for host in hosts:
        if host.left_out:
            names.setdefault(host.left_out, []).append(host.name)
    for reason in sorted(names):
        yield f"{', '.join(sorted(names[reason]))}: {reason}"


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _is_usable(value: str, family: str) -> bool:
    """Whether a connection to it leaves this machine, by the wanted family; names are of every family."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return value != "localhost" and not value.endswith(".localhost")
    return not (address.is_loopback or address.is_link_local) and family in ("any", f"ipv{address.version}")
