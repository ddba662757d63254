# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain of one group of pods, and the sets that it matches."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..model.names import group_chain
from ..model.ruleset import Chain, Direction, Family, PeerSet, Rule, SetKind, Verdict
from .allowances import Allowance, allowances, combine
from .cidr import Network
from .isolation import Isolators, SpecGroup
from .peers import PeerResolver
from .pod_classes import PodClass
from .policies import IPBlock, Spec

# Stands in for a policy in the comment of the rule.
ALWAYS_ALLOWED_SOURCES = "npm_always_allowed_sources"

# Cheap matches first: rules without a set, then the smaller kinds of lookup.
_KIND_ORDER = (None, SetKind.ADDRESSES, SetKind.NETWORKS, SetKind.PORTS)

# The numbers of the named ports that the policies mention.
_Numbers = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class GroupChain:
    chain: Chain
    sets: tuple[PeerSet, ...]


class ChainBuilder:
    """Builds the chains of one snapshot's groups, each once.

    What specs allow together is worked out once for all groups that they isolate, in whatever namespaces; only names
    and members are each group's own.
    """

    def __init__(self, resolver: PeerResolver, always_allowed: Iterable[Network]) -> None:
        self._resolver = resolver
        self._always_allowed = tuple(always_allowed)
        self._rules: dict[tuple[SpecGroup, Family, _Numbers, bool], list[Allowance]] = {}
        self._chains: dict[tuple[Isolators, Family, _Numbers, bool], GroupChain] = {}

    def chain(self, pods: PodClass, isolators: Isolators, family: Family, *, always_reachable: bool) -> GroupChain:
        """The chain of the group that pods are in: those with the same policies, port numbers and exposure."""
        ingress = isolators.direction is Direction.INGRESS
        numbers = tuple([pods.port_numbers(port) for port in isolators.group.named_ports]) if ingress else ()
        exposed = ingress and always_reachable
        group = (isolators, family, numbers, exposed)
        found = self._chains.get(group)
        if found is None:
            rules = self._allowed(isolators.group, family, numbers, exposed)
            found = self._chains[group] = self._build(isolators, family, rules)
        return found

    def _allowed(self, group: SpecGroup, family: Family, numbers: _Numbers, exposed: bool) -> list[Allowance]:
        key = (group, family, numbers, exposed)
        if key not in self._rules:
            named = dict(zip(group.named_ports, numbers, strict=False))
            resolve = (lambda *port: named[port]) if group.direction is Direction.INGRESS else None
            each = (each for spec, rule in group.rules for each in allowances(rule, spec, family, resolve))
            rules = combine(each, family)
            self._rules[key] = with_sources(rules, self._always_allowed, family) if exposed else rules
        return self._rules[key]

    def _build(self, isolators: Isolators, family: Family, rules: Iterable[Allowance]) -> GroupChain:
        """The chain that allows this and drops the rest; its name comes from its rules and from the policies."""
        keys: defaultdict[Spec, list[str]] = defaultdict(list)
        for policy in isolators.policies:
            keys[policy.spec].append(policy.key)
        sets: dict[str, PeerSet] = {}
        lines = []
        for each in rules:
            set_name = ""
            if each.kind is not None:
                peer_set = self._resolver.set_of(isolators.namespace, family, each.kind, each.peers)
                sets[peer_set.name] = peer_set
                set_name = peer_set.name
            policies = tuple(sorted([key for spec in each.specs for key in keys[spec]])) or (ALWAYS_ALLOWED_SOURCES,)
            rule = Rule(Verdict.ALLOW, each.protocol, each.ports, set_name, policies)
            lines.append((_KIND_ORDER.index(each.kind), rule))
        lines.sort(key=lambda line: (line[0], line[1].protocol, line[1].ports, line[1].peers))
        ordered = tuple(rule for _kind, rule in lines)
        isolating = tuple(sorted([key for each in keys.values() for key in each]))
        definition = json.dumps([[_plain(rule) for rule in ordered], isolating, Verdict.DENY])
        chain = Chain(group_chain(isolators.direction, definition), isolators.direction, ordered, isolating)
        return GroupChain(chain, tuple(sets.values()))


def with_sources(rules: list[Allowance], sources: Iterable[Network], family: Family) -> list[Allowance]:
    """The same, and any traffic from these sources: a rule of its own, so that all groups of a node share its set."""
    blocks = frozenset(IPBlock(source) for source in sources if source.family is family)
    extra = combine([Allowance("", (), SetKind.NETWORKS, blocks, frozenset())], family)
    everything = [each for each in (*rules, *extra) if each.is_everything]
    return everything[:1] or [*rules, *extra]


def _plain(rule: Rule) -> list[object]:
    return [rule.verdict, rule.protocol, rule.ports, rule.peers, rule.policies]
