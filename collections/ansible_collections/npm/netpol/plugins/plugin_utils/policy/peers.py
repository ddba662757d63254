# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who the peers are: from selectors, ipBlocks and named ports to the members of sets (rules 7, 8, 16, 20, 24 to 31)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import compress
from operator import itemgetter

from ..model.names import peer_set
from ..model.ruleset import Family, PeerSet, SetKind
from .cidr import networks, parse_address
from .intervals import contains, union
from .matching import LabelIndex
from .pod_classes import PodClass, PortName
from .policies import IPBlock, NamedPeer, Peer, PodPeer
from .selectors import EVERYTHING, Selector

# Of the classes of pods: fewer than this many, or than one in so many, are sorted; more are picked.
_FEW, _MANY = 100, 16


class PeerResolver:
    """Resolves peers against the pods of one snapshot; remembers what it found, since nodes and groups share peers.

    Wherever a method takes a peer and a ``namespace``, that is the namespace of the peer's policy. ``namespaces`` are
    the labels of the namespaces that are known; a pod of another one is no selector's peer. A pod that could not be
    read is nobody's.
    """

    def __init__(
        self,
        pods: Iterable[PodClass],
        namespaces: Mapping[str, Mapping[str, str]],
        pod_keys: AbstractSet[str],
        namespace_keys: AbstractSet[str],
    ) -> None:
        """``pod_keys`` and ``namespace_keys`` are the labels that selectors of pods and of namespaces mention."""
        self._pods = [each for each in pods if not each.unreadable]
        self._namespace_names = list(namespaces)
        self._pod_index = LabelIndex(((each.namespace, each.labels) for each in self._pods), pod_keys)
        self._namespace_index = LabelIndex((("", labels) for labels in namespaces.values()), namespace_keys)
        self._selected_namespaces: dict[Selector, frozenset[str]] = {EVERYTHING: frozenset(namespaces)}
        self._selected_pods: dict[tuple[str, PodPeer], frozenset[int]] = {}
        self._definitions: dict[Selector, str] = {}
        self._sets: dict[str, PeerSet] = {}

    def set_of(self, namespace: str, family: Family, kind: SetKind, peers: AbstractSet[Peer]) -> PeerSet:
        """The set of these peers: named after who is meant, with those who are it now as members."""
        # The JSON list of the definitions: to have it made of one string each is quicker.
        definitions = sorted([self._definition(namespace, peer) for peer in peers])
        name = peer_set(family, kind, f"[{', '.join([json.dumps(each) for each in definitions])}]")
        if name not in self._sets:
            self._sets[name] = PeerSet(name, kind, self._members(namespace, family, peers))
        return self._sets[name]

    def pods_in(self, namespace: str, selector: Selector) -> list[PodClass]:
        """The pods of one namespace that match."""
        return self._pods_of(namespace, PodPeer(None, selector))

    def _definition(self, namespace: str, peer: Peer | None) -> str:
        """JSON that says who is meant."""
        if isinstance(peer, PodPeer):
            where = json.dumps(namespace) if peer.namespaces is None else self._selector(peer.namespaces)
            return f'["pods", {where}, {self._selector(peer.pods)}]'
        if isinstance(peer, IPBlock):
            return json.dumps(["block", str(peer.network), [str(each) for each in peer.excepts]])
        if isinstance(peer, NamedPeer):
            of = self._definition(namespace, peer.peer)
            return f'["named", {json.dumps(peer.protocol)}, {json.dumps(peer.name)}, {of}]'
        return "null"

    def _selector(self, selector: Selector) -> str:
        if selector not in self._definitions:
            plain = [[each.key, each.operator, list(each.values)] for each in selector.requirements]
            self._definitions[selector] = json.dumps(plain)
        return self._definitions[selector]

    def _members(self, namespace: str, family: Family, peers: AbstractSet[Peer]) -> tuple[str, ...]:
        """Sorted. A set is of one kind: of pods, blocks or named ports."""
        selected = [self._selected(namespace, peer) for peer in peers if isinstance(peer, PodPeer)]
        if selected:
            return self._addresses(family, selected[0].union(*selected[1:]))
        blocks = [peer for peer in peers if isinstance(peer, IPBlock)]
        members = {str(network) for network in networks(family, union(_intervals(blocks)))}
        for peer in peers:
            if isinstance(peer, NamedPeer):
                members.update(self._named_destinations(namespace, family, peer))
        return tuple(sorted(members))

    def _addresses(self, family: Family, numbers: AbstractSet[int]) -> tuple[str, ...]:
        if len(numbers) < max(_FEW, len(self._pods) // _MANY):
            return tuple(sorted(address for number in numbers for address in self._pods[number].addresses(family)))
        # To pick them from all addresses in their order takes a tenth of the time.
        addresses, of_owners = self._in_order[family]
        chosen = bytearray(len(self._pods))
        for number in numbers:
            chosen[number] = True
        return tuple(compress(addresses, of_owners(chosen)))

    def _named_destinations(self, namespace: str, family: Family, named: NamedPeer) -> Iterator[str]:
        port = named.protocol, named.name
        candidates: Iterable[PodClass] = self._pods_with_port[port]
        if isinstance(named.peer, PodPeer):
            candidates = self._pods_of(namespace, named.peer)
        block = named.peer.intervals if isinstance(named.peer, IPBlock) else None
        for pods in candidates:
            for number in pods.port_numbers(port):
                for address in pods.addresses(family):
                    if block is None or contains(block, parse_address(address).number):
                        yield f"{address},{named.protocol}:{number}"

    def _pods_of(self, namespace: str, peer: PodPeer) -> list[PodClass]:
        return [self._pods[number] for number in self._selected(namespace, peer)]

    def _selected(self, namespace: str, peer: PodPeer) -> frozenset[int]:
        key = (namespace if peer.namespaces is None else "", peer)
        if key not in self._selected_pods:
            namespaces = frozenset({namespace}) if peer.namespaces is None else self._namespaces_of(peer.namespaces)
            self._selected_pods[key] = frozenset(self._pod_index.select(peer.pods, namespaces))
        return self._selected_pods[key]

    def _namespaces_of(self, selector: Selector) -> frozenset[str]:
        if selector not in self._selected_namespaces:
            self._selected_namespaces[selector] = frozenset(
                self._namespace_names[number] for number in self._namespace_index.select(selector, {""})
            )
        return self._selected_namespaces[selector]

    @cached_property
    def _in_order(self) -> Mapping[Family, tuple[list[str], Callable[[bytearray], Iterable[int]]]]:
        """All addresses of pods, sorted, and for each what a table has of the class that it belongs to."""
        found = {}
        for family in Family:
            owners = {address: number for number, each in enumerate(self._pods) for address in each.addresses(family)}
            ordered = sorted(owners)
            found[family] = _copied_in_order(ordered), _getter([owners[address] for address in ordered])
        return found

    @cached_property
    def _pods_with_port(self) -> defaultdict[PortName, list[PodClass]]:
        found: defaultdict[PortName, list[PodClass]] = defaultdict(list)
        for pods in self._pods:
            for port in {port for port, _number in pods.ports}:
                found[port].append(pods)
        return found


def _copied_in_order(texts: list[str]) -> list[str]:
    """The same texts, one behind the other in memory as well.

    Sets of a whole cluster are picked and joined from them again and again, which takes a fifth of the time when the
    processor needn't look for each.
    """
    return "\n".join(texts).split("\n") if texts else []


def _getter(numbers: list[int]) -> Callable[[bytearray], Iterable[int]]:
    if len(numbers) < 2:  # noqa: PLR2004 - itemgetter needs one, and gives no tuple of one
        return lambda table: [table[number] for number in numbers]
    return itemgetter(*numbers)


def _intervals(blocks: Iterable[IPBlock]) -> Iterator[tuple[int, int]]:
    return (interval for block in blocks for interval in block.intervals)
