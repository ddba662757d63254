# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small rulesets for tests, rendered by the role's own templates, and how to converge a node to one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import group_chain, peer_set
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import (
    Chain,
    Direction,
    Family,
    FamilyRuleset,
    PeerSet,
    Rule,
    Ruleset,
    SetKind,
    Target,
    Verdict,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import converge as engine
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render, script
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from integration.netfilter.node import Node

INGRESS, EGRESS = Direction.INGRESS, Direction.EGRESS
# Which pod in which direction may talk to the members of which set on which UDP port (0: everything).
Rules = Mapping[tuple[Direction, str], Iterable[tuple[int, str]]]
Sets = Mapping[str, Iterable[str]]

RENDERING = render.environment(loader())
SCRIPTS = script.environment(loader())


def ruleset(rules: Rules, sets: Sets) -> Ruleset:
    """Pods, by address, each with a group of its own; a set has members of both families."""
    return Ruleset("node-1", *(_family(family, rules, sets) for family in Family))


def set_name(name: str, family: Family = Family.IPV4) -> str:
    return peer_set(family, _kind(name), name)


def chain_name(direction: Direction, address: str) -> str:
    return group_chain(direction, address)


def wanted(rules: Rules, sets: Sets, *, version: int = 1, cluster: str = "cluster-1") -> engine.Wanted:
    rendered = render.render(ruleset(rules, sets), RENDERING)
    return engine.Wanted(rendered.id, cluster, version, f"snapshot-{version}", lambda: rendered)


def converge(node: Node, target: engine.Wanted | None, **options: Any) -> engine.Result:
    return engine.converge(node.exchange, SCRIPTS, target, engine.Options(**options))


def settle(node: Node, target: engine.Wanted | None, **options: Any) -> engine.Result:
    """Converge; then once more, which must find the node in sync with one exchange."""
    first = converge(node, target, **options)
    second = converge(node, target, **options)
    assert second.in_sync
    assert not second.changed
    assert second.exchanges == 1
    return first


def _family(family: Family, rules: Rules, sets: Sets) -> FamilyRuleset:
    pods = [key for key in rules if _of(key[1]) is family]
    used = {name for key in pods for _, name in rules[key] if name}
    return FamilyRuleset(
        sets=tuple(sorted((_set(family, name, sets[name]) for name in used), key=lambda each: each.name)),
        chains=tuple(sorted((_chain(family, *key, rules[key]) for key in pods), key=lambda each: each.name)),
        ingress=_targets(pods, INGRESS),
        egress=_targets(pods, EGRESS),
    )


def _chain(family: Family, direction: Direction, address: str, rules: Iterable[tuple[int, str]]) -> Chain:
    return Chain(
        name=chain_name(direction, address),
        direction=direction,
        rules=tuple(
            Rule(
                Verdict.ALLOW,
                "udp" if port else "",
                ((port, port),) if port else (),
                peer_set(family, _kind(name), name) if name else "",
                (f"shop/{name or 'anyone'}",),
            )
            for port, name in rules
        ),
        policies=("shop/deny",),
    )


def _targets(pods: Iterable[tuple[Direction, str]], direction: Direction) -> tuple[Target, ...]:
    mine = sorted(address for each, address in pods if each is direction)
    return tuple(Target(address, chain_name(direction, address), f"shop/pod-{address}") for address in mine)


def _set(family: Family, name: str, members: Iterable[str]) -> PeerSet:
    own = tuple(sorted(member for member in members if _of(member) is family))
    return PeerSet(peer_set(family, _kind(name), name), _kind(name), own)


def _kind(name: str) -> SetKind:
    return SetKind.NETWORKS if name.startswith("net") else SetKind.ADDRESSES


def _of(address: str) -> Family:
    return Family.IPV6 if ":" in address else Family.IPV4
