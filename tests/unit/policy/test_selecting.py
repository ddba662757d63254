# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom a policy selects and isolates, and who its peers are (rules 1 to 13)."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Namespace
from unit.policy.clusters import OUTSIDE, World, pod, policy

WEB = pod("shop/web", "10.0.0.1", app="web")
DB = pod("shop/db", "10.0.0.2", app="db", node="n2")
BOB = pod("other/bob", "10.0.1.1", app="web", node="n2")


def world(*specs: str) -> World:
    return World.of(WEB, DB, BOB, *(policy(f"shop/p{number}", spec) for number, spec in enumerate(specs)))


def test_rule_1_no_policy_isolates_nobody() -> None:
    assert world().reaches("bob", "web")


def test_rule_1_isolation_is_per_pod_direction_and_namespace() -> None:
    them = world("{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}")
    assert not them.reaches("db", "web")
    assert not them.reaches(OUTSIDE, "web")
    assert them.reaches("web", "db")
    assert them.reaches("db", "bob"), "same labels, but a namespace without policies"


def test_rule_2_both_sides_must_agree() -> None:
    allow_web_out = "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{}]}"
    deny_db_in = "{podSelector: {matchLabels: {app: db}}}"
    them = world(allow_web_out, deny_db_in)
    assert them.reaches("web", "bob")
    assert not them.reaches("web", "db")


def test_rule_2_an_egress_allowance_opens_no_ingress_of_the_same_pod() -> None:
    them = world("{podSelector: {}, policyTypes: [Ingress, Egress], egress: [{to: [{podSelector: {}}]}]}")
    assert not them.reaches("web", "db")


def test_rule_3_policies_only_add() -> None:
    deny = "{podSelector: {}}"
    allow = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}"
    for them in (world(deny, allow), world(allow, deny)):
        assert them.reaches("db", "web")
        assert not them.reaches("bob", "web")
        assert not them.reaches("web", "db")


@pytest.mark.parametrize(
    ("spec", "ingress", "egress"),
    [
        ("{}", True, False),
        ("{policyTypes: []}", True, False),
        ("{policyTypes: null}", True, False),
        ("{egress: []}", True, False),
        ("{egress: [{to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}", True, True),
        ("{policyTypes: [Egress]}", False, True),
        ("{policyTypes: [Egress], ingress: [{from: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}", False, True),
        ("{policyTypes: [Ingress], egress: [{to: [{ipBlock: {cidr: 192.0.2.1/32}}]}]}", True, False),
        ("{policyTypes: [Egress, Ingress]}", True, True),
        ("{policyTypes: [Egress, Egress]}", False, True),
    ],
)
def test_rule_4_effective_policy_types(spec: str, ingress: bool, egress: bool) -> None:
    them = world(spec)
    assert them.reaches(OUTSIDE, "web") is not ingress
    assert them.reaches("web", OUTSIDE) is not egress


@pytest.mark.parametrize("rules", ["null", "[]"])
def test_rule_5_no_rules_allow_nothing(rules: str) -> None:
    assert not world(f"{{ingress: {rules}}}").reaches("db", "web")


def test_rule_5_an_empty_rule_allows_everything() -> None:
    them = world("{policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}")
    for what in ("TCP 80", "UDP 1", "SCTP 9", "ICMP"):
        assert them.reaches(OUTSIDE, "web", what)
        assert them.reaches("web", OUTSIDE, what)


@pytest.mark.parametrize("any_peer", ["from: null, ", "from: [], ", ""])
@pytest.mark.parametrize("any_port", ["ports: null", "ports: []", ""])
def test_rule_6_absent_null_and_empty_lists_are_any(any_peer: str, any_port: str) -> None:
    them = world(f"{{ingress: [{{{any_peer}{any_port}}}]}}")
    assert them.reaches(OUTSIDE, "web", "UDP 53")
    assert them.reaches("bob", "web", "ICMP")


@pytest.mark.parametrize(
    ("peers", "db", "bob"),
    [
        ("[{podSelector: {}}]", True, False),
        ("[{podSelector: {matchLabels: {app: web}}}]", False, False),
        ("[{namespaceSelector: {}}]", True, True),
        ("[{namespaceSelector: {}, podSelector: {}}]", True, True),
        ("[{namespaceSelector: {matchLabels: {ns: other}}}]", False, True),
        ("[{namespaceSelector: {matchLabels: {ns: other}}, podSelector: {matchLabels: {app: db}}}]", False, False),
        ("[{namespaceSelector: {matchLabels: {ns: other}}}, {podSelector: {matchLabels: {app: db}}}]", True, True),
        ("[{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}]", False, True),
        ("[{namespaceSelector: null, podSelector: {}}]", True, False),
    ],
)
def test_rules_7_and_8_selector_peers(peers: str, db: bool, bob: bool) -> None:
    them = world(f"{{ingress: [{{from: {peers}}}]}}")
    assert (them.reaches("db", "web"), them.reaches("bob", "web")) == (db, bob)
    assert not them.reaches(OUTSIDE, "web"), "a selector never means an address outside"


