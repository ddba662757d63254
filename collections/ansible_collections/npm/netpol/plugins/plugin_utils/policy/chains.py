# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chain of one group of pods, and the sets that it matches."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from ..model.names import group_chain
from ..model.ruleset import Chain, Family, PeerSet, Rule, SetKind, Verdict
from .allowances import Allowance, Resolve, allowances, combine
from .cidr import Network
from .isolation import Isolators
from .peers import PeerResolver
from .policies import IPBlock

# Stands in for a policy in the comment of the rule.
ALWAYS_ALLOWED_SOURCES = "npm_always_allowed_sources"

# Cheap matches first: rules without a set, then the smaller kinds of lookup.
_KIND_ORDER = (None, SetKind.ADDRESSES, SetKind.NETWORKS, SetKind.PORTS)


@dataclass(frozen=True, slots=True)
class GroupChain:
    chain: Chain
    sets: tuple[PeerSet, ...]


def group_rules(isolators: Isolators, family: Family, resolve: Resolve | None) -> list[Allowance]:
    """What the policies together allow; ``resolve`` as :func:`.allowances.allowances` takes it."""
    return combine(
        (allowance for policy, rule in isolators.rules for allowance in allowances(rule, policy.key, family, resolve)),
        family,
    )


def with_sources(rules: list[Allowance], sources: Iterable[Network], family: Family) -> list[Allowance]:
    """The same, and any traffic from these sources: a rule of its own, so that all groups of a node share its set."""
    blocks = frozenset(IPBlock(source) for source in sources if source.family is family)
    extra = combine([Allowance("", (), SetKind.NETWORKS, blocks, frozenset({ALWAYS_ALLOWED_SOURCES}))], family)
    everything = [each for each in (*rules, *extra) if each.is_everything]
    return everything[:1] or [*rules, *extra]


def build_chain(isolators: Isolators, rules: Iterable[Allowance], family: Family, resolver: PeerResolver) -> GroupChain:
    """The chain that allows this and drops the rest; its name comes from its rules and from the policies."""
    sets: dict[str, PeerSet] = {}
    lines = []
    for allowance in rules:
        set_name = ""
        if allowance.kind is not None:
            peer_set = resolver.set_of(family, allowance.kind, allowance.peers)
            sets[peer_set.name] = peer_set
            set_name = peer_set.name
        lines.append((_KIND_ORDER.index(allowance.kind), _rule(allowance, set_name)))
    ordered = tuple(
        rule
        for _kind, rule in sorted(lines, key=lambda line: (line[0], line[1].protocol, line[1].ports, line[1].peers))
    )
    isolating = tuple(sorted({policy.key for policy in isolators.policies}))
    definition = json.dumps([[_plain(rule) for rule in ordered], isolating, Verdict.DENY])
    chain = Chain(group_chain(isolators.direction, definition), isolators.direction, ordered, isolating)
    return GroupChain(chain, tuple(sets.values()))


def _rule(allowance: Allowance, set_name: str) -> Rule:
    return Rule(Verdict.ALLOW, allowance.protocol, allowance.ports, set_name, tuple(sorted(allowance.policies)))


def _plain(rule: Rule) -> list[object]:
    return [rule.verdict, rule.protocol, rule.ports, rule.peers, rule.policies]
