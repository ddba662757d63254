# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that would cut off what a cluster lives by."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Settings
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.protection import ALLOW_ANNOTATION
from unit.policy.clusters import World, pod, policy

DNS = pod("kube-system/dns", "10.0.0.1", app="dns")
METRICS = pod("kube-system/metrics", "10.0.0.2", app="metrics")
PROXY = pod("kube-system/proxy", "192.168.0.4", app="proxy", host_network=True)
DENY_ALL = policy("kube-system/deny-all", "{podSelector: {}}")


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
    elsewhere = policy("shop/deny-all", "{}", **{ALLOW_ANNOTATION: "true"})
    assert named(World.of(DNS, DENY_ALL, elsewhere)) == [("deny-all", "spec.ingress")]


AGENT = pod("kube-system/konnectivity-agent", "10.0.0.5", app="konnectivity-agent")
COREDNS = pod("kube-system/coredns", "10.0.0.6", **{"k8s-app": "kube-dns"})
OTHERS_ALLOWED = policy(
    "kube-system/metrics",
    "{podSelector: {matchLabels: {app: metrics}}, ingress: [{}], egress: [{}], policyTypes: [Ingress, Egress]}",
)


def said(them: World) -> list[str]:
    return [f"{problem.name}: {problem.message}" for problem in them.compiler.protected]


def test_a_policy_that_cuts_off_a_lifeline_is_named_though_others_of_the_namespace_are_reached() -> None:
    deny = policy("kube-system/deny", "{podSelector: {}, policyTypes: [Ingress, Egress]}")
    assert said(World.of(METRICS, AGENT, COREDNS, OTHERS_ALLOWED, deny)) == [
        "deny: isolates every konnectivity-agent pod of the protected namespace for egress, and nothing is allowed",
        "deny: isolates every CoreDNS pod of the protected namespace for ingress, and nothing is allowed",
    ]


@pytest.mark.parametrize("direction", ["Ingress", "Egress"])
def test_coredns_is_cut_off_in_either_direction(direction: str) -> None:
    """It answers the cluster, and asks others."""
    deny = policy(
        "kube-system/p", f"{{podSelector: {{matchLabels: {{k8s-app: kube-dns}}}}, policyTypes: [{direction}]}}"
    )
    assert named(World.of(METRICS, COREDNS, deny)) == [("p", f"spec.{direction.lower()}")]


def test_a_lifeline_is_seen_among_pods_that_no_policy_tells_apart() -> None:
    deny = policy("kube-system/deny", "{podSelector: {}, policyTypes: [Egress]}")
    allow = policy(
        "kube-system/allow", "{podSelector: {matchLabels: {tier: free}}, policyTypes: [Egress], egress: [{}]}"
    )
    free = pod("kube-system/free", "10.0.0.7", tier="free")
    assert not named(World.of(METRICS, free, deny, allow))
    assert named(World.of(METRICS, AGENT, free, deny, allow)) == [("deny", "spec.egress")]


@pytest.mark.parametrize("label", ["app", "k8s-app"])
def test_a_policy_for_a_lifeline_alone_is_named(label: str) -> None:
    agent = pod("kube-system/agent", "10.0.0.5", **{label: "konnectivity-agent"})
    deny = policy(
        "kube-system/p", f"{{podSelector: {{matchLabels: {{{label}: konnectivity-agent}}}}, policyTypes: [Egress]}}"
    )
    assert named(World.of(METRICS, agent, deny)) == [("p", "spec.egress")]
    assert not named(World.of(pod("shop/agent", "10.0.0.5", **{label: "konnectivity-agent"}), DENY_ALL))


@pytest.mark.parametrize(
    "allowing",
    [
        "{podSelector: {matchLabels: {app: konnectivity-agent}}, policyTypes: [Egress], egress: [{}]}",
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}",
    ],
)
def test_a_lifeline_that_may_connect_to_something_is_left_alone(allowing: str) -> None:
    deny = policy("kube-system/deny", "{podSelector: {}, policyTypes: [Egress]}")
    assert named(World.of(METRICS, AGENT, deny))
    assert not named(World.of(METRICS, AGENT, deny, policy("kube-system/allow", allowing)))


def test_a_lifeline_is_not_cut_off_while_one_of_its_pods_is_free() -> None:
    free = pod("kube-system/agent-2", "10.0.0.7", app="konnectivity-agent", tier="free")
    deny = policy(
        "kube-system/p",
        "{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}, policyTypes: [Egress]}",
    )
    assert not named(World.of(AGENT, free, deny))


def test_what_an_agent_lets_in_is_no_lifeline() -> None:
    deny = policy("kube-system/p", "{podSelector: {matchLabels: {app: konnectivity-agent}}}")
    assert not named(World.of(METRICS, AGENT, deny))


def test_the_annotation_lifts_it_for_a_lifeline_too() -> None:
    spec = "{podSelector: {matchLabels: {app: konnectivity-agent}}, policyTypes: [Egress]}"
    assert named(World.of(METRICS, AGENT, policy("kube-system/p", spec)))
    assert not named(World.of(METRICS, AGENT, policy("kube-system/p", spec, **{ALLOW_ANNOTATION: "true"})))


def test_the_namespace_of_helper_pods_is_protected_but_they_use_the_nodes_network() -> None:
    deny = policy("npm-netpol-nodes/deny", "{podSelector: {}}")
    assert named(World.of(pod("npm-netpol-nodes/other", "10.0.0.8"), deny)) == [("deny", "spec.ingress")]
    assert not named(World.of(pod("npm-netpol-nodes/npm-node-1", "192.168.0.4", host_network=True), deny))
