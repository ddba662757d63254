# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lab consists of, as plain data. Addresses that are left out are chosen by the lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal["ipv4", "ipv6"]
# IP: the "port" is then the number of an IP protocol that has none.
Protocol = Literal["TCP", "UDP", "SCTP", "IP"]
Variant = Literal["nft", "legacy"]
ProxyMode = Literal["iptables", "nftables", "ipvs", "none"]
# Interfaces by which a datapath that bypasses FORWARD is recognised.
Foreign = Literal["cilium", "cbr0"]
TrafficPolicy = Literal["Cluster", "Local"]
ServiceType = Literal["ClusterIP", "NodePort", "LoadBalancer"]


@dataclass(frozen=True, slots=True)
class Node:
    """A node.

    ``variant`` is the iptables variant of kubelet and kube-proxy, ``alternative`` the one that the plain name
    ``iptables`` runs; empty: the lab's. ``joined`` False: a machine that the API does not know (yet).
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    proxy_mode: ProxyMode = "iptables"
    variant: Variant | None = None
    alternative: Variant | None = None
    foreign: tuple[Foreign, ...] = ()
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Namespace:
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Port:
    """A ``containerPort``; the lab answers on it."""

    port: int
    protocol: Protocol = "TCP"
    name: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """A container; ``sidecar`` makes it a restartable init container."""

    name: str = "app"
    ports: tuple[Port, ...] = ()
    sidecar: bool = False


WEB = (Container("app", (Port(8080, "TCP", "http"), Port(8080, "UDP"), Port(8080, "SCTP"))),)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. The lab gives it a network namespace only where it has one in Kubernetes: running, not hostNetwork.

    ``listen`` are ports that the lab answers on although no container declares them. ``ips`` empty: the node's
    next free ones. ``mtu`` is that of its node's end of the wire: the pod, which does not know, can only send less.
    """

    namespace: str
    name: str
    node: str
    labels: Mapping[str, str] = field(default_factory=dict)
    containers: tuple[Container, ...] = WEB
    listen: tuple[Port, ...] = ()
    host_network: bool = False
    phase: Literal["Pending", "Running", "Succeeded", "Failed"] = "Running"
    terminating: bool = False
    ips: tuple[str, ...] = ()
    mtu: int = 1500

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def ports(self) -> tuple[Port, ...]:
        """Everything that the pod answers on."""
        return tuple(port for container in self.containers for port in container.ports) + self.listen

    @property
    def running(self) -> bool:
        return self.phase == "Running"

    @property
    def has_network(self) -> bool:
        """Whether it lives in a network namespace of its own."""
        return self.running and not self.host_network


@dataclass(frozen=True, slots=True)
class ServicePort:
    """``target`` is a number or the name of a container's port; None: the same as ``port``."""

    port: int
    target: int | str | None = None
    protocol: Protocol = "TCP"
    name: str = ""
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A Service; ``cluster_ips``, ``load_balancer_ips`` and node ports that are left out are chosen by the lab."""

    namespace: str
    name: str
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...] = (ServicePort(80, 8080),)
    type: ServiceType = "ClusterIP"
    external_traffic_policy: TrafficPolicy = "Cluster"
    cluster_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A whole lab. The namespaces ``default`` and ``kube-system`` and those that pods name exist always."""

    nodes: tuple[Node, ...]
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    families: tuple[Family, ...] = ("ipv4", "ipv6")
    variant: Variant = "nft"
    # The node's /bin/sh.
    shell: Literal["dash", "bash", "busybox"] = "dash"
    # Kubernetes objects that are loaded into the API as they are (policies, odd objects).
    objects: tuple[dict[str, Any], ...] = ()


def small(variant: Variant = "nft", families: tuple[Family, ...] = ("ipv4", "ipv6")) -> LabSpec:
    """Two nodes, seven pods in two namespaces, one of them on its node's network: enough for most tests and people."""
    first, second = "aks-nodepool1-12345678-vmss000000", "aks-nodepool1-12345678-vmss000001"
    return LabSpec(
        nodes=(Node(first), Node(second)),
        namespaces=(Namespace("shop", {"team": "shop"}), Namespace("other", {"team": "other"})),
        pods=(
            Pod("shop", "web-1", first, {"app": "web"}),
            Pod("shop", "web-2", second, {"app": "web"}),
            Pod("shop", "client-1", first, {"app": "client"}),
            Pod("shop", "client-2", second, {"app": "client"}),
            Pod("other", "client-1", first, {"app": "client"}),
            Pod("other", "client-2", second, {"app": "client"}),
            Pod("kube-system", "host-1", first, {"app": "host"}, host_network=True,
                containers=(Container("app", (Port(9100, "TCP", "metrics"),)),)),
        ),
        services=(
            Service("shop", "web", {"app": "web"}),
            Service("shop", "web-cluster", {"app": "web"}, type="LoadBalancer"),
            Service("shop", "web-local", {"app": "web"}, type="LoadBalancer", external_traffic_policy="Local"),
        ),
        families=families,
        variant=variant,
    )  # fmt: skip
