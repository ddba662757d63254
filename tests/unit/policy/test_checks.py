# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person is told before a run, and the sources that are always let in."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.problem import Problem
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    ClusterNetworkPolicy,
    Service,
    make,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.checks import ALLOW_ANNOTATION
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings, SettingsError
from unit.policy.clusters import OUTSIDE, World, pod, policy

DNS = pod("kube-system/dns", "10.0.0.1", app="dns")
METRICS = pod("kube-system/metrics", "10.0.0.2", app="metrics")
PROXY = pod("kube-system/proxy", "192.168.0.4", app="proxy", host_network=True)
DENY_ALL = policy("kube-system/deny-all", "{podSelector: {}}")
PROBE = Settings(always_allowed_sources=("168.63.129.16/32",))


def named(them: World) -> list[tuple[str, str]]:
    return [(problem.name, problem.field) for problem in them.compiler.protected]


def test_a_policy_that_cuts_off_a_protected_namespace_is_named() -> None:
    them = World.of(DNS, METRICS, PROXY, DENY_ALL)
    assert named(them) == [("deny-all", "spec.ingress")]
    both = policy("kube-system/both", "{policyTypes: [Ingress, Egress]}")
    assert named(World.of(DNS, both)) == [("both", "spec.egress"), ("both", "spec.ingress")]


def test_one_whose_every_rule_was_refused_is_named_too() -> None:
    assert named(World.of(DNS, policy("kube-system/p", "{ingress: [{from: [{}]}]}"))) == [("p", "spec.ingress")]


@pytest.mark.parametrize(
    "other",
    [
        "{podSelector: {matchLabels: {app: dns}}, ingress: [{ports: [{port: 53}]}]}",
        "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
    ],
)
def test_not_where_another_policy_allows_something(other: str) -> None:
    assert not named(World.of(DNS, METRICS, DENY_ALL, policy("kube-system/other", other)))


@pytest.mark.parametrize(
    "other",
    [
        "{podSelector: {matchLabels: {app: gone}}, ingress: [{}]}",
        "{podSelector: {matchLabels: {app: proxy}}, ingress: [{}]}",
        "{podSelector: {}, policyTypes: [Egress], egress: [{}]}",
    ],
)
def test_still_where_what_another_allows_helps_no_pod_in_that_direction(other: str) -> None:
    assert named(World.of(DNS, METRICS, PROXY, DENY_ALL, policy("kube-system/other", other)))


def test_not_where_some_pod_is_not_isolated() -> None:
    some = policy("kube-system/some", "{podSelector: {matchLabels: {app: dns}}}")
    assert not named(World.of(DNS, METRICS, some))
    assert named(World.of(DNS, PROXY, some)), "pods of the host's network don't count"
    assert named(World.of(DNS, pod("kube-system/odd", "10.0.0.3", unreadable=True), some)), "nor do unreadable ones"


def test_not_in_another_namespace_nor_one_without_pods_nor_when_none_is_protected() -> None:
    assert not named(World.of(pod("shop/web", "10.0.0.1"), policy("shop/p", "{}")))
    assert not named(World.of(PROXY, DENY_ALL))
    assert not named(World.of(DNS, DENY_ALL, settings=Settings(protected_namespaces=())))
    assert named(World.of(pod("shop/web", "10.0.0.1"), policy("shop/p", "{}"), settings=Settings((), ("shop",))))


def test_the_annotation_lifts_it() -> None:
    assert not named(World.of(DNS, policy("kube-system/p", "{}", **{ALLOW_ANNOTATION: "true"})))
    assert named(World.of(DNS, policy("kube-system/p", "{}", **{ALLOW_ANNOTATION: "false"})))
    lifted = policy("kube-system/lifted", "{}", **{ALLOW_ANNOTATION: "true"})
    assert named(World.of(DNS, DENY_ALL, lifted)) == [("deny-all", "spec.ingress")]


WEB = pod("shop/web", "10.0.1.1", "fd00::1", app="web")
DB = pod("shop/db", "10.0.1.2", "fd00::2", app="db")
DENY = policy("shop/deny", "{}")


def service(kind: str, traffic_policy: str = "Cluster", **selector: str) -> Service:
    return Service("shop", "front", kind, selector or {"app": "web"}, traffic_policy)


