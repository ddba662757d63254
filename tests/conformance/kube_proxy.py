# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kube-proxy makes of a connection: which nodes forward it, and its addresses and port as each of them sees them.

Its DNAT precedes FORWARD, its masquerading follows: the node that translates still sees the client, the backend's node
that node. (``lab.kube_proxy`` has the rules themselves.) A Service is asked by its own port as

- ``service NAMESPACE/NAME``: its ClusterIP;
- ``nodeport NAMESPACE/NAME via NODE``: its node port on that node;
- ``balancer NAMESPACE/NAME``: its load balancer's address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from lab.cluster import OUTSIDE, Cluster, family_of
from lab.services import balancer_routes
from lab.spec import Family, Pod, Service, ServicePort

from .flow import Flow
from .walk import hops

_family = cache(family_of)


class UnknownWayError(LookupError):
    """A flow of which nobody can tell which way it takes, or that gets no answer whatever the policies say."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A connection as one node's FORWARD chain sees it.

    ``marked``: it will be masqueraded, and kube-proxy accepts it by its mark once it comes to KUBE-FORWARD.
    """

    node: str
    source: str
    destination: str
    port: int
    marked: bool = False


Way = tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class _End:
    """``node`` is empty outside; ``is_pod``: behind its node, which forwards for it, and not the node itself."""

    node: str
    is_pod: bool
    address: str


def ways(cluster: Cluster, flow: Flow) -> tuple[Way, ...]:
    """The ways that a flow can take, of which chance takes one. Raises :class:`UnknownWayError`."""
    source = _end(cluster, flow.sender, flow.family)
    if flow.claims:
        source = replace(source, address=address(cluster, flow.claims, flow.family))
    kind, _space, rest = flow.target.partition(" ")
    match kind:
        case "service" | "balancer" | "nodeport":
            key, _via, via = rest.partition(" via ")
            found = tuple(_Asked(cluster, flow, key, source).ways(kind, via))
            if not found:
                raise UnknownWayError(f"{flow}: nobody answers there")
            return found
    return (tuple(_straight(source, _end(cluster, flow.target, flow.family), flow.port)),)


def asked_at(cluster: Cluster, flow: Flow) -> tuple[str, int]:
    """The address and the port that the client itself uses."""
    kind, _space, rest = flow.target.partition(" ")
    key, _via, via = rest.partition(" via ")
    match kind:
        case "service":
            return _of_family(cluster.services[key].cluster_ips, flow.family), flow.port
        case "balancer":
            return _of_family(cluster.services[key].load_balancer_ips, flow.family), flow.port
        case "nodeport":
            return _of_family(cluster.node_ips(via), flow.family), _port(cluster.services[key], flow).node_port
    return address(cluster, flow.target, flow.family), flow.port


def address(cluster: Cluster, place: str, family: Family) -> str:
    """Where a pod, a node or ``ext`` is in one family."""
    if place == "ext":
        return OUTSIDE[family]
    return _of_family(cluster.node_ips(place) if place in cluster.nodes else cluster.pods[place].ips, family)


class _Asked:
    """One Service as one client asks for it."""

    def __init__(self, cluster: Cluster, flow: Flow, key: str, source: _End) -> None:
        self._cluster = cluster
        self._flow = flow
        self._source = source
        self._service = cluster.services[key]
        self._port = _port(self._service, flow)
        self._backends = [_end(cluster, pod.key, flow.family) for pod in cluster.selected(self._service)]
        self._is_local = self._service.external_traffic_policy == "Local"

    def ways(self, kind: str, via: str) -> Iterator[Way]:
        if kind == "nodeport":
            yield from self._through(via)
        elif kind == "service":
            if not self._source.node:
                raise UnknownWayError(f"{self._flow}: a ClusterIP means nothing outside")
            for backend in self._backends:
                yield self._translated(self._source.node, backend, masquerades=not self._source.is_pod)
        elif self._source.node:
            # The balancer's address is translated at once, as if it were a node port here.
            yield from self._through(self._source.node)
        else:
            for node in self._balanced():
                yield from self._through(node)

    def _balanced(self) -> Iterator[str]:
        """The nodes to which the balancer sends."""
        [own, *_others] = [ip for ip in self._service.load_balancer_ips if family_of(ip) == self._flow.family]
        hops = balancer_routes(self._cluster).get(own, ())
        return (node for node in self._cluster.nodes if set(hops) & set(self._cluster.node_ips(node)))

    def _through(self, via: str) -> Iterator[Way]:
        """By the external address that node ``via`` translates."""
        to_node = _End(via, is_pod=False, address=_of_family(self._cluster.node_ips(via), self._flow.family))
        before = _straight(self._source, to_node, self._port.node_port) if self._source.node != via else ()
        for backend in self._eligible(via):
            # A pod keeps its address with policy Local, and the outside does where the policy wants that.
            masquerades = not self._is_local or (self._source.node == via and not self._source.is_pod)
            yield (*before, *self._translated(via, backend, masquerades=masquerades))

    def _eligible(self, via: str) -> Iterator[_End]:
        """The backends to which ``via`` may translate."""
        for backend in self._backends:
            if not self._is_local or via in (self._source.node, backend.node):
                yield backend
            elif self._source.is_pod:
                raise UnknownWayError(f"{self._flow}: the answer may go past {via}, and is lost then")

    def _translated(self, at: str, backend: _End, *, masquerades: bool) -> Way:
        """From the node that translates on. A pod that reaches itself is masqueraded too."""
        marked = masquerades or self._source.address == backend.address
        port = int(self._port.target or self._port.port)
        legs = []
        is_own = self._source.node == at and not self._source.is_pod
        if not is_own and (backend.node != at or backend.is_pod):
            legs.append(Leg(at, self._source.address, backend.address, port, marked))
        if backend.node != at and backend.is_pod:
            seen = _of_family(self._cluster.node_ips(at), self._flow.family) if marked else self._source.address
            legs.append(Leg(backend.node, seen, backend.address, port))
        return tuple(legs)


def _straight(source: _End, destination: _End, port: int) -> Iterator[Leg]:
    """Without translation."""
    for node in hops((source.node, source.is_pod), (destination.node, destination.is_pod)):
        yield Leg(node, source.address, destination.address, port)


def _end(cluster: Cluster, place: str, family: Family) -> _End:
    node, is_pod = _position(cluster, place)
    return _End(node, is_pod, address(cluster, place, family))


def _position(cluster: Cluster, place: str) -> tuple[str, bool]:
    if place in cluster.nodes:
        return place, False
    pod: Pod | None = cluster.pods.get(place)
    return (pod.node, not pod.host_network) if pod else ("", False)


def _port(service: Service, flow: Flow) -> ServicePort:
    for each in service.ports:
        if (each.port, each.protocol) == (flow.port, flow.protocol):
            return each
    raise UnknownWayError(f"{flow}: the Service has no such port")


def _of_family(ips: Iterable[str], family: Family) -> str:
    return next(ip for ip in ips if _family(ip) == family)
