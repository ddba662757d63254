# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A difference in words: by policy and pod, sorted, and no longer than asked for."""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import EGRESS_CHAIN, INGRESS_CHAIN, dispatch_part
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.describe import details, summary
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.difference import Difference, difference
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.ipset_text import parse_sets
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_table
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import comment
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import IPV4, NFT, Kernel, Target

WANTED_SETS = ["create npm-4-x hash:ip maxelem 65536", "add npm-4-x 10.0.0.1", "add npm-4-x 10.0.0.2"]
WANTED_RULES = [
    '-A NPM-INGRESS -d 10.0.0.5/32 -m comment --comment "shop/web-0" -g NPM-I-NEW',
    '-A NPM-I-NEW -p tcp -m tcp --dport 80 -m set --match-set npm-4-x src -m comment --comment "shop/allow" -j RETURN',
    '-A NPM-I-NEW -m comment --comment "shop/deny" -j DROP',
]
FOUND_SETS = ["create npm-4-x-a hash:ip maxelem 65536", "add npm-4-x-a 10.0.0.2", "add npm-4-x-a 10.0.0.3"]
FOUND_RULES = [
    "-A FORWARD -j NPM-FORWARD",
    '-A NPM-INGRESS -d 10.0.0.5/32 -m comment --comment "shop/web-0" -g NPM-I-OLD',
    '-A NPM-INGRESS -d 10.0.0.6/32 -m comment --comment "shop/web-1" -g NPM-I-OLD',
    "-A NPM-I-OLD -j DROP",
    '-A NPM-I-NEW -m set --match-set npm-4-x-a src -m comment --comment "shop/allow" -j RETURN',
    '-A NPM-I-NEW -m comment --comment "shop/deny" -j DROP',
]


def compare(found_sets: list[str], found_rules: list[str], wanted_rules: list[str] = WANTED_RULES) -> Difference:
    kernel = Kernel(parse_sets(found_sets), {(NFT, IPV4): parse_table(found_rules)})
    target = Target(parse_sets(WANTED_SETS), parse_table(wanted_rules).chains, "first")
    return difference(kernel, target, family=IPV4, variant=NFT)


def with_a_part(base: str, option: str, network: str, *addresses: str) -> list[str]:
    """A dispatch with one part, for pods in this network."""
    part = dispatch_part(base, network)
    pods = [f"-A {part} {option} {address}/32 -m comment --comment a/b -g NPM-I-NEW" for address in addresses]
    return [f"-A {base} {option} {network} -g {part}", *pods]


def test_every_difference_is_one_line_that_names_the_policies() -> None:
    assert summary(compare(FOUND_SETS, FOUND_RULES)) == [
        "IPv4: chain NPM-I-NEW (shop/allow, shop/deny): 1 rule missing, 1 rule too many",
        "IPv4: chain NPM-I-OLD is to go",
        "IPv4: chain NPM-INGRESS: 1 rule missing, 2 rules too many",
        "IPv4: set npm-4-x (shop/allow): 1 member missing, 1 member too many",
    ]


def test_the_diff_shows_members_rules_and_pods() -> None:
    text = details(compare(FOUND_SETS, FOUND_RULES), 100)
    assert text.startswith("IPv4\n")
    for line in (
        "    + 10.0.0.1",
        "    - 10.0.0.3",
        "    shop/web-0 10.0.0.5: NPM-I-OLD -> NPM-I-NEW",
        "    shop/web-1 10.0.0.6: NPM-I-OLD -> not isolated",
    ):
        assert f"{line}\n" in text
    assert "10.0.0.2" not in text
    assert "    - -m comment --comment shop/allow -m set --match-set npm-4-x src -j RETURN\n" in text


def test_a_part_of_the_dispatch_is_named_by_its_network() -> None:
    """Whether its rules are to change, it is to come, or it is to go."""
    wanted = [
        *with_a_part(INGRESS_CHAIN, "-d", "10.0.0.4/30", "10.0.0.5", "10.0.0.6"),
        *with_a_part(EGRESS_CHAIN, "-s", "10.0.0.8/29", "10.0.0.9"),
    ]
    found = [
        *with_a_part(INGRESS_CHAIN, "-d", "10.0.0.4/30", "10.0.0.5"),
        *with_a_part(EGRESS_CHAIN, "-s", "10.0.0.12/31", "10.0.0.12"),
    ]
    change = compare([], ["-A FORWARD -j NPM-FORWARD", *found], wanted)
    lines = [
        f"chain {dispatch_part(INGRESS_CHAIN, '10.0.0.4/30')} (pods in 10.0.0.4/30): 1 rule missing",
        f"chain {dispatch_part(EGRESS_CHAIN, '10.0.0.8/29')} (pods in 10.0.0.8/29) is missing",
        f"chain {dispatch_part(EGRESS_CHAIN, '10.0.0.12/31')} (pods in 10.0.0.12/31) is to go",
    ]
    assert {f"IPv4: {line}" for line in lines} <= set(summary(change))
    assert {f"  {line}" for line in lines} <= set(details(change, 100).splitlines())