@pytest.mark.parametrize(
    ("given", "reported"),
    [
        (service("LoadBalancer"), True),
        (service("NodePort"), True),
        (service("NodePort", ""), True),
        (service("LoadBalancer", "Local"), False),
        (service("ClusterIP"), False),
        (service("LoadBalancer", app="gone"), False),
        (Service("shop", "front", "LoadBalancer", {}, "Cluster"), False),
        (Service("other", "front", "LoadBalancer", {"app": "web"}, "Cluster"), False),
    ],
)
def test_exposed_services_with_isolated_backends_are_reported(given: Service, reported: bool) -> None:
    found = World.of(WEB, DB, DENY, given).compiler.exposed_services
    assert [problem.object for problem in found] == (["Service shop/front"] if reported else [])


def test_exposed_services_whose_backends_are_open_are_not_reported() -> None:
    assert not World.of(WEB, service("NodePort")).compiler.exposed_services
    assert not World.of(WEB, DENY, policy("shop/p", "{ingress: [{}]}"), service("NodePort")).compiler.exposed_services
    egress = policy("shop/p", "{policyTypes: [Egress]}")
    assert not World.of(WEB, egress, service("NodePort")).compiler.exposed_services


def test_always_allowed_sources_reach_backends_of_exposed_services_only() -> None:
    for kind, traffic_policy in (("NodePort", "Cluster"), ("LoadBalancer", "Local")):
        them = World.of(WEB, DB, DENY, service(kind, traffic_policy), settings=PROBE)
        assert them.reaches("168.63.129.16", "web", "TCP 10256")
        assert not them.reaches("168.63.129.17", "web")
        assert not them.reaches("168.63.129.16", "db")
        assert not them.reaches("db", "web")
    inner = World.of(WEB, DB, DENY, service("ClusterIP"), settings=PROBE)
    assert not inner.reaches("168.63.129.16", "web")


def test_always_allowed_sources_are_one_rule_of_their_own() -> None:
    peer = policy("shop/p", "{ingress: [{from: [{ipBlock: {cidr: 168.63.129.16/32}}]}]}")
    them = World.of(WEB, peer, service("NodePort"), settings=PROBE)
    rules = them.chain("web", Direction.INGRESS).rules
    assert sorted(rule.policies for rule in rules) == [("npm_always_allowed_sources",), ("shop/p",)]
    assert them.chain("web", Direction.INGRESS, Family.IPV6).rules == ()
    everything = World.of(WEB, policy("shop/p", "{ingress: [{}]}"), service("NodePort"), settings=PROBE)
    assert [rule.policies for rule in everything.chain("web", Direction.INGRESS).rules] == [("shop/p",)]


def test_always_allowed_sources_do_not_isolate() -> None:
    them = World.of(WEB, DB, service("NodePort"), settings=PROBE)
    assert them.reaches(OUTSIDE, "web")
    assert not them.rulesets[0].ipv4.chains


def test_always_allowed_sources_may_be_all() -> None:
    them = World.of(
        WEB, DENY, service("NodePort"), settings=Settings(always_allowed_sources=("0.0.0.0/0", "10.0.0.0/8"))
    )
    (rule,) = them.chain("web", Direction.INGRESS).rules
    assert rule.peers == ""


def test_a_source_that_is_no_cidr_is_an_error_that_names_it() -> None:
    with pytest.raises(SettingsError, match=r"always_allowed_sources: '168\.63\.129\.16' has no prefix length"):
        World.of(WEB, settings=Settings(always_allowed_sources=("168.63.129.16",))).compiler  # noqa: B018 - compiles


def test_problems_are_those_of_the_snapshot_and_our_own_in_order() -> None:
    before = Problem("Pod", "shop", "odd", "spec", "could not be read")
    snapshot = make(
        Cluster(),
        problems=[before],
        cluster_network_policies=[ClusterNetworkPolicy("b", {}), ClusterNetworkPolicy("a", {})],
    )
    problems = Compiler(snapshot).problems
    assert [problem.object for problem in problems] == [
        "ClusterNetworkPolicy a",
        "ClusterNetworkPolicy b",
        "Pod shop/odd",
    ]


def test_the_summary_counts() -> None:
    them = World.of(
        DNS,
        PROXY,
        WEB,
        DB,
        pod("shop/new", app="web"),
        DENY,
        policy("shop/out", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], x: 1}"),
    )
    summary = them.compiler.summary
    assert (summary.pods, summary.pods_isolated_ingress, summary.pods_isolated_egress) == (3, 2, 1)
    assert (summary.policies_enforced, summary.policies_refused) == (1, 1)
