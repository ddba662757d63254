# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services resolved to endpoints: what every kind of kube-proxy, and the balancer in front of the nodes, works from."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from .cluster import Cluster, family_of
from .spec import Family, Pod, Service, ServicePort


@dataclass(frozen=True, slots=True)
class Endpoint:
    ip: str
    port: int
    local: bool

    @property
    def target(self) -> str:
        """As DNAT spells it."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortRule:
    """One port of one Service in one family, as one node sees it."""

    name: str
    protocol: str
    port: int
    node_port: int
    cluster_ip: str
    balancer_ips: tuple[str, ...]
    local_only: bool
    endpoints: tuple[Endpoint, ...]

    @property
    def local_endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(each for each in self.endpoints if each.local)

    @property
    def hash(self) -> str:
        """What kube-proxy names the port's chains by."""
        return short_hash(f"{self.name}{self.protocol}")

    def endpoint_hash(self, endpoint: Endpoint) -> str:
        return short_hash(f"{self.name}{self.protocol}{endpoint.target}")

    @property
    def external(self) -> bool:
        return bool(self.node_port or self.balancer_ips)


def short_hash(text: str) -> str:
    """Sixteen characters of A to Z and 2 to 7."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def port_rules(cluster: Cluster, node: str, family: Family) -> list[PortRule]:
    """Every port of every Service that has an address of the family, sorted."""
    return list(_port_rules(cluster, node, family))


def _port_rules(cluster: Cluster, node: str, family: Family) -> Iterator[PortRule]:
    for key in sorted(cluster.services):
        service = cluster.services[key]
        own = [ip for ip in service.cluster_ips if family_of(ip) == family]
        if not own:
            continue
        for port in service.ports:
            yield PortRule(
                name=f"{key}:{port.name}" if port.name else key,
                protocol=port.protocol.lower(),
                port=port.port,
                node_port=port.node_port,
                cluster_ip=own[0],
                balancer_ips=tuple(ip for ip in service.load_balancer_ips if family_of(ip) == family),
                local_only=service.external_traffic_policy == "Local",
                endpoints=tuple(_endpoints(cluster, service, port, node, family)),
            )


def _endpoints(cluster: Cluster, service: Service, port: ServicePort, node: str, family: Family) -> Iterator[Endpoint]:
    for pod in cluster.selected(service):
        number = _target(pod, port)
        for ip in pod.ips:
            if number and family_of(ip) == family:
                yield Endpoint(ip, number, local=pod.node == node)


def _target(pod: Pod, port: ServicePort) -> int | None:
    if port.target is None or isinstance(port.target, int):
        return port.target or port.port
    for each in pod.ports:
        if (each.name, each.protocol) == (port.target, port.protocol):
            return each.port
    return None


def balancer_routes(cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Load balancer address -> the addresses of the nodes that the balancer finds healthy.

    With policy Local those with an endpoint of their own, else all. An address with none is left out.
    """
    routes = {}
    for service in cluster.services.values():
        nodes = [name for name, node in cluster.nodes.items() if node.joined]
        if service.external_traffic_policy == "Local":
            having = {pod.node for pod in cluster.selected(service)}
            nodes = [name for name in nodes if name in having]
        for ip in service.load_balancer_ips:
            hops = [hop for name in nodes for hop in cluster.node_ips(name) if family_of(hop) == family_of(ip)]
            if hops:
                routes[ip] = tuple(hops)
    return routes