def test_a_rule_of_somebody_else_gives_a_part_no_network() -> None:
    part = dispatch_part(INGRESS_CHAIN, "10.0.0.4/30")
    found = [f"-A {INGRESS_CHAIN} -d 10.0.0.0/8 -g {part}", f"-A {part} -d 10.0.0.5/32 -g NPM-I-NEW"]
    assert f"IPv4: chain {part} is to go" in summary(compare(FOUND_SETS, found))


def named(*comments: str) -> str:
    """What the line of a chain with a rule of each comment names, and the line of the set that they match."""
    rules = [
        f'-A NPM-I-NEW -m set --match-set npm-4-x src -m comment --comment "{each}" -j RETURN' for each in comments
    ]
    lines = [line for line in summary(compare([], [], rules)) if "NPM-I-NEW" in line or "npm-4-x" in line]
    found = {line.partition("(")[2].partition(")")[0] for line in lines}
    assert len(lines) == 2
    assert len(found) == 1
    return found.pop()


def test_a_line_names_as_many_policies_as_a_comment_and_counts_the_rest() -> None:
    names = [f"shop/{number:03d}-{'x' * 40}" for number in range(200)]
    assert named(*reversed(names)) == f"{', '.join(names[:4])}, +196 more"
    assert f'"{named(*names)}"' in comment(names)
    assert named(*names[:4]) == ", ".join(names[:4])
    longest = "n/" + "x" * 253
    assert named(longest, "shop/z") == f"{longest}, +1 more"


def test_what_a_comment_only_counts_is_no_policy() -> None:
    """One that was cut says how many more there are; the other rules may name some of them."""
    assert named("shop/b, shop/c, +7 more") == "shop/b, shop/c, +7 more"
    assert named("shop/b, shop/c, +2 more", "shop/a") == "shop/a, shop/b, shop/c, +1 more"
    assert named("shop/b, +2 more", "shop/a", "shop/c") == "shop/a, shop/b, shop/c"


def test_the_diff_is_capped_and_says_how_much_is_left_out() -> None:
    many = [*FOUND_SETS, *(f"add npm-4-x-a 10.1.0.{number}" for number in range(100))]
    change = compare(many, FOUND_RULES)
    whole = details(change, 1000).splitlines()
    capped = details(change, 20).splitlines()
    assert capped[:21] == whole[:21]
    assert capped[21:] == [f"  … and {len(whole) - 21} more lines"]
    assert "2 members missing" not in capped


def test_no_difference_has_no_words() -> None:
    rules = ["-A FORWARD -j NPM-FORWARD", *(line.replace("npm-4-x ", "npm-4-x-b ") for line in WANTED_RULES)]
    change = compare([line.replace("npm-4-x", "npm-4-x-b") for line in WANTED_SETS], rules)
    assert not change
    assert summary(change) == []
    assert details(change, 10) == ""


def test_what_is_missing_and_left_over_is_named() -> None:
    lines = summary(compare(["create npm-4-gone-a hash:ip", "create npm-4-odd hash:ip"], []))
    assert "IPv4: our jump in FORWARD is missing" in lines
    assert "IPv4: set npm-4-x (shop/allow) is missing (2 members)" in lines
    assert "IPv4: set npm-4-gone-a is left over" in lines
    assert "IPv4: set npm-4-odd is left over" in lines


def test_tampering_with_a_set_is_named() -> None:
    def line(*sets: str) -> str:
        rules = ["-A FORWARD -j NPM-FORWARD", *(each.replace("npm-4-x ", "npm-4-x-a ") for each in WANTED_RULES)]
        (found,) = summary(compare(list(sets), rules))
        return found

    members = ("add npm-4-x-a 10.0.0.1", "add npm-4-x-a 10.0.0.2")
    assert line("create npm-4-x-a hash:net", *members).endswith("is of type hash:net, not hash:ip")
    assert line("create npm-4-x-a hash:ip maxelem 4", *members).endswith("has room for 4 members, not 65536")
    assert line("create npm-4-x-a hash:ip maxelem 131072", members[0]).endswith("1 member missing")
