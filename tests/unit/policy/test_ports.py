# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports and protocols (rules 14 to 23)."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, SetKind
from unit.policy.clusters import OUTSIDE, World, pod, policy

CLIENT = pod("shop/client", "10.0.0.1")
OUT = "{podSelector: {}, policyTypes: [Egress], egress: [%s]}"


def ingress(ports: str, *, web_ports: str = "") -> World:
    web = pod("shop/web", "10.0.0.2", ports=web_ports)
    return World.of(CLIENT, web, policy("shop/p", f"{{podSelector: {{}}, ingress: [{{ports: {ports}}}]}}"))


@pytest.mark.parametrize(
    ("ports", "allowed", "denied"),
    [
        ("[{port: 80}]", ["TCP 80"], ["TCP 79", "TCP 81", "UDP 80", "SCTP 80", "ICMP"]),
        ("[{protocol: null, port: 80}]", ["TCP 80"], ["UDP 80"]),
        ("[{}]", ["TCP 1", "TCP 65535"], ["UDP 80", "SCTP 80", "ICMP"]),
        ("[{protocol: UDP}]", ["UDP 80", "UDP 65535"], ["TCP 80", "ICMP"]),
        ("[{protocol: UDP, port: null}]", ["UDP 80"], ["TCP 80"]),
        ("[{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}]", ["TCP 9", "UDP 9", "SCTP 9"], ["ICMP"]),
        ("[{port: 80, endPort: 82}]", ["TCP 80", "TCP 81", "TCP 82"], ["TCP 79", "TCP 83", "UDP 81"]),
        ("[{port: 80, endPort: 80}]", ["TCP 80"], ["TCP 81"]),
        ("[{port: 1, endPort: 65535}]", ["TCP 1", "TCP 65535"], ["UDP 1", "ICMP"]),
        ("[{port: 80}, {port: 90}, {port: 80, protocol: UDP}]", ["TCP 80", "TCP 90", "UDP 80"], ["UDP 90"]),
    ],
)
def test_rule_14_port_items(ports: str, allowed: list[str], denied: list[str]) -> None:
    them = ingress(ports)
    assert all(them.reaches("client", "web", what) for what in allowed)
    assert not any(them.reaches("client", "web", what) for what in denied)


def test_rule_16_ingress_names_are_looked_up_on_each_selected_pod() -> None:
    them = World.of(
        CLIENT,
        pod("shop/one", "10.0.0.2", ports="http=8080"),
        pod("shop/two", "10.0.0.3", ports="http=9090"),
        policy("shop/p", "{podSelector: {}, ingress: [{ports: [{port: http}]}]}"),
    )
    assert them.reaches("client", "one", "TCP 8080")
    assert not them.reaches("client", "one", "TCP 9090")
    assert them.reaches("client", "two", "TCP 9090")
    assert not them.reaches("client", "two", "TCP 8080")
    assert them.chain("one", Direction.INGRESS).name != them.chain("two", Direction.INGRESS).name


def test_rule_16_egress_names_are_looked_up_on_each_peer() -> None:
    them = World.of(
        CLIENT,
        pod("shop/one", "10.0.0.2", ports="http=8080"),
        pod("shop/two", "10.0.0.3", ports="http=9090"),
        policy("shop/p", OUT % "{to: [{podSelector: {}}], ports: [{port: http}, {port: 53, protocol: UDP}]}"),
    )
    assert them.reaches("client", "one", "TCP 8080")
    assert not them.reaches("client", "one", "TCP 9090")
    assert them.reaches("client", "two", "TCP 9090")
    assert not them.reaches("client", "two", "TCP 8080")
    assert them.reaches("client", "one", "UDP 53")
    assert not them.reaches("client", OUTSIDE, "TCP 8080")


@pytest.mark.parametrize("web_ports", ["", "https=8080", "http=8080/UDP", "http=8080/SCTP"])
def test_rule_17_an_unresolved_name_matches_nothing(web_ports: str) -> None:
    inward = ingress("[{port: http}]", web_ports=web_ports)
    assert not inward.reaches("client", "web", "TCP 8080")
    assert inward.chain("web", Direction.INGRESS).rules == ()
    web = pod("shop/web", "10.0.0.2", ports=web_ports)
    outward = World.of(CLIENT, web, policy("shop/p", OUT % "{ports: [{port: http}]}"))
    assert not outward.reaches("client", "web", "TCP 8080")
    assert not outward.reaches("client", OUTSIDE, "TCP 8080")


