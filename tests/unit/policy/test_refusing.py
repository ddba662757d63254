# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API would reject, or we don't know, opens nothing: it is reported, and what it selects stays isolated
(rule 39)."""

from __future__ import annotations

import pytest
from unit.policy.clusters import OUTSIDE, World, pod, policy

WEB = pod("shop/web", "10.0.0.1", app="web", ports="http=80")
DB = pod("shop/db", "10.0.0.2", app="db", ports="http=80")
EVERY_WAY = [("db", "web"), (OUTSIDE, "web"), ("web", "db"), ("web", OUTSIDE)]


def world(spec: str) -> World:
    return World.of(WEB, DB, policy("shop/p", spec))


@pytest.mark.parametrize(
    ("port", "field"),
    [
        ("{protocol: tcp, port: 80}", "protocol"),
        ("{protocol: ICMP}", "protocol"),
        ("{protocol: ''}", "protocol"),
        ("{protocol: 6}", "protocol"),
        ("{port: 0}", "port"),
        ("{port: 65536}", "port"),
        ("{port: -80}", "port"),
        ("{port: true}", "port"),
        ("{port: 80.0}", "port"),
        ("{port: '80'}", "port"),
        ("{port: ''}", "port"),
        ("{port: Http}", "port"),
        ("{port: -http}", "port"),
        ("{port: a--b}", "port"),
        ("{port: abcdefghijklmnop}", "port"),
        ("{port: [80]}", "port"),
        ("{port: 80, endPort: 79}", "endPort"),
        ("{port: 80, endPort: 65536}", "endPort"),
        ("{port: 80, endPort: '81'}", "endPort"),
        ("{port: http, endPort: 81}", "endPort"),
        ("{endPort: 81}", "endPort"),
        ("{port: 80, ports: 81}", "ports"),
        ("null", ""),
        ("80", ""),
        ("[80]", ""),
    ],
)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_port_item_that_is_refused_matches_nothing(port: str, field: str, direction: str) -> None:
    them = world(f"{{policyTypes: [Ingress, Egress], {direction}: [{{ports: [{port}]}}]}}")
    assert not any(them.reaches(*way) for way in EVERY_WAY)
    assert them.fields == [f"spec.{direction}[0].ports[0]" + (f".{field}" if field else "")]
    beside = world(f"{{policyTypes: [{direction.title()}], {direction}: [{{ports: [{port}, {{port: 90}}]}}]}}")
    assert beside.reaches("db", "web", "TCP 90"), "other items keep their meaning"
    assert not beside.reaches("db", "web")


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        ("{matchLabel: {a: b}}", ".matchLabel"),
        ("{matchLabels: [a]}", ".matchLabels"),
        ("{matchLabels: {a: null}}", ".matchLabels"),
        ("{matchLabels: {a: true}}", ".matchLabels"),
        ("{matchLabels: {a: 'b c'}}", ".matchLabels"),
        ("{matchLabels: {'': b}}", ".matchLabels"),
        ("{matchLabels: {a/b/c: b}}", ".matchLabels"),
        ("{matchLabels: {1: b}}", ".matchLabels"),
        ("{matchExpressions: {key: a, operator: Exists}}", ".matchExpressions"),
        ("{matchExpressions: [null]}", ".matchExpressions[0]"),
        ("{matchExpressions: [{operator: DoesNotExist}]}", ".matchExpressions[0].key"),
        ("{matchExpressions: [{key: 'a b', operator: DoesNotExist}]}", ".matchExpressions[0].key"),
        ('{matchExpressions: [{key: "a\\n", operator: DoesNotExist}]}', ".matchExpressions[0].key"),
        ("{matchExpressions: [{key: a}]}", ".matchExpressions[0].operator"),
        ("{matchExpressions: [{key: a, operator: notin, values: [b]}]}", ".matchExpressions[0].operator"),
        ("{matchExpressions: [{key: a, operator: Gt, values: ['1']}]}", ".matchExpressions[0].operator"),
        ("{matchExpressions: [{key: a, operator: NotIn}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: NotIn, values: []}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: NotIn, values: x}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: NotIn, values: [1]}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: In, values: null}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: DoesNotExist, values: [b]}]}", ".matchExpressions[0].values"),
        ("{matchExpressions: [{key: a, operator: DoesNotExist, value: b}]}", ".matchExpressions[0].value"),
        ("everything", ""),
        ("[]", ""),
    ],
)
class TestASelectorThatIsRefused:
    def test_matches_no_peer(self, selector: str, field: str) -> None:
        for at in ("podSelector", "namespaceSelector"):
            them = world(f"{{ingress: [{{from: [{{{at}: {selector}}}]}}]}}")
            assert not them.reaches("db", "web")
            assert them.fields == [f"spec.ingress[0].from[0].{at}{field}"]

    def test_as_the_subject_isolates_all_pods_and_allows_nothing(self, selector: str, field: str) -> None:
        them = world(f"{{podSelector: {selector}, policyTypes: [Ingress, Egress], ingress: [{{}}], egress: [{{}}]}}")
        assert not any(them.reaches(*way) for way in EVERY_WAY)
        assert them.fields == [f"spec.podSelector{field}"]


def test_a_policy_that_selects_too_much_opens_nothing_that_another_closes() -> None:
    them = World.of(
        WEB,
        DB,
        policy("shop/deny-web", "{podSelector: {matchLabels: {app: web}}}"),
        policy("shop/open-db", "{podSelector: {matchLabel: {app: db}}, ingress: [{}]}"),
    )
    assert not them.reaches("db", "web")
    assert not them.reaches("web", "db")


@pytest.mark.parametrize(
    ("types", "field"),
    [
        ("[Ingress, Egress, Ingress]", ""),
        ("[Ingress, egress]", "[1]"),
        ("[null]", "[0]"),
        ("[[Ingress]]", "[0]"),
        ("Ingress", ""),
        ("{}", ""),
    ],
)
def test_policy_types_that_are_refused_isolate_both_ways_and_allow_nothing(types: str, field: str) -> None:
    them = world(f"{{policyTypes: {types}, ingress: [{{}}], egress: [{{}}]}}")
    assert not any(them.reaches(*way) for way in EVERY_WAY)
    assert them.fields == [f"spec.policyTypes{field}"]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("null", ""),
        ("[]", ""),
        ("{to: [{podSelector: {}}]}", ".to"),
        ("{From: []}", ".From"),
        ("{from: [], action: Deny}", ".action"),
        ("{from: {podSelector: {}}}", ".from"),
        ("{from: any}", ".from"),
        ("{ports: {port: 80}}", ".ports"),
        ("{ports: 80}", ".ports"),
        ("{from: [{podSelector: {}, except: []}]}", ".from[0].except"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8, excepts: []}}]}", ".from[0].ipBlock.excepts"),
        ("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: 10.0.0.0/9}}]}", ".from[0].ipBlock.except"),
        ("{from: [{ipBlock: {except: []}}]}", ".from[0].ipBlock.cidr"),
        ("{from: [{ipBlock: 10.0.0.0/8}]}", ".from[0].ipBlock"),
        ("{from: [10.0.0.0/8]}", ".from[0]"),
    ],
)
def test_a_rule_that_is_refused_allows_nothing(rule: str, field: str) -> None:
    them = world(f"{{ingress: [{rule}]}}")
    assert not them.reaches("db", "web")
    assert not them.reaches(OUTSIDE, "web")
    assert them.fields == [f"spec.ingress[0]{field}"]
    (problem,) = them.compiler.problems
    assert problem.object == "NetworkPolicy shop/p"
    assert problem.message
    assert problem.effect


@pytest.mark.parametrize("rules", ["{}", "''", "all", "0", "{from: []}"])
def test_rules_that_are_no_list_allow_nothing_and_isolate(rules: str) -> None:
    inward = world(f"{{ingress: {rules}}}")
    assert not inward.reaches("db", "web")
    assert inward.fields == ["spec.ingress"]
    outward = world(f"{{egress: {rules}}}")
    assert not outward.reaches("web", OUTSIDE)
    assert outward.fields == ["spec.egress"]


def test_an_unknown_field_of_the_spec_makes_the_policy_allow_nothing() -> None:
    them = world("{podSelector: {matchLabels: {app: web}}, ingress: [{}], priority: 5}")
    assert not them.reaches("db", "web")
    assert them.reaches("web", "db"), "its selector still says whom it isolates"
    assert them.fields == ["spec.priority"]


@pytest.mark.parametrize("spec", ["null", "[]", "deny", "1"])
def test_a_spec_that_is_no_object_isolates_all_pods_both_ways(spec: str) -> None:
    them = world(spec)
    assert not any(them.reaches(*way) for way in EVERY_WAY)
    assert them.fields == ["spec"]


def test_every_refusal_of_a_policy_is_reported() -> None:
    them = world(
        "{ingress: [{from: [{}, {podSelector: {}}], ports: [{port: 0}, {port: 80}]}, {x: 1}],"
        " egress: [{to: [{ipBlock: {cidr: x}}]}]}"
    )
    assert them.fields == [
        "spec.egress[0].to[0].ipBlock.cidr",
        "spec.ingress[0].from[0]",
        "spec.ingress[0].ports[0].port",
        "spec.ingress[1].x",
    ]
    assert them.reaches("db", "web", "TCP 80") is False, "egress of db is isolated by its bad block"
    assert (them.compiler.summary.policies_enforced, them.compiler.summary.policies_refused) == (0, 1)


def test_a_message_quotes_a_long_value_in_part() -> None:
    (problem,) = world("{ingress: [{from: [{ipBlock: {cidr: " + "9" * 5000 + ".0.0.0/8}}]}]}").compiler.problems
    assert len(str(problem)) < 400
