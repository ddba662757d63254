# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who the peers are: from selectors, ipBlocks and named ports to the members of sets (rules 7, 8, 16, 20, 24 to 31)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any

from ..model.names import peer_set
from ..model.ruleset import Family, PeerSet, SetKind
from .cidr import networks, parse_address
from .intervals import contains, union
from .matching import LabelIndex
from .pods import LivePod
from .policies import IPBlock, NamedPeer, Peer, PodPeer
from .selectors import EVERYTHING, Selector


class PeerResolver:
    """Resolves peers against the pods of one snapshot; remembers what it found, since nodes and groups share peers.

    ``namespaces`` are the labels of the namespaces that are known; a pod of another one is no selector's peer. A pod
    that could not be read is nobody's.
    """

    def __init__(
        self,
        pods: Sequence[LivePod],
        namespaces: Mapping[str, Mapping[str, str]],
        pod_keys: AbstractSet[str],
        namespace_keys: AbstractSet[str],
    ) -> None:
        """``pod_keys`` and ``namespace_keys`` are the labels that selectors of pods and of namespaces mention."""
        self._pods = [each for each in pods if not each.pod.unreadable]
        self._namespace_names = list(namespaces)
        self._pod_index = LabelIndex(((each.pod.namespace, each.pod.labels) for each in self._pods), pod_keys)
        self._namespace_index = LabelIndex((("", labels) for labels in namespaces.values()), namespace_keys)
        self._selected_namespaces: dict[Selector, frozenset[str]] = {EVERYTHING: frozenset(namespaces)}
        self._selected_pods: dict[PodPeer, Sequence[LivePod]] = {}
        self._definitions: dict[Peer, str] = {}
        self._sets: dict[str, PeerSet] = {}

    def set_of(self, family: Family, kind: SetKind, peers: AbstractSet[Peer]) -> PeerSet:
        """The set of these peers: named after who is meant, with those who are it now as members."""
        name = peer_set(family, kind, json.dumps(sorted(self._definition(peer) for peer in peers)))
        if name not in self._sets:
            self._sets[name] = PeerSet(name, kind, self._members(family, peers))
        return self._sets[name]

    def pods_in(self, namespace: str, selector: Selector) -> Sequence[LivePod]:
        """The pods of one namespace that match."""
        return self._pods_of(PodPeer(namespace, EVERYTHING, selector))

    def _definition(self, peer: Peer) -> str:
        if peer not in self._definitions:
            self._definitions[peer] = json.dumps(_plain(peer))
        return self._definitions[peer]

    def _members(self, family: Family, peers: AbstractSet[Peer]) -> tuple[str, ...]:
        blocks = [peer for peer in peers if isinstance(peer, IPBlock)]
        members = {str(network) for network in networks(family, union(_intervals(blocks)))}
        for peer in peers:
            if isinstance(peer, PodPeer):
                members.update(address for pod in self._pods_of(peer) for address in pod.addresses(family))
            elif isinstance(peer, NamedPeer):
                members.update(self._named_destinations(family, peer))
        return tuple(sorted(members))

    def _named_destinations(self, family: Family, named: NamedPeer) -> Iterator[str]:
        pods: Iterable[LivePod] = self._pods_with_port[named.protocol, named.name]
        if isinstance(named.peer, PodPeer):
            pods = self._pods_of(named.peer)
        block = named.peer.intervals if isinstance(named.peer, IPBlock) else None
        for pod in pods:
            for number in pod.port_numbers(named.protocol, named.name):
                for address in pod.addresses(family):
                    if block is None or contains(block, parse_address(address).number):
                        yield f"{address},{named.protocol}:{number}"

    def _pods_of(self, peer: PodPeer) -> Sequence[LivePod]:
        if peer not in self._selected_pods:
            namespaces = frozenset({peer.namespace}) if peer.namespace else self._namespaces_of(peer.namespaces)
            self._selected_pods[peer] = [self._pods[number] for number in self._pod_index.select(peer.pods, namespaces)]
        return self._selected_pods[peer]

    def _namespaces_of(self, selector: Selector) -> frozenset[str]:
        if selector not in self._selected_namespaces:
            self._selected_namespaces[selector] = frozenset(
                self._namespace_names[number] for number in self._namespace_index.select(selector, {""})
            )
        return self._selected_namespaces[selector]

    @cached_property
    def _pods_with_port(self) -> defaultdict[tuple[str, str], list[LivePod]]:
        pods: defaultdict[tuple[str, str], list[LivePod]] = defaultdict(list)
        for pod in self._pods:
            for protocol, name in {(port.protocol.lower(), port.name) for port in pod.pod.ports}:
                pods[protocol, name].append(pod)
        return pods


def _intervals(blocks: Iterable[IPBlock]) -> Iterator[tuple[int, int]]:
    return (interval for block in blocks for interval in block.intervals)


def _plain(peer: Peer | None) -> Any:
    if isinstance(peer, PodPeer):
        if peer.namespace:
            return ["pods", peer.namespace, _plain_selector(peer.pods)]
        return ["pods", _plain_selector(peer.namespaces), _plain_selector(peer.pods)]
    if isinstance(peer, IPBlock):
        return ["block", str(peer.network), [str(each) for each in peer.excepts]]
    if isinstance(peer, NamedPeer):
        return ["named", peer.protocol, peer.name, _plain(peer.peer)]
    return None


def _plain_selector(selector: Selector) -> list[Any]:
    return [[each.key, each.operator, list(each.values)] for each in selector.requirements]