def test_rule_17_an_unresolved_name_leaves_the_other_items() -> None:
    them = ingress("[{port: http}, {port: 81}]")
    assert them.reaches("client", "web", "TCP 81")
    assert not them.reaches("client", "web", "TCP 80")


def test_rule_18_one_name_with_several_numbers_and_protocols() -> None:
    web_ports = "http=8080 http=8081 http=8082/UDP"
    for them in (
        ingress("[{port: http}]", web_ports=web_ports),
        World.of(
            CLIENT,
            pod("shop/web", "10.0.0.2", ports=web_ports),
            policy("shop/p", OUT % "{ports: [{port: http}]}"),
        ),
    ):
        assert them.reaches("client", "web", "TCP 8080")
        assert them.reaches("client", "web", "TCP 8081")
        assert not them.reaches("client", "web", "TCP 8082")
        assert not them.reaches("client", "web", "UDP 8082")


def test_rule_20_an_egress_name_without_peers_means_any_pod_of_any_namespace() -> None:
    them = World.of(
        CLIENT,
        pod("other/far", "10.0.1.1", ports="http=8080"),
        pod("other/host", "192.168.0.1", ports="http=8080", host_network=True),
        policy("shop/p", OUT % "{ports: [{port: http}]}"),
    )
    assert them.reaches("client", "far", "TCP 8080")
    assert not them.reaches("client", "far", "TCP 80")
    assert not them.reaches("client", "host", "TCP 8080")
    assert not them.reaches("client", OUTSIDE, "TCP 8080")


def test_rule_20_an_egress_name_with_a_block_means_pods_in_the_block() -> None:
    block = "{ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.2/32]}}"
    them = World.of(
        CLIENT,
        pod("other/inside", "10.0.1.1", "fd00::1", ports="http=8080"),
        pod("other/hole", "10.0.1.2", ports="http=8080"),
        pod("other/beyond", "10.0.2.1", ports="http=8080"),
        policy("shop/p", OUT % f"{{to: [{block}], ports: [{{port: http}}]}}"),
    )
    assert them.reaches("client", "inside", "TCP 8080")
    assert not them.reaches("client", "hole", "TCP 8080")
    assert not them.reaches("client", "beyond", "TCP 8080")
    assert not them.reaches("client", "10.0.1.3", "TCP 8080")


def test_rule_20_all_named_ports_of_a_group_share_one_set() -> None:
    them = World.of(
        CLIENT,
        pod("shop/web", "10.0.0.2", ports="http=8080 dns=53/UDP"),
        policy(
            "shop/p", OUT % "{ports: [{port: http}]}, {to: [{podSelector: {}}], ports: [{port: dns, protocol: UDP}]}"
        ),
        policy("shop/q", OUT % "{to: [{podSelector: {}}], ports: [{port: http}]}"),
    )
    (rule,) = them.chain("client", Direction.EGRESS).rules
    assert (rule.protocol, rule.ports, rule.policies) == ("", (), ("shop/p", "shop/q"))
    peers = them.peers(rule)
    assert peers
    assert (peers.kind, peers.members) == (SetKind.PORTS, ("10.0.0.2,tcp:8080", "10.0.0.2,udp:53"))


def test_rule_21_sctp_is_a_protocol_of_its_own_and_isolates_the_others() -> None:
    them = ingress("[{protocol: SCTP, port: 80}]")
    assert them.reaches("client", "web", "SCTP 80")
    assert not them.reaches("client", "web", "TCP 80")
    assert not them.reaches("client", "web", "UDP 80")


def test_rule_22_icmp_matches_rules_without_ports_only() -> None:
    peer = "from: [{podSelector: {}}]"
    web = pod("shop/web", "10.0.0.2")
    without = World.of(CLIENT, web, policy("shop/p", f"{{ingress: [{{{peer}}}]}}"))
    with_ports = World.of(CLIENT, web, policy("shop/p", f"{{ingress: [{{{peer}, ports: [{{}}]}}]}}"))
    assert without.reaches("client", "web", "ICMP")
    assert not without.reaches(OUTSIDE, "web", "ICMP")
    assert not with_ports.reaches("client", "web", "ICMP")


def test_rule_23_a_rule_with_ports_always_names_its_protocol() -> None:
    them = ingress("[{port: 1, endPort: 65535}, {port: http}]", web_ports="http=80")
    assert [(rule.protocol, rule.ports) for rule in them.chain("web", Direction.INGRESS).rules] == [
        ("tcp", ((1, 65535),))
    ]
