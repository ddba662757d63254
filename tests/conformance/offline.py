# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judging without a kernel: a step by the oracle, and a step or any snapshot by the product and the packet walk."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache

from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.gather import Gathering
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import hook, render
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from lab import objects
from lab.cluster import Cluster
from lab.network import GATEWAY
from lab.spec import Family

from . import oracle
from .case import Enforcement, Step
from .flow import Flow
from .kube_proxy import Leg, Way, address, ways
from .walk import Filter, Packet, hops

_FIRST_PLACE = Enforcement()
_ICMP = {4: "icmp", 6: "ipv6-icmp"}
# Of a router's or a receiver's errors: which of their types it is makes no difference to any rule of ours.
_SOLICITATION = 135
_UNREACHABLE = {4: 3, 6: 1}
_FABRIC = {4: GATEWAY["ipv4"], 6: GATEWAY["ipv6"]}


class UncertainError(ValueError):
    """The verdict on a flow depends on which way it takes by chance: no case can be about it."""


@cache
def _renderer() -> render.Renderer:
    return render.Renderer(render.environment(loader()))


class Enforced:
    """What the product makes of a snapshot: each node's rendered files, walked by packets."""

    def __init__(self, snapshot: Snapshot, enforcement: Enforcement = _FIRST_PLACE) -> None:
        self._snapshot = snapshot
        self._enforcement = enforcement
        self._compiler = Compiler(snapshot, Settings(self._enforcement.always_allowed_sources))
        self._filters: dict[str, Filter] = {}
        self._ends: dict[str, oracle.End] = {}

    def passes(self, source: str, destination: str, protocol: str, port: int) -> bool:
        """Addresses. Raises :class:`conformance.walk.WalkError` on text that a kernel would refuse."""
        start, end = self._end(source), self._end(destination)
        on_the_way = hops((start.node, start.pod is not None), (end.node, end.pod is not None))
        return self.lets_through([Leg(node, source, destination, port) for node in on_the_way], protocol)

    def lets_through(self, way: Iterable[Leg], protocol: str) -> bool:
        """Whether every node on the way forwards the first packet, and then what comes back."""
        return all(
            self.filter(leg.node).passes(packet)
            for leg in _judged(way, self._enforcement)
            for packet in (_first(leg, protocol), *_back(leg, protocol))
        )

    def keeps(self, way: Iterable[Leg], protocol: str) -> bool:
        """Whether every node on the way goes on forwarding a connection that it knows."""
        return all(
            self.filter(leg.node).passes(packet)
            for leg in _judged(way, self._enforcement)
            for packet in (replace(_first(leg, protocol), state="ESTABLISHED"), *_back(leg, protocol))
        )

    def filter(self, node: str) -> Filter:
        if node not in self._filters:
            text = self.files(node)
            self._filters[node] = Filter(text.ipset, text.iptables, text.ip6tables)
        return self._filters[node]

    def files(self, node: str) -> render.Rendered:
        """The restore files of a node."""
        return _renderer().render(self._compiler.ruleset(node))

    def _end(self, address: str) -> oracle.End:
        if address not in self._ends:
            self._ends[address] = oracle.locate(self._snapshot, address)
        return self._ends[address]


def _judged(way: Iterable[Leg], enforcement: Enforcement) -> list[Leg]:
    """Behind kube-proxy's chains we don't see what it accepts."""
    return [leg for leg in way if enforcement.hook == hook.FIRST or not leg.marked]


def _first(leg: Leg, protocol: str) -> Packet:
    if protocol == "ND":
        # Connection tracking leaves it out.
        name = _name(leg, protocol)
        return Packet(leg.source, leg.destination, name, state="UNTRACKED", icmp_type=_SOLICITATION)
    return Packet(leg.source, leg.destination, _name(leg, protocol), 0 if protocol == "IP" else leg.port)


