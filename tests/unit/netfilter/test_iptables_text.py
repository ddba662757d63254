# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules in one spelling: what means the same has the same text, and what means something else has not."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import (
    IptablesTextError,
    parse_rule,
    parse_table,
    with_set_names,
)

SAME = (
    ("-p tcp --dport 80 -j DROP", "-p tcp -m tcp --dport 80 -j DROP", "-m tcp -p 6 --dport 80:80 -j DROP"),
    ("-p tcp -m tcp --dport 0:65535 -j DROP", "-p tcp -m tcp -j DROP", "-p tcp -j DROP", "-p tcp --dport : -j DROP"),
    ("-s 10.0.0.1 ! -d 10.0.0.2 -j DROP", "! -d 10.0.0.2/32 -s 10.0.0.1/32 -j DROP"),
    ("-s 0.0.0.0/0 -j DROP", "-j DROP", "-d ::/0 -j DROP"),
    ("-s fd00:0::1 -j DROP", "--source FD00::1/128 --jump DROP"),
    ("-s 10.0.0.9/24 -j DROP", "-s 10.0.0.0/24 -j DROP"),
    ("-p icmpv6 --icmpv6-type 135 -j RETURN", "-p ipv6-icmp -m icmp6 --icmpv6-type neighbour-solicitation -j RETURN"),
    ("-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN", "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"),
    ("-p udp -m multiport --dports 53,80:90 -j DROP", "-p udp -m multiport --dports 80:90,53 -j DROP"),
    ("-m comment --comment word -j DROP", '-m comment --comment "word" -j DROP'),
    (
        "-m set --match-set npm-4-x-a src -m comment --comment c -j DROP",
        "-m comment --comment c -m set --match-set npm-4-x-b src -j DROP",
    ),
    ("-p tcp --dport 1000: -j DROP", "-p tcp -m tcp --dport 1000:65535 -j DROP"),
)
DIFFERENT = (
    "-j DROP",
    "-j RETURN",
    "-g DROP",
    "-p tcp -j DROP",
    "! -p tcp -j DROP",
    "-p tcp -m tcp --dport 80 -j DROP",
    "-p tcp -m tcp ! --dport 80 -j DROP",
    "-p tcp -m tcp ! --dport 0:65535 -j DROP",
    "-p tcp -m tcp --sport 80 -j DROP",
    "-s 10.0.0.1 -j DROP",
    "! -s 10.0.0.1 -j DROP",
    "-d 10.0.0.1 -j DROP",
    "-m set --match-set npm-4-x-a src -j DROP",
    "-m set ! --match-set npm-4-x-a src -j DROP",
    "-m set --match-set npm-4-x-a dst -j DROP",
    "-m set --match-set npm-4-x-a src,src -j DROP",
    "-m set --match-set npm-4-y-a src -j DROP",
    "-m set --match-set other-a src -j DROP",
    "-m set --match-set other-b src -j DROP",
    "-m comment --comment c -j DROP",
    "-i azv+ -j DROP",
    "-m conntrack --ctstate NEW -j DROP",
    "-m conntrack ! --ctstate NEW -j DROP",
    "-m physdev --physdev-is-bridged -j DROP",
    "-j LOG --log-prefix denied",
    '-j LOG --log-prefix "denied: "',
)


@pytest.mark.parametrize("spellings", SAME, ids=lambda each: each[0])
def test_one_meaning_has_one_text(spellings: tuple[str, ...]) -> None:
    assert len({parse_rule(line).text for line in spellings}) == 1


def test_two_meanings_have_two_texts() -> None:
    assert len({parse_rule(line).text for line in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("line", [*DIFFERENT, *(line for spellings in SAME for line in spellings)])
def test_the_normal_form_is_its_own(line: str) -> None:
    text = parse_rule(line).text
    assert parse_rule(text).text == text


def test_what_a_rule_names_is_kept() -> None:
    rule = parse_rule('-m set --match-set npm-4-x-a src -m comment --comment "shop/a, shop/b" -g NPM-I-X')
    assert rule.sets == ("npm-4-x-a",)
    assert rule.comment == "shop/a, shop/b"
    assert rule.target == "NPM-I-X"


def test_set_names_are_written_as_the_kernel_has_them() -> None:
    rule = parse_rule("-m set --match-set npm-4-x src -m set --match-set npm-4-xy dst,dst -j RETURN")
    names = {"npm-4-x": "npm-4-x-a", "npm-4-xy": "npm-4-xy-b"}
    assert with_set_names(rule, names) == (
        "-m set --match-set npm-4-x-a src -m set --match-set npm-4-xy-b dst,dst -j RETURN"
    )


def test_a_table_is_our_chains_and_everybodys_forward() -> None:
    table = parse_table(
        [
            "# Generated",
            "*filter",
            ":FORWARD DROP [1:2]",
            ":NPM-EMPTY - [0:0]",
            ":OTHER - [0:0]",
            "-A OTHER -j DROP",
            "-A FORWARD -j OTHER",
            "-A NPM-X -j DROP",
            "-A NPM-X -j RETURN",
            "COMMIT",
        ]
    )
    assert {name: [rule.text for rule in rules] for name, rules in table.chains.items()} == {
        "NPM-EMPTY": [],
        "NPM-X": ["-j DROP", "-j RETURN"],
    }
    assert [rule.target for rule in table.forward] == ["OTHER"]


@pytest.mark.parametrize("line", ["-I FORWARD 1 -j DROP", "nonsense", '-A NPM-X -m comment --comment "open -j DROP'])
def test_other_lines_are_refused_by_name(line: str) -> None:
    with pytest.raises(IptablesTextError, match=r"NPM-X|nonsense|FORWARD|open"):
        parse_table([line])


def test_a_found_rule_that_cannot_be_read_is_like_none_of_ours() -> None:
    """A comment may have a line break in it."""
    (rule,) = parse_table(['-A NPM-X -m comment --comment "open'], found=True).chains["NPM-X"]
    assert rule.text == '-m comment --comment "open'
    assert rule.target == ""
