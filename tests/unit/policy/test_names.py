# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names of chains and sets: what they depend on, and what they don't (rules 3 and 40)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family, Ruleset
from unit.policy.clusters import World, compile_all, pod, policy

WEB = pod("shop/web", "10.0.0.1", "fd00::1", app="web", ports="http=8080")
DB = pod("shop/db", "10.0.0.2", "fd00::2", app="db", node="n2", ports="http=8080")
RULES = (
    "{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress],"
    " ingress: [{from: [{podSelector: {}}, {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: http}]}],"
    " egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}, {port: 53, protocol: UDP}]}]}"
)


def set_names(ruleset: Ruleset) -> list[str]:
    return [each.name for family in Family for each in ruleset.family(family).sets]


def test_a_pods_coming_and_going_changes_members_only() -> None:
    few = World.of(WEB, policy("shop/p", RULES))
    many = World.of(WEB, DB, pod("other/far", "10.0.1.1", ports="http=80"), policy("shop/p", RULES))
    before, after = few.compiler.ruleset("n1"), many.compiler.ruleset("n1")
    assert set_names(before) == set_names(after)
    assert before.ipv4.chains == after.ipv4.chains
    assert before.ipv6.chains == after.ipv6.chains
    assert before.ipv4.sets != after.ipv4.sets


def test_a_set_without_members_stays_so_that_its_first_one_changes_members_only() -> None:
    them = World.of(WEB, policy("shop/p", "{ingress: [{from: [{podSelector: {matchLabels: {app: later}}}]}]}"))
    (rule,) = them.chain("web", Direction.INGRESS).rules
    peers = them.peers(rule)
    assert peers
    assert peers.members == ()


def test_pods_that_the_same_policies_isolate_share_a_chain_within_and_across_nodes() -> None:
    replicas = [
        pod(f"shop/web-{number}", f"10.0.0.{number}", app="web", hash=str(number), node=f"n{number % 2}")
        for number in range(1, 9)
    ]
    them = World.of(*replicas, policy("shop/p", "{podSelector: {matchLabels: {app: web}}}"))
    names = {target.chain for ruleset in them.rulesets for target in ruleset.ipv4.ingress}
    assert len(names) == 1
    assert all(len(ruleset.ipv4.chains) == 1 for ruleset in them.rulesets)


def test_pods_that_other_policies_isolate_with_no_rules_have_other_chains() -> None:
    them = World.of(
        WEB,
        DB,
        policy("shop/p", "{podSelector: {matchLabels: {app: web}}}"),
        policy("shop/q", "{podSelector: {matchLabels: {app: db}}}"),
    )
    web, db = them.chain("web", Direction.INGRESS), them.chain("db", Direction.INGRESS)
    assert (web.policies, db.policies) == (("shop/p",), ("shop/q",))
    assert web.name != db.name


def test_equal_selectors_have_one_set_however_they_are_written() -> None:
    spellings = [
        "{matchLabels: {app: web, tier: x}}",
        "{matchLabels: {tier: x, app: web}}",
        "{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: In, values: [x]}]}",
        "{matchExpressions: [{key: tier, operator: In, values: [x, x]}, {key: app, operator: In, values: [web]}]}",
    ]
    names = set()
    for spelling in spellings:
        them = World.of(WEB, policy("shop/p", f"{{ingress: [{{from: [{{podSelector: {spelling}}}]}}]}}"))
        names.add(them.chain("web", Direction.INGRESS).rules[0].peers)
    assert len(names) == 1


