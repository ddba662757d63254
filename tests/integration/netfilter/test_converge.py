# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node comes to hold what it is to hold, in either variant and under each shell, and then is left alone."""

from __future__ import annotations

from integration.netfilter.network import PODS, PORTS, WORLD, Flow, Network
from integration.netfilter.node import TOOLS, VARIANTS, Node, node
from integration.netfilter.rulesets import EGRESS, INGRESS, converge, settle, wanted

WEB, _, WEB_6, _ = PODS
SETS = {"clients": (WORLD[0], WORLD[3]), "net-office": ("10.0.9.2", "10.0.9.128/25", "fd00:0:9::2")}
RULES = {
    (INGRESS, WEB): [(80, "clients"), (81, "net-office")],
    (EGRESS, WEB): [(80, "clients")],
    (INGRESS, WEB_6): [(80, "clients"), (81, "net-office")],
}
FOREIGN = {
    tool: f":OTHER - [0:0]\n-A FORWARD -s {network} -j OTHER\n-A OTHER -p tcp -m tcp --dport 99 -j DROP"
    for tool, network in (("iptables", "192.0.2.0/24"), ("ip6tables", "2001:db8::/32"))
}
FOREIGN_SETS = "create other hash:ip family inet\nadd other 192.0.2.9"


def test_a_node_enforces_then_is_in_sync_in_one_small_exchange(variant: str, shell: str) -> None:
    with node(default_variant=variant, posix_shell=shell) as each:
        first = converge(each, wanted(RULES, SETS))
        assert first.changed
        assert first.variant == variant
        assert first.exchanges == 2
        writers = ("ipset", *(f"{tool}-{kind}-restore" for tool in TOOLS for kind in VARIANTS))
        before = each.everything()
        with each.logged(*writers) as log:
            second = converge(each, wanted(RULES, SETS))
            assert log.read_text() == "ipset save\n"
        assert second.in_sync
        assert not second.changed
        assert second.exchanges == 1
        assert second.counts == first.counts
        assert second.bytes_sent < 4096
        assert second.bytes_received < 4096
        assert each.everything() == before
        assert each.leftovers() == []


def test_packets_pass_as_the_ruleset_says(wired: Network) -> None:
    settle(wired.node, wanted(RULES, SETS))
    passing = wired.passing()
    for source in WORLD:
        for port in PORTS:
            flow = Flow(source, WEB_6 if ":" in source else WEB, port)
            name = {80: "clients", 81: "net-office"}[port]
            assert (flow in passing) == (source in SETS[name]), flow
    assert {flow for flow in passing if flow.source == WEB} == {Flow(WEB, WORLD[0], 80)}


def test_no_legacy_table_comes_to_be_on_a_node_with_nft() -> None:
    with node() as each, each.logged(*(f"{tool}-legacy-{a}" for tool in TOOLS for a in ("save", "restore"))) as log:
        settle(each, wanted(RULES, SETS))
        settle(each, None)
        assert log.read_text() == ""
        assert each.legacy_tables("iptables") == each.legacy_tables("ip6tables") == []


def test_removal_leaves_nothing_of_ours_and_everything_of_others(fresh: Node) -> None:
    for kind in VARIANTS:
        for tool in TOOLS:
            fresh.restore(kind, FOREIGN[tool], tool)
    fresh.ipset(FOREIGN_SETS)
    before = fresh.everything()
    for kind in VARIANTS:
        converge(fresh, wanted(RULES, SETS), variant=kind)
    settle(fresh, wanted(RULES, SETS), variant=fresh.default_variant, accept=True)
    assert fresh.everything() != before
    removed = settle(fresh, None)
    assert removed.changed
    assert fresh.everything() == before
    assert [each.name for each in fresh.path("/run/npm-netpol").iterdir()] == ["lock"]


def test_a_node_without_policies_carries_one_jump(fresh: Node) -> None:
    for tool in TOOLS:
        fresh.restore(fresh.default_variant, ":FORWARD ACCEPT", tool)
    settle(fresh, wanted({}, {}))
    for tool in TOOLS:
        assert fresh.save(fresh.default_variant, tool).count("-A FORWARD") == 1
    assert fresh.sets() == ""


def test_a_family_without_table_and_policies_gets_none() -> None:
    """Nobody could take a legacy table away again."""
    with node(default_variant="legacy") as each:
        settle(each, wanted({}, {}))
        assert each.legacy_tables("iptables") == each.legacy_tables("ip6tables") == []
