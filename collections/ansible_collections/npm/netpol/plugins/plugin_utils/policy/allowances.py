# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one group of pods allows in one direction and family: the union of its policies' rules, in few rules.

Only allows exist, so their union may be regrouped freely (rule 3). A match on a set costs far more than one on an
address, so rules with the same ports share one set of peers, and rules with the same peers one list of ports.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from ..model.ruleset import Family, SetKind
from .cidr import whole
from .intervals import Interval, Intervals, covers, union
from .policies import IPBlock, NamedPeer, Peer, PodPeer, PolicyRule, Port, Spec

# What a (protocol, name) of a port stands for on the pod that is judged.
Resolve = Callable[[str, str], Iterable[int]]


@dataclass(frozen=True, slots=True)
class Allowance:
    """Something that is allowed: peers of one kind (``kind`` None: any peer) on these ports.

    ``protocol`` empty: any protocol; ``ports`` empty: any port. The members of a PORTS set bring their own. ``specs``
    are those that allow it, none where it is a setting.
    """

    protocol: str
    ports: Intervals
    kind: SetKind | None
    peers: frozenset[Peer]
    specs: frozenset[Spec]

    @property
    def is_everything(self) -> bool:
        return self.kind is None and not self.protocol


def allowances(rule: PolicyRule, spec: Spec, family: Family, resolve: Resolve | None) -> Iterator[Allowance]:
    """What one rule of a spec allows in one family.

    ``resolve`` gives the numbers of a named port on the pod whose ingress is judged; it is None for egress, where
    each destination has its own (rule 16).
    """
    specs = frozenset({spec})
    peers_by_kind = _peers_by_kind(rule, family)
    for protocol, numbers in _numbers_by_protocol(rule.ports, resolve):
        for kind, peers in peers_by_kind.items():
            yield Allowance(protocol, numbers, kind, peers, specs)
    if resolve is None:
        named = _named_peers(rule, family)
        if named:
            yield Allowance("", (), SetKind.PORTS, named, specs)


def combine(given: Iterable[Allowance], family: Family) -> list[Allowance]:
    """The same, in as few set matches as can be had without a look at members. The order given never matters."""
    combined = list(given)
    before = None
    while before != len(combined):
        before = len(combined)
        combined = [simple for each in _united(combined, _ports_key) for simple in _simplified(each, family)]
        combined = list(_united(combined, _peers_key))
    return _without_covered(combined)


def _peers_by_kind(rule: PolicyRule, family: Family) -> dict[SetKind | None, frozenset[Peer]]:
    if rule.peers is None:
        return {None: frozenset()}
    peers: defaultdict[SetKind | None, set[Peer]] = defaultdict(set)
    for peer in rule.peers:
        if isinstance(peer, PodPeer):
            peers[SetKind.ADDRESSES].add(peer)
        elif peer.family is family:
            peers[SetKind.NETWORKS].add(peer)
    return {kind: frozenset(each) for kind, each in peers.items()}


def _numbers_by_protocol(ports: tuple[Port, ...] | None, resolve: Resolve | None) -> Iterator[tuple[str, Intervals]]:
    if ports is None:
        yield "", ()
        return
    by_protocol: defaultdict[str, list[Port]] = defaultdict(list)
    for port in ports:
        by_protocol[port.protocol].append(port)
    for protocol, items in by_protocol.items():
        if any(item.is_any for item in items):
            yield protocol, ()
            continue
        # Numbers that a name doesn't resolve to leave nothing, which must not turn into any port (rule 17).
        numbers = union(interval for item in items for interval in _numbers(item, resolve))
        if numbers:
            yield protocol, numbers


def _numbers(port: Port, resolve: Resolve | None) -> Iterable[Interval]:
    if port.name and resolve:
        return ((number, number) for number in resolve(port.protocol, port.name))
    return port.numbers


def _named_peers(rule: PolicyRule, family: Family) -> frozenset[Peer]:
    peers: list[PodPeer | IPBlock | None] = [None]
    if rule.peers is not None:
        peers = [peer for peer in rule.peers if isinstance(peer, PodPeer) or peer.family is family]
    return frozenset(
        NamedPeer(port.protocol, port.name, peer) for port in rule.ports or () if port.name for peer in peers
    )


def _ports_key(allowance: Allowance) -> Hashable:
    return allowance.kind, allowance.protocol, allowance.ports


def _peers_key(allowance: Allowance) -> Hashable:
    return allowance.kind, allowance.protocol, allowance.peers


def _united(given: Iterable[Allowance], key: Callable[[Allowance], Hashable]) -> Iterator[Allowance]:
    groups: defaultdict[Hashable, list[Allowance]] = defaultdict(list)
    for each in given:
        groups[key(each)].append(each)
    for group in groups.values():
        first = group[0]
        if len(group) == 1:
            yield first
            continue
        any_port = not all(each.ports for each in group)
        yield Allowance(
            protocol=first.protocol,
            ports=() if any_port else union(interval for each in group for interval in each.ports),
            kind=first.kind,
            peers=first.peers.union(*(each.peers for each in group)),
            specs=first.specs.union(*(each.specs for each in group)),
        )


def _simplified(allowance: Allowance, family: Family) -> Iterator[Allowance]:
    """The same with fewer peers; nothing for blocks that match nothing, any peer for blocks that match all."""
    if allowance.kind is SetKind.NETWORKS:
        blocks = (peer for peer in allowance.peers if isinstance(peer, IPBlock))
        intervals = union(interval for block in blocks for interval in block.intervals)
        if intervals == (whole(family),):
            yield replace(allowance, kind=None, peers=frozenset())
        elif intervals:
            yield allowance
    elif allowance.kind is SetKind.ADDRESSES:
        broadest = frozenset(
            peer
            for peer in allowance.peers
            if not (isinstance(peer, PodPeer) and any(broader in allowance.peers for broader in peer.broader))
        )
        yield replace(allowance, peers=broadest)
    else:
        yield allowance


def _without_covered(given: list[Allowance]) -> list[Allowance]:
    # Of each kind and protocol at most one has any peer, and at most one any port: few to compare with.
    broad = [each for each in given if each.kind is None or not each.ports]
    return [each for each in given if not any(_covers(wide, each) for wide in broad if wide is not each)]


def _covers(wide: Allowance, narrow: Allowance) -> bool:
    same_peers = wide.kind is None or (wide.kind is narrow.kind and wide.peers >= narrow.peers)
    same_protocol = wide.protocol in ("", narrow.protocol)
    same_ports = not wide.ports or (bool(narrow.ports) and covers(wide.ports, narrow.ports))
    return same_peers and same_protocol and same_ports