def test_selectors_that_read_alike_but_mean_different_peers_have_different_sets() -> None:
    peers = [
        "{podSelector: {matchLabels: {ns: shop}}}",
        "{namespaceSelector: {matchLabels: {ns: shop}}}",
        "{namespaceSelector: {}, podSelector: {matchLabels: {ns: shop}}}",
        "{podSelector: {matchExpressions: [{key: ns, operator: In, values: [shop, x]}]}}",
        "{podSelector: {matchExpressions: [{key: ns, operator: NotIn, values: [shop]}]}}",
        "{podSelector: {matchExpressions: [{key: ns, operator: Exists}]}}",
        "{podSelector: {matchExpressions: [{key: ns, operator: DoesNotExist}]}}",
        "{podSelector: {matchLabels: {ns: ''}}}",
    ]
    names = set()
    for namespace in ("shop", "other"):
        for peer in peers:
            them = World.of(
                pod(f"{namespace}/x", "10.0.0.1"), policy(f"{namespace}/p", f"{{ingress: [{{from: [{peer}]}}]}}")
            )
            names.add(them.chain("x", Direction.INGRESS).rules[0].peers)
    assert len(names) == 2 * len(peers) - 2, "only the two with a namespaceSelector mean the same in both namespaces"


def test_rule_40_long_names_make_short_ones() -> None:
    names = [".".join(["x" * 62] * 4) + "a", ".".join(["x" * 62] * 4) + "b"]
    namespace = "n" * 63
    them = World.of(
        pod(f"{namespace}/{names[0]}", "10.0.0.1", app="a"),
        pod(f"{namespace}/{names[1]}", "10.0.0.2", app="b"),
        *(
            policy(
                f"{namespace}/{name}",
                f"{{podSelector: {{matchLabels: {{app: {name[-1]}}}}}, ingress: [{{from: [{{podSelector: {{}}}}]}}]}}",
            )
            for name in names
        ),
    )
    (ruleset,) = them.rulesets
    assert [chain.policies for chain in ruleset.ipv4.chains] == [
        (f"{namespace}/{name}",) for name in sorted(names, key=lambda name: them.chain(name, Direction.INGRESS).name)
    ]
    assert len(ruleset.ipv4.chains) == 2
    assert all(len(chain.name) <= 28 for chain in ruleset.ipv4.chains)
    assert all(len(each.name) <= 29 for each in ruleset.ipv4.sets)


def test_rule_40_the_same_name_in_two_namespaces_is_two_policies() -> None:
    them = World.of(
        WEB,
        pod("other/web", "10.0.1.1", app="web"),
        policy("shop/p", "{ingress: [{}]}"),
        policy("other/p", "{}"),
    )
    assert them.reaches("10.0.9.9", "10.0.0.1")
    assert not them.reaches("10.0.9.9", "10.0.1.1")


def test_labels_that_look_like_names_of_sets_or_like_json_are_labels() -> None:
    first = World.of(WEB, policy("shop/p", RULES))
    name = set_names(first.rulesets[0])[0]
    odd = pod("shop/odd", "10.0.0.3", labels={name: "1", "NPM-FORWARD": "npm-4-x"})
    plain = pod("shop/plain", "10.0.0.4")
    spec = f"{{ingress: [{{from: [{{podSelector: {{matchLabels: {{{name}: '1', NPM-FORWARD: npm-4-x}}}}}}]}}]}}"
    them = World.of(WEB, odd, plain, policy("shop/p", spec))
    assert them.reaches("odd", "web")
    assert not them.reaches("plain", "web")


@pytest.mark.parametrize("renamed", ["shop/q", "shop/p.x"])
def test_renaming_a_policy_keeps_its_sets(renamed: str) -> None:
    before = World.of(WEB, policy("shop/p", RULES)).compiler.ruleset("n1")
    after = World.of(WEB, policy(renamed, RULES)).compiler.ruleset("n1")
    assert before.ipv4.sets == after.ipv4.sets
    assert {each.name for each in before.ipv4.chains}.isdisjoint(each.name for each in after.ipv4.chains)


def test_nodes_compiled_alone_or_in_any_order_are_the_same() -> None:
    them = World.of(WEB, DB, policy("shop/p", RULES), policy("shop/q", "{egress: [{to: [{podSelector: {}}]}]}"))
    fresh = World.of(*them.objects)
    assert tuple(reversed([fresh.compiler.ruleset(node) for node in ("n2", "n1")])) == them.rulesets
    again = replace(them.snapshot, network_policies=tuple(reversed(them.snapshot.network_policies)))
    assert compile_all(again) == them.rulesets
