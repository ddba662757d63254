# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that are reached from outside: who is told of them, and the sources that are always let in."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Service
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Settings, SettingsError
from unit.policy.clusters import OUTSIDE, World, pod, policy

PROBE = Settings(always_allowed_sources=("168.63.129.16/32",))
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
