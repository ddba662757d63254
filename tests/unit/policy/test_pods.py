# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is a pod, and whose is an address (rules 29 to 34)."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family
from unit.policy.clusters import OUTSIDE, World, pod, policy

WEB = pod("shop/web", "10.0.0.1")
FROM_PODS = policy("shop/p", "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")
DENY = policy("shop/p", "{podSelector: {}, policyTypes: [Ingress, Egress]}")


def test_rule_29_a_pod_of_the_hosts_network_is_no_subject_and_no_peer() -> None:
    host = pod("shop/host", "192.168.0.4", host_network=True)
    them = World.of(WEB, host, FROM_PODS)
    assert them.reaches(OUTSIDE, "host")
    assert not them.reaches("host", "web")
    by_block = policy("shop/q", "{ingress: [{from: [{ipBlock: {cidr: 192.168.0.4/32}}]}]}")
    assert World.of(WEB, host, FROM_PODS, by_block).reaches("host", "web")
    assert not any("192.168.0.4" in repr(ruleset) for ruleset in them.rulesets)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_rule_30_a_finished_pod_is_excluded_everywhere(phase: str) -> None:
    done = pod("shop/done", "10.0.0.2", phase=phase)
    them = World.of(WEB, done, FROM_PODS)
    assert not them.reaches("done", "web")
    assert them.reaches(OUTSIDE, "done")
    successor = pod("other/successor", "10.0.0.2", created="2020-01-01T00:00:00Z")
    again = World.of(WEB, done, successor, FROM_PODS)
    assert not again.reaches("successor", "web")
    assert not again.compiler.problems


@pytest.mark.parametrize("fields", [{"terminating": True}, {"phase": "Pending"}, {"phase": "Unknown"}])
def test_rule_30_a_pod_that_may_still_run_counts(fields: dict[str, object]) -> None:
    them = World.of(WEB, pod("shop/late", "10.0.0.2", **fields), FROM_PODS)
    assert them.reaches("late", "web")
    assert not them.reaches(OUTSIDE, "late")


def test_rule_30_a_pod_without_addresses_leaves_no_entry() -> None:
    them = World.of(WEB, pod("shop/new", phase="Pending"), FROM_PODS)
    (ruleset,) = them.rulesets
    assert [target.pod for target in ruleset.ipv4.ingress] == ["shop/web"]
    assert [each.members for each in ruleset.ipv4.sets] == [("10.0.0.1",)]
    assert not ruleset.ipv6.ingress


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ({"created": "1"}, {"phase": "Pending", "created": "2"}),
        ({"terminating": True}, {"phase": "Pending"}),
        ({"created": "1"}, {"terminating": True, "created": "2"}),
        ({"created": "2"}, {"created": "1"}),
    ],
)
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_rule_30_of_two_claims_to_an_address_one_wins(
    winner: dict[str, object], loser: dict[str, object], names: tuple[str, str]
) -> None:
    them = World.of(
        WEB,
        pod(f"shop/{names[0]}", "10.0.0.2", app="winner", **winner),
        pod(f"shop/{names[1]}", "10.0.0.2", "10.0.0.3", app="loser", **loser),
        policy("shop/p", "{podSelector: {matchLabels: {app: loser}}}"),
        policy(
            "shop/q",
            "{podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]},"
            " ingress: [{from: [{podSelector: {matchLabels: {app: winner}}}]}]}",
        ),
    )
    assert them.reaches(OUTSIDE, "10.0.0.2"), "the loser's policy does not isolate the winner's address"
    assert not them.reaches(OUTSIDE, "10.0.0.3"), "it keeps its other address"
    assert them.reaches("10.0.0.2", "web")
    (problem,) = them.compiler.problems
    assert (problem.name, problem.field) == (names[1], "status.podIPs")


def test_rule_31_every_address_of_a_pod_counts_in_its_family() -> None:
    web = pod("shop/web", "10.0.0.1", "FD00:0::1")
    db = pod("shop/db", "fd00::2", "10.0.0.2")
    them = World.of(web, db, FROM_PODS)
    assert them.reaches("10.0.0.2", "10.0.0.1")
    assert them.reaches("fd00::2", "fd00::1")
    assert not them.reaches("fd00::3", "fd00::1")
    (ruleset,) = them.rulesets
    assert [each.members for each in ruleset.ipv6.sets] == [("fd00::1", "fd00::2")]


def test_rule_31_a_policy_with_ipv4_blocks_only_isolates_ipv6_too() -> None:
    web = pod("shop/web", "10.0.0.1", "fd00::1")
    them = World.of(web, policy("shop/p", "{ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"))
    assert them.reaches(OUTSIDE, "10.0.0.1")
    assert not them.reaches("fd00::2", "fd00::1")
    assert them.chain("web", Direction.INGRESS, Family.IPV6).rules == ()


@pytest.mark.parametrize("address", ["", "nonsense", "0.0.0.0", "::", "10.0.0.0/24", "fe80::1%eth0"])  # noqa: S104
def test_an_address_that_no_set_can_hold_is_refused_and_reported(address: str) -> None:
    them = World.of(pod("shop/web", address, "10.0.0.1"), FROM_PODS)
    (ruleset,) = them.rulesets
    assert [target.address for target in ruleset.ipv4.ingress] == ["10.0.0.1"]
    assert not ruleset.ipv6.ingress
    assert them.fields == ["status.podIPs"]


def test_rule_34_a_remote_node_is_judged_as_any_address_outside() -> None:
    them = World.of(WEB, DENY)
    assert not them.reaches("192.168.0.4", "web")


def test_a_node_enforces_for_its_own_pods_only() -> None:
    far = pod("shop/far", "10.0.0.2", node="n2")
    them = World.of(WEB, far, pod("shop/nowhere", "10.0.0.3", node=""), DENY)
    assert [target.pod for target in them.compiler.ruleset("n1").ipv4.ingress] == ["shop/web"]
    assert [target.pod for target in them.compiler.ruleset("n2").ipv4.egress] == ["shop/far"]
    unknown = them.compiler.ruleset("n3")
    assert (unknown.node, unknown.ipv4.chains, unknown.ipv6.chains) == ("n3", (), ())


def test_a_pod_that_could_not_be_read_is_isolated_and_nobodys_peer() -> None:
    odd = pod("shop/odd", "10.0.0.2", ports="http=80", unreadable=True)
    alone = World.of(WEB, odd)
    assert not alone.reaches("web", "odd")
    assert not alone.reaches("odd", OUTSIDE)
    them = World.of(
        WEB, odd, policy("shop/p", "{ingress: [{from: [{podSelector: {}}]}], egress: [{ports: [{port: http}]}]}")
    )
    assert not them.reaches("odd", "web")
    assert not any("10.0.0.2" in member for each in them.rulesets[0].ipv4.sets for member in each.members)
    assert not them.reaches("web", "odd")
    assert them.compiler.summary.pods_isolated_egress == 2


@pytest.mark.parametrize("name", ["before-web", "zz-after-web"])
def test_a_pod_that_could_not_be_read_is_judged_apart_from_one_with_the_same_labels(name: str) -> None:
    """Whichever of them comes first."""
    them = World.of(WEB, pod(f"shop/{name}", "10.0.0.2", labels=WEB.labels, unreadable=True))
    assert them.reaches(OUTSIDE, "web")
    assert them.reaches("web", OUTSIDE)
    assert not them.reaches(OUTSIDE, name)
    assert not them.reaches(name, OUTSIDE)
