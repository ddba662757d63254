# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The state of a lab's cluster as data: what exists, with every address and node port filled in, and its JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from .netns import LabError
from .spec import Container, Family, LabSpec, Namespace, Node, Pod, Port, Service, ServicePort, Variant

POD_NETWORK = {"ipv4": "10.244.0.0/15", "ipv6": "fd00:10:244::/48"}
CONTROLLER = {"ipv4": "10.240.0.4", "ipv6": "fd00:10:240::4"}
OUTSIDE = {"ipv4": "198.51.100.10", "ipv6": "2001:db8:51::10"}
_FIRST_NODE = 10
_FIRST_POD = 4
_LAST_POD = 254
_FIRST_NODE_PORT = 30000


def family_of(address: str) -> Family:
    return "ipv4" if ip_address(address).version == 4 else "ipv6"


@dataclass(slots=True)
class Cluster:
    """``index`` numbers the nodes from 1; it decides their addresses and their pods'."""

    families: tuple[Family, ...]
    variant: Variant
    shell: str = "dash"
    nodes: dict[str, Node] = field(default_factory=dict)
    index: dict[str, int] = field(default_factory=dict)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    @classmethod
    def of(cls, spec: LabSpec) -> Cluster:
        cluster = cls(spec.families, spec.variant, spec.shell)
        for node in spec.nodes:
            cluster.add_node(node)
        for name in ("default", "kube-system", *(pod.namespace for pod in spec.pods)):
            cluster.namespaces.setdefault(name, Namespace(name))
        for namespace in spec.namespaces:
            cluster.namespaces[namespace.name] = namespace
        # Addresses that are asked for are taken before others are chosen.
        for pod in sorted(spec.pods, key=lambda pod: not pod.ips):
            cluster.add_pod(pod)
        cluster.pods = {pod.key: cluster.pods[pod.key] for pod in spec.pods}
        for service in spec.services:
            cluster.add_service(service)
        return cluster

    # Nodes

    def add_node(self, node: Node) -> Node:
        if node.name in self.nodes:
            raise LabError(f"node {node.name}: exists already")
        self.index[node.name] = max(self.index.values(), default=0) + 1
        filled = replace(node, variant=node.variant or self.variant, alternative=node.alternative or self.variant)
        self.nodes[node.name] = filled
        return filled

    def node_ips(self, name: str) -> tuple[str, ...]:
        last = _FIRST_NODE + self.index[name] - 1
        every: dict[Family, str] = {"ipv4": f"10.240.{last // 256}.{last % 256}", "ipv6": f"fd00:10:240::{last}"}
        return tuple(every[family] for family in self.families)

    def pod_cidr(self, name: str, family: Family) -> str:
        index = self.index[name]
        return f"10.{244 + index // 256}.{index % 256}.0/24" if family == "ipv4" else f"fd00:10:244:{index}::/64"

    # Pods

    def add_pod(self, pod: Pod) -> Pod:
        """Put the pod in, with addresses; returns it as it is then."""
        if pod.key in self.pods:
            raise LabError(f"pod {pod.key}: exists already")
        if pod.node not in self.nodes:
            raise LabError(f"pod {pod.key}: no node {pod.node!r}")
        if pod.namespace not in self.namespaces:
            raise LabError(f"pod {pod.key}: no namespace {pod.namespace!r}")
        if pod.host_network:
            pod = replace(pod, ips=self.node_ips(pod.node))
        elif pod.phase != "Pending" and not pod.ips:
            pod = replace(pod, ips=tuple(self._free_pod_ip(pod.node, family) for family in self.families))
        holders = {ip: other.key for other in self.pods.values() if other.has_network for ip in other.ips}
        for ip in pod.ips if pod.has_network else ():
            if ip in holders:
                raise LabError(f"pod {pod.key}: {ip} is {holders[ip]}'s")
        self.pods[pod.key] = pod
        return pod

    def _free_pod_ip(self, node: str, family: Family) -> str:
        taken = {ip for pod in self.pods.values() for ip in pod.ips}
        base = self.pod_cidr(node, family).rsplit("/", 1)[0].removesuffix("0")
        for last in range(_FIRST_POD, _LAST_POD + 1):
            if f"{base}{last}" not in taken:
                return f"{base}{last}"
        raise LabError(f"node {node}: no free pod address")

    def selected(self, service: Service) -> Iterator[Pod]:
        """The Service's ready endpoints, sorted by name."""
        for key in sorted(self.pods):
            pod = self.pods[key]
            if pod.namespace != service.namespace or not pod.running or pod.terminating or not service.selector:
                continue
            if service.selector.items() <= pod.labels.items():
                yield pod

    # Services

    def add_service(self, service: Service) -> Service:
        """Put the Service in, with its addresses and node ports; returns it as it is then."""
        if service.key in self.services:
            raise LabError(f"service {service.key}: exists already")
        taken = {ip for other in self.services.values() for ip in other.cluster_ips + other.load_balancer_ips}
        if not service.cluster_ips:
            clusters: dict[Family, str] = {"ipv4": "10.0.1.", "ipv6": "fd00:10::"}
            service = replace(service, cluster_ips=tuple(_free(clusters[each], taken) for each in self.families))
        if service.type == "LoadBalancer" and not service.load_balancer_ips:
            balancers: dict[Family, str] = {"ipv4": "203.0.113.", "ipv6": "2001:db8:203::"}
            ips = tuple(_free(balancers[each], taken) for each in self.families)
            service = replace(service, load_balancer_ips=ips)
        if service.type != "ClusterIP":
            service = replace(service, ports=tuple(self._with_node_ports(service)))
        self.services[service.key] = service
        return service

    def _with_node_ports(self, service: Service) -> Iterator[ServicePort]:
        taken = {port.node_port for other in self.services.values() for port in other.ports}
        taken |= {port.node_port for port in service.ports}
        for port in service.ports:
            if port.node_port:
                yield port
                continue
            number = next(n for n in range(_FIRST_NODE_PORT, _FIRST_NODE_PORT + 2768) if n not in taken)
            taken.add(number)
            yield replace(port, node_port=number)

    # JSON form

    def save(self, file: Path) -> None:
        data = asdict(self)
        temporary = file.with_suffix(".new")
        temporary.write_text(json.dumps(data, indent=1, sort_keys=False) + "\n")
        temporary.replace(file)

    @classmethod
    def load(cls, file: Path) -> Cluster:
        data: dict[str, Any] = json.loads(file.read_text())
        return cls(
            families=tuple(data["families"]),
            variant=data["variant"],
            shell=data["shell"],
            nodes={name: Node(**{**each, "foreign": tuple(each["foreign"])}) for name, each in data["nodes"].items()},
            index=data["index"],
            namespaces={name: Namespace(**each) for name, each in data["namespaces"].items()},
            pods={key: _pod(each) for key, each in data["pods"].items()},
            services={key: _service(each) for key, each in data["services"].items()},
        )


def _free(base: str, taken: set[str]) -> str:
    for last in range(10, 255):
        if f"{base}{last}" not in taken:
            return f"{base}{last}"
    raise LabError(f"no free Service address below {base}")


def _ports(items: list[dict[str, Any]]) -> tuple[Port, ...]:
    return tuple(Port(**item) for item in items)


def _pod(data: dict[str, Any]) -> Pod:
    containers = tuple(Container(**{**each, "ports": _ports(each["ports"])}) for each in data["containers"])
    return Pod(**{**data, "containers": containers, "listen": _ports(data["listen"]), "ips": tuple(data["ips"])})


def _service(data: dict[str, Any]) -> Service:
    tuples = {name: tuple(data[name]) for name in ("cluster_ips", "load_balancer_ips")}
    return Service(**{**data, **tuples, "ports": tuple(ServicePort(**port) for port in data["ports"])})
