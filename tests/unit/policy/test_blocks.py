# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ipBlocks (rules 24 to 28)."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family
from unit.policy.clusters import OUTSIDE, OUTSIDE_6, World, pod, policy

WEB = pod("shop/web", "10.0.0.1", "fd00::1")
DB = pod("shop/db", "10.0.0.2", "fd00::2", app="db")
SUBJECT = "podSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}"


def world(*rules: str) -> World:
    policies = [
        policy(f"shop/p{number}", f"{{{SUBJECT}, ingress: [{{from: {peers}}}]}}") for number, peers in enumerate(rules)
    ]
    return World.of(WEB, DB, *policies)


def members(them: World, family: Family = Family.IPV4) -> list[tuple[str, ...]]:
    """The members of the set of each rule; an empty tuple for a rule without a set."""
    sets = (them.peers(rule) for rule in them.chain("web", Direction.INGRESS, family).rules)
    return [each.members if each else () for each in sets]


@pytest.mark.parametrize(
    ("cidr", "expected"),
    [
        ("192.168.242.213/24", "192.168.242.0/24"),
        ("192.168.0.1/32", "192.168.0.1"),
        ("010.000.08.1/24", "10.0.8.0/24"),
        ("1.2.3.4/024", "1.2.3.0/24"),
        ("FD00:0:0::ABCD/64", "fd00::/64"),
        ("fd00::abcd/128", "fd00::abcd"),
        ("::ffff:1.2.3.4/128", "::ffff:1.2.3.4"),
        ("::ffff:102:0/112", "::ffff:1.2.0.0/112"),
        ("::1.2.3.4/128", "::1.2.3.4"),
        ("::1/128", "::1"),
    ],
)
def test_rule_24_what_the_api_takes_is_masked_and_spelled_as_the_kernel_does(cidr: str, expected: str) -> None:
    them = world(f'[{{ipBlock: {{cidr: "{cidr}"}}}}]')
    assert not them.fields
    assert members(them, Family.IPV6 if ":" in cidr else Family.IPV4) == [(expected,)]
    assert members(them, Family.IPV4 if ":" in cidr else Family.IPV6) == [], "no match across families"


def test_rule_24_excepts_are_holes() -> None:
    them = world("[{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.2/32, 10.0.0.128/25]}}]")
    assert not them.reaches("db", "web")
    assert them.reaches("10.0.0.3", "web")
    assert not them.reaches("10.0.0.200", "web")
    assert not them.reaches("10.0.1.1", "web")


@pytest.mark.parametrize(
    ("hole", "cidr"),
    [
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.77/24", "10.0.0.0/24"),
        ("10.0.0.0/23", "10.0.0.0/24"),
        ("10.0.1.0/28", "10.0.0.0/24"),
        ("fd00::/120", "10.0.0.0/24"),
        ("::ffff:10.0.0.0/124", "10.0.0.0/24"),
        ("nonsense", "10.0.0.0/24"),
    ],
)
def test_rule_24_an_except_that_is_no_strict_subset_makes_the_block_match_nothing(hole: str, cidr: str) -> None:
    them = world(f'[{{ipBlock: {{cidr: {cidr}, except: ["{hole}"]}}}}]')
    assert not them.reaches("db", "web")
    assert not them.reaches("10.0.0.3", "web")
    assert them.fields == ["spec.ingress[0].from[0].ipBlock.except[0]"]


def test_rule_25_a_hole_of_one_peer_is_no_hole_of_another() -> None:
    holed = "{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.0/28]}}"
    single = "{ipBlock: {cidr: 10.0.0.2/32}}"
    for them in (world(f"[{holed}, {single}]"), world(f"[{single}]", f"[{holed}]")):
        assert them.reaches("db", "web")
        assert not them.reaches("10.0.0.3", "web")
        assert them.reaches("10.0.0.16", "web")


def test_rule_25_holes_that_meet_cancel_out() -> None:
    them = world(
        "[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]", "[{ipBlock: {cidr: 0.0.0.0/0, except: [11.0.0.0/8]}}]"
    )
    assert members(them) == [()]
    assert them.reaches("db", "web")


def test_rule_26_a_block_matches_pods_and_addresses_outside() -> None:
    them = world("[{ipBlock: {cidr: 10.0.0.2/32}}, {ipBlock: {cidr: 198.51.100.0/24}}]")
    assert them.reaches("db", "web")
    assert them.reaches(OUTSIDE, "web")


def test_rule_28_all_of_a_family_is_a_rule_without_a_set() -> None:
    them = world("[{ipBlock: {cidr: 0.0.0.0/0}}]")
    assert members(them, Family.IPV4) == [()]
    assert members(them, Family.IPV6) == []
    assert them.reaches(OUTSIDE, "web", "ICMP")
    assert not them.reaches("fd00::2", "fd00::1")
    assert members(world('[{ipBlock: {cidr: "::/0"}}]'), Family.IPV6) == [()]
    halves = world("[{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]")
    assert members(halves) == [()]


def test_rule_28_all_of_a_family_but_a_hole_has_no_member_of_length_0() -> None:
    them = world("[{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.2/32]}}]")
    assert not them.reaches("db", "web")
    assert them.reaches(OUTSIDE, "web")
    assert len(members(them)[0]) == 32
    assert not any(member.endswith("/0") for member in members(them)[0])


def test_holes_that_leave_nothing_leave_no_rule() -> None:
    them = world("[{ipBlock: {cidr: 10.0.0.0/24, except: [10.0.0.0/25, 10.0.0.128/25]}}]")
    assert not them.fields
    assert them.chain("web", Direction.INGRESS).rules == ()


@pytest.mark.parametrize("selector", ["podSelector: {}", "namespaceSelector: {}"])
def test_rule_39_a_block_together_with_a_selector_matches_nothing(selector: str) -> None:
    them = world(f"[{{ipBlock: {{cidr: 0.0.0.0/0}}, {selector}}}]")
    assert not them.reaches("db", "web")
    assert not them.reaches(OUTSIDE, "web")


@pytest.mark.parametrize(
    "cidr",
    [
        "",
        "10.0.0.1",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0/8",
        "10.0.0.256/8",
        "10.0.0.0x1/8",
        "\u0661\u0660.0.0.0/8",
        "10.0.0.0/\u0668",
        "::/129",
        "fe80::1%eth0/64",
        "1::2::3/64",
    ],
)
def test_rule_39_a_cidr_that_the_api_would_reject_matches_nothing(cidr: str) -> None:
    them = world(f'[{{ipBlock: {{cidr: "{cidr}"}}}}]')
    assert not them.reaches("db", "web")
    assert not them.reaches(OUTSIDE_6, "fd00::1")
    assert them.fields == ["spec.ingress[0].from[0].ipBlock.cidr"]