@pytest.mark.parametrize("peer", ["{}", "null", "{podSelector: null}", "{ipBlock: null}"])
def test_rule_9_an_empty_peer_matches_nothing_and_is_not_any(peer: str) -> None:
    them = world(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}")
    assert not them.reaches("db", "web")
    assert not them.reaches(OUTSIDE, "web")
    assert them.fields == ["spec.ingress[0].from[0]"]


@pytest.mark.parametrize(
    "selector",
    [
        "",
        "podSelector: null",
        "podSelector: {}",
        "podSelector: {matchLabels: null}",
        "podSelector: {matchExpressions: []}",
    ],
)
def test_rule_10_an_absent_or_empty_pod_selector_selects_all(selector: str) -> None:
    them = world(f"{{{selector}}}")
    assert not them.reaches("bob", "web")
    assert not them.reaches("bob", "db")
    assert not them.fields


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ("{matchLabels: {a: x}}", "x"),
        ("{matchLabels: {a: ''}}", "empty"),
        ("{matchLabels: {a: x, b: x}}", ""),
        ("{matchExpressions: [{key: a, operator: In, values: [x, y]}]}", "x y"),
        ("{matchExpressions: [{key: a, operator: In, values: [x, x]}]}", "x"),
        ("{matchExpressions: [{key: a, operator: NotIn, values: [x]}]}", "y empty none"),
        ("{matchExpressions: [{key: a, operator: Exists}]}", "x y empty"),
        ("{matchExpressions: [{key: a, operator: Exists, values: []}]}", "x y empty"),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", "none"),
        ("{matchLabels: {a: x}, matchExpressions: [{key: a, operator: NotIn, values: [x]}]}", ""),
        ("{matchExpressions: [{key: a, operator: Exists}, {key: a, operator: NotIn, values: [y]}]}", "x empty"),
    ],
)
@pytest.mark.parametrize("as_subject", [True, False])
def test_rule_11_label_selectors(selector: str, selected: str, as_subject: bool) -> None:
    labels = {"x": {"a": "x"}, "y": {"a": "y"}, "empty": {"a": ""}, "none": {"c": "x"}}
    pods = [
        pod(f"shop/{name}", f"10.0.0.{number}", labels=each) for number, (name, each) in enumerate(labels.items(), 1)
    ]
    target = pod("other/target", "10.0.9.9")
    if as_subject:
        them = World.of(*pods, target, policy("shop/p", f"{{podSelector: {selector}, policyTypes: [Egress]}}"))
        found = {name for name in labels if not them.reaches(name, "target")}
    else:
        peer = f"{{namespaceSelector: {{}}, podSelector: {selector}}}"
        them = World.of(*pods, target, policy("other/p", f"{{ingress: [{{from: [{peer}]}}]}}"))
        found = {name for name in labels if them.reaches(name, "target")}
    assert found == set(selected.split())


def test_rule_12_a_namespace_has_its_name_as_a_label() -> None:
    peer = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}"
    them = World.of(WEB, DB, BOB, Namespace("other", {}), policy("shop/p", f"{{ingress: [{{from: [{peer}]}}]}}"))
    assert them.reaches("bob", "web")
    assert not them.reaches("db", "web")


def test_rule_13_label_changes_change_members_not_names() -> None:
    peer = "{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: web}}}"
    rule = policy("shop/p", f"{{podSelector: {{matchLabels: {{app: db}}}}, ingress: [{{from: [{peer}]}}]}}")
    before = World.of(DB, BOB, Namespace("other", {}), rule)
    after = World.of(DB, BOB, Namespace("other", {"team": "red"}), rule)
    assert not before.reaches("bob", "db")
    assert after.reaches("bob", "db")
    assert before.rulesets[0].ipv4.chains == after.rulesets[0].ipv4.chains


@pytest.mark.parametrize("selector", ["{}", "{matchExpressions: [{key: x, operator: DoesNotExist}]}"])
def test_no_selector_matches_the_pods_of_a_namespace_that_is_missing(selector: str) -> None:
    rule = policy("shop/p", f"{{ingress: [{{from: [{{namespaceSelector: {selector}}}]}}]}}")
    assert World.of(WEB, BOB, rule).reaches("bob", "web")
    them = World.of(WEB, BOB, rule, missing="other")
    assert not them.reaches("bob", "web")
    assert [problem.object for problem in them.compiler.problems] == ["Namespace other"]


def test_a_policy_of_a_namespace_that_is_missing_isolates_and_allows_nothing() -> None:
    rule = policy("other/p", "{podSelector: {matchLabels: {app: web}}, ingress: [{}]}")
    assert World.of(WEB, BOB, rule).reaches("web", "bob")
    them = World.of(WEB, BOB, rule, missing="other")
    assert not them.reaches("web", "bob")
    assert them.compiler.summary.policies_refused == 1
    assert "NetworkPolicy other/p" in [problem.object for problem in them.compiler.problems]