def _back(leg: Leg, protocol: str) -> Iterator[Packet]:
    """What belongs to a connection that was let through: replies, and errors from its end and from on the way."""
    if protocol == "ND":
        advertisement = replace(_first(leg, protocol), source=leg.destination, destination=leg.source)
        yield replace(advertisement, icmp_type=_SOLICITATION + 1)
        return
    yield Packet(leg.destination, leg.source, _name(leg, protocol), state="ESTABLISHED")
    for sender in (leg.destination, _FABRIC[_version(leg)]):
        error = _UNREACHABLE[_version(leg)]
        yield Packet(sender, leg.source, _ICMP[_version(leg)], state="RELATED", icmp_type=error)


def _name(leg: Leg, protocol: str) -> str:
    return _ICMP[_version(leg)] if protocol in ("ICMP", "ND") else protocol.lower()


def _version(leg: Leg) -> int:
    return 6 if ":" in leg.source else 4


# Steps of cases


def snapshot_of(step: Step) -> Snapshot:
    """Of what is in force: the cluster may have moved on."""
    known = step.in_force or step
    gathering = Gathering()
    for raw in (*objects.all_objects(Cluster.of(known.spec)), *known.policies):
        gathering.add(raw["kind"], raw)
    return gathering.snapshot({})


def by_oracle(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, bool]:
    return {flow: verdict.allowed for flow, verdict in verdicts(step, flows).items()}


def verdicts(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, oracle.Verdict]:
    """What the oracle says, with the rules by which it says so. Raises :class:`UncertainError`."""
    judge = _Oracle(step)
    return {flow: judge.verdict(flow) for flow in flows}


class _Oracle:
    def __init__(self, step: Step) -> None:
        self._snapshot = snapshot_of(step)
        self._cluster = Cluster.of(step.spec)
        self._enforcement = step.enforcement
        self._end = cache(self._locate)

    def _locate(self, place: str, family: Family) -> oracle.End:
        return oracle.locate(self._snapshot, address(self._cluster, place, family))

    def verdict(self, flow: Flow) -> oracle.Verdict:
        if flow.is_direct:
            source, destination = (self._end(each, flow.family) for each in (flow.source, flow.target))
            return oracle.between_ends(self._snapshot, source, destination, flow.protocol, flow.port)
        verdicts = {self._on_way(way, flow.protocol) for way in ways(self._cluster, flow)}
        if len({verdict.allowed for verdict in verdicts}) > 1:
            raise UncertainError(f"{flow}: allowed on one way, denied on another")
        return _together(verdicts, allowed=all(verdict.allowed for verdict in verdicts))

    def _on_way(self, way: Way, protocol: str) -> oracle.Verdict:
        if not way:
            # What no node forwards is between a pod and its own node.
            return oracle.Verdict(True, (33,))
        always = self._enforcement.always_allowed_sources
        verdicts = [
            oracle.at_node(self._snapshot, leg.node, leg.source, leg.destination, protocol, leg.port, always)
            for leg in _judged(way, self._enforcement)
        ]
        return _together(verdicts, allowed=all(each.allowed for each in verdicts))


def _together(verdicts: Collection[oracle.Verdict], *, allowed: bool) -> oracle.Verdict:
    rules = {rule for each in verdicts if each.allowed == allowed for rule in each.rules}
    return oracle.Verdict(allowed, tuple(sorted(rules)))


def by_walk(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, bool]:
    """Raises :class:`UncertainError`."""
    enforced, cluster = Enforced(snapshot_of(step), step.enforcement), Cluster.of(step.spec)
    return {flow: _by_walk(enforced, cluster, flow) for flow in flows}


def stopped_by_walk(step: Step) -> tuple[Flow, ...]:
    """Of the flows that last until this step, those that do not get through it."""
    enforced, cluster = Enforced(snapshot_of(step), step.enforcement), Cluster.of(step.spec)
    return tuple(
        flow for flow in step.lasting if not all(enforced.keeps(way, flow.protocol) for way in ways(cluster, flow))
    )


def _by_walk(enforced: Enforced, cluster: Cluster, flow: Flow) -> bool:
    verdicts = {enforced.lets_through(way, flow.protocol) for way in ways(cluster, flow)}
    if len(verdicts) > 1:
        raise UncertainError(f"{flow}: passes on one way, not on another")
    return verdicts.pop()
