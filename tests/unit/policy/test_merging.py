# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Few set matches: what rules of a group are merged, and which are left out."""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, SetKind
from unit.policy.clusters import World, pod, policy

WEB = pod("shop/web", "10.0.0.1", app="web", a="1", b="1")
A = "{podSelector: {matchLabels: {a: '1'}}}"
B = "{podSelector: {matchLabels: {b: '1'}}}"
BLOCK = "{ipBlock: {cidr: 192.0.2.0/25}}"
OTHER_BLOCK = "{ipBlock: {cidr: 192.0.2.128/25}}"


def merged(*rules: str) -> list[tuple[str, tuple[tuple[int, int], ...], str, tuple[str, ...]]]:
    """Protocol, ports, kind of set, and policies of each rule, each rule from a policy of its own."""
    policies = [policy(f"shop/p{number}", f"{{ingress: [{rule}]}}") for number, rule in enumerate(rules)]
    them = World.of(WEB, *policies)
    found = []
    for rule in them.chain("web", Direction.INGRESS).rules:
        peers = them.peers(rule)
        found.append((rule.protocol, rule.ports, str(peers.kind) if peers else "", rule.policies))
    return found


ADDRESSES, NETWORKS = str(SetKind.ADDRESSES), str(SetKind.NETWORKS)
P0, P1, BOTH = ("shop/p0",), ("shop/p1",), ("shop/p0", "shop/p1")
PORT_80, PORT_81 = ((80, 80),), ((81, 81),)


def test_the_same_ports_share_a_set_of_peers() -> None:
    assert merged(f"{{from: [{A}], ports: [{{port: 80}}]}}", f"{{from: [{B}], ports: [{{port: 80}}]}}") == [
        ("tcp", PORT_80, ADDRESSES, BOTH)
    ]
    assert merged(f"{{from: [{BLOCK}]}}", f"{{from: [{OTHER_BLOCK}]}}") == [("", (), NETWORKS, BOTH)]


def test_the_same_peers_share_a_list_of_ports() -> None:
    rules = [f"{{from: [{A}], ports: [{{port: 80}}]}}", f"{{from: [{A}], ports: [{{port: 90}}, {{port: 81}}]}}"]
    assert merged(*rules) == [("tcp", ((80, 81), (90, 90)), ADDRESSES, BOTH)]


def test_peers_that_share_ports_after_ports_were_joined_are_joined_too() -> None:
    assert merged(
        f"{{from: [{A}], ports: [{{port: 80}}]}}",
        f"{{from: [{A}], ports: [{{port: 90}}]}}",
        f"{{from: [{B}], ports: [{{port: 80}}, {{port: 90}}]}}",
    ) == [("tcp", ((80, 80), (90, 90)), ADDRESSES, ("shop/p0", "shop/p1", "shop/p2"))]


def test_pods_and_blocks_are_merged_apart() -> None:
    assert merged(f"{{from: [{A}, {BLOCK}], ports: [{{port: 80}}]}}", f"{{from: [{A}], ports: [{{port: 90}}]}}") == [
        ("tcp", ((80, 80), (90, 90)), ADDRESSES, BOTH),
        ("tcp", PORT_80, NETWORKS, P0),
    ]


def test_protocols_are_not_merged() -> None:
    ports = "[{port: 80}, {port: 80, protocol: UDP}]"
    assert merged(f"{{from: [{A}], ports: {ports}}}") == [
        ("tcp", PORT_80, ADDRESSES, P0),
        ("udp", PORT_80, ADDRESSES, P0),
    ]


def test_what_any_peer_may_use_needs_no_set() -> None:
    assert merged("{ports: [{port: 80, endPort: 90}]}", f"{{from: [{A}], ports: [{{port: 81}}]}}") == [
        ("tcp", ((80, 90),), "", P0)
    ]
    assert merged("{ports: [{port: 80}]}", f"{{from: [{A}], ports: [{{port: 80}}, {{port: 81}}]}}") == [
        ("tcp", PORT_80, "", P0),
        ("tcp", ((80, 81),), ADDRESSES, P1),
    ]
    assert merged("{ports: [{port: 80}]}", f"{{from: [{A}], ports: [{{}}]}}") == [
        ("tcp", PORT_80, "", P0),
        ("tcp", (), ADDRESSES, P1),
    ]
    assert merged("{ports: [{}]}", f"{{from: [{A}]}}") == [("tcp", (), "", P0), ("", (), ADDRESSES, P1)]


def test_allowing_everything_leaves_nothing_else() -> None:
    assert merged("{}", f"{{from: [{A}]}}", "{ports: [{port: 80}]}") == [("", (), "", P0)]
    assert merged("{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}", f"{{from: [{A}]}}") == [("", (), "", P0)]


def test_any_port_covers_a_port_of_the_same_or_fewer_peers() -> None:
    assert merged(f"{{from: [{A}, {B}]}}", f"{{from: [{A}], ports: [{{port: 80}}]}}") == [("", (), ADDRESSES, P0)]
    assert merged(f"{{from: [{A}], ports: [{{}}]}}", f"{{from: [{A}], ports: [{{port: 80}}]}}") == [
        ("tcp", (), ADDRESSES, BOTH)
    ]
    assert merged(f"{{from: [{A}]}}", f"{{from: [{A}, {B}], ports: [{{port: 80}}]}}") == [
        ("", (), ADDRESSES, P0),
        ("tcp", PORT_80, ADDRESSES, P1),
    ]


def test_a_broad_peer_leaves_out_the_narrow_ones_and_shares_its_set() -> None:
    broad = "{namespaceSelector: {}}"
    alone = World.of(WEB, policy("shop/p", f"{{ingress: [{{from: [{broad}]}}]}}"))
    narrow = "{namespaceSelector: {}, podSelector: {matchLabels: {a: '1'}}}"
    together = World.of(
        WEB, policy("shop/p", f"{{ingress: [{{from: [{broad}, {A}, {narrow}, {{podSelector: {{}}}}]}}]}}")
    )
    assert alone.chain("web", Direction.INGRESS) == together.chain("web", Direction.INGRESS)


def test_the_same_pods_of_every_namespace_leave_out_those_of_one() -> None:
    everywhere = "{namespaceSelector: {}, podSelector: {matchLabels: {a: '1'}}}"
    by_team = "{namespaceSelector: {matchLabels: {team: x}}, podSelector: {matchLabels: {a: '1'}}}"
    alone = World.of(WEB, policy("shop/p", f"{{ingress: [{{from: [{everywhere}]}}]}}"))
    together = World.of(WEB, policy("shop/p", f"{{ingress: [{{from: [{A}, {by_team}, {everywhere}]}}]}}"))
    other_pods = World.of(WEB, policy("shop/p", f"{{ingress: [{{from: [{B}, {everywhere}]}}]}}"))
    assert alone.chain("web", Direction.INGRESS) == together.chain("web", Direction.INGRESS)
    assert alone.chain("web", Direction.INGRESS) != other_pods.chain("web", Direction.INGRESS)


def test_rules_without_sets_come_first() -> None:
    kinds = [kind for _, _, kind, _ in merged(f"{{from: [{A}, {BLOCK}]}}", "{ports: [{protocol: UDP, port: 53}]}")]
    assert kinds == ["", ADDRESSES, NETWORKS]
