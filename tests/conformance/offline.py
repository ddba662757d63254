# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judging without a kernel: a step by the oracle, and a step or any snapshot by the product and the packet walk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.gather import Gathering
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from lab import objects
from lab.cluster import OUTSIDE, Cluster, family_of
from lab.spec import Family

from . import oracle
from .case import Step
from .flow import Flow
from .walk import Filter, Packet, hops

_DEFAULTS = Settings()
_family_of = cache(family_of)
_ICMP = {4: "icmp", 6: "ipv6-icmp"}


@cache
def _renderer() -> render.Renderer:
    return render.Renderer(render.environment(loader()))


class Enforced:
    """What the product makes of a snapshot: each node's rendered files, walked by packets."""

    def __init__(self, snapshot: Snapshot, settings: Settings = _DEFAULTS) -> None:
        self._snapshot = snapshot
        self._compiler = Compiler(snapshot, settings)
        self._filters: dict[str, Filter] = {}
        self._ends: dict[str, oracle.End] = {}

    def passes(self, source: str, destination: str, protocol: str, port: int) -> bool:
        """Addresses. Raises :class:`conformance.walk.WalkError` on text that a kernel would refuse."""
        start, end = self._end(source), self._end(destination)
        name = _ICMP[start.address.version] if protocol == "ICMP" else protocol.lower()
        packet = Packet(source, destination, name, port)
        on_the_way = hops((start.node, start.pod is not None), (end.node, end.pod is not None))
        return all(self.filter(node).passes(packet) for node in on_the_way)

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


# Steps of cases


def snapshot_of(step: Step) -> Snapshot:
    gathering = Gathering()
    for raw in (*objects.all_objects(Cluster.of(step.spec)), *step.policies):
        gathering.add(raw["kind"], raw)
    return gathering.snapshot({})


def by_oracle(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, bool]:
    return {flow: verdict.allowed for flow, verdict in verdicts(step, flows).items()}


def verdicts(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, oracle.Verdict]:
    """What the oracle says, with the rules by which it says so."""
    snapshot, at = snapshot_of(step), Cluster.of(step.spec)
    end = cache(partial(oracle.locate, snapshot))
    return {flow: _verdict(snapshot, end, *_addresses(at, flow)) for flow in flows}


def _verdict(
    snapshot: Snapshot, end: Callable[[str], oracle.End], source: str, target: str, protocol: str, port: int
) -> oracle.Verdict:
    return oracle.between_ends(snapshot, end(source), end(target), protocol, port)


def by_walk(step: Step, flows: Iterable[Flow]) -> Mapping[Flow, bool]:
    enforced, at = Enforced(snapshot_of(step)), Cluster.of(step.spec)
    return {flow: enforced.passes(*_addresses(at, flow)) for flow in flows}


def _addresses(at: Cluster, flow: Flow) -> tuple[str, str, str, int]:
    """Source, destination, protocol, port as the destination sees them: behind its Service (rule 15)."""
    target, port = flow.target, flow.port
    if target.startswith("service "):
        service = at.services[target.removeprefix("service ")]
        [backend] = at.selected(service)
        target = backend.key
        port = next(int(each.target or each.port) for each in service.ports if each.port == flow.port)
    return address(at, flow.source, flow.family), address(at, target, flow.family), flow.protocol, port


def address(at: Cluster, place: str, family: Family) -> str:
    """Where a pod, a node or ``ext`` is in one family."""
    if place == "ext":
        return OUTSIDE[family]
    return of_family(at.node_ips(place) if place in at.nodes else at.pods[place].ips, family)


def of_family(ips: Iterable[str], family: Family) -> str:
    return next(ip for ip in ips if _family_of(ip) == family)
