# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets in one spelling, whatever release of ipset wrote them, and what makes two of them differ."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.difference import SetChange
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.ipset_text import (
    DEFAULT_MAXELEM,
    IpsetTextError,
    create_line,
    maxelem_for,
    parse_sets,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import IPV4, IPV6, Set


def one(*lines: str) -> Set:
    (found,) = parse_sets(lines).values()
    return found


def test_sizes_and_seeds_of_the_hash_table_are_no_part_of_a_set() -> None:
    new = one("create s hash:net family inet hashsize 2048 maxelem 65536 bucketsize 12 initval 0x1", "add s 10.0.0.0/8")
    old = one("create s hash:net family inet hashsize 1024 maxelem 65536", "add s 10.0.0.0/8")
    assert new == old == Set("s", "hash:net", IPV4, 65536, frozenset({"10.0.0.0/8"}))


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("family inet timeout 300", "hash:net timeout 300"),
        ("family inet hashsize 64 maxelem 9 counters comment", "hash:net counters comment"),
        ("family inet netmask 24", "hash:net netmask 24"),
        ("family inet hashsize 1024 maxelem 65536 forceadd bucketsize 12 initval 0x1", "hash:net forceadd"),
    ],
)
def test_an_option_that_changes_the_meaning_is_part_of_the_kind(options: str, kind: str) -> None:
    assert one(f"create s hash:net {options}").kind == kind


def test_an_excluded_member_makes_a_set_of_another_kind() -> None:
    plain = one("create s hash:net", "add s 10.0.0.0/8")
    excluding = one("create s hash:net", "add s 10.0.0.0/8 nomatch")
    assert excluding.kind == "hash:net nomatch"
    assert SetChange("s", excluding, plain).of_wrong_type


@pytest.mark.parametrize(
    ("family", "written", "normal"),
    [
        ("inet", "10.0.0.7/32", "10.0.0.7"),
        ("inet", "10.0.0.6/31", "10.0.0.6/31"),
        ("inet", "10.0.0.7,tcp:8080", "10.0.0.7,tcp:8080"),
        ("inet6", "FD00:0:0:0::7/128", "fd00::7"),
        ("inet6", "fd00:0::/64", "fd00::/64"),
        ("inet6", "fd00:0:0::7,udp:53", "fd00::7,udp:53"),
        ("inet6", "nonsense", "nonsense"),
    ],
)
def test_members_have_one_spelling(family: str, written: str, normal: str) -> None:
    assert one(f"create s hash:ip family {family}", f"add s {written}").members == {normal}


@pytest.mark.parametrize(
    "line", ["flush s", "add other 10.0.0.1", "create s", "add s", "create s hash:ip maxelem many", "nonsense"]
)
def test_other_lines_are_refused_by_name(line: str) -> None:
    with pytest.raises(IpsetTextError) as caught:
        parse_sets(["create known hash:ip", "add known 10.0.0.1", line])
    assert line.rsplit(maxsplit=1)[-1] in str(caught.value)


def test_empty_lines_and_remarks_say_nothing() -> None:
    assert parse_sets(["", "# a remark", "create s hash:ip family inet6"]) == {
        "s": Set("s", "hash:ip", IPV6, DEFAULT_MAXELEM, frozenset())
    }


@pytest.mark.parametrize(
    ("count", "maxelem"),
    [(0, 65536), (1, 65536), (65536, 65536), (65537, 131072), (131072, 131072), (150_000, 262_144)],
)
def test_capacity_grows_in_powers_of_two(count: int, maxelem: int) -> None:
    assert maxelem_for(count) == maxelem


def test_more_room_than_needed_is_no_difference_and_less_is_one() -> None:
    def sized(maxelem: int) -> Set:
        return one(f"create s hash:ip maxelem {maxelem}", "add s 10.0.0.1")

    assert not SetChange("s", sized(131072), sized(65536)).is_too_small
    assert SetChange("s", sized(4), sized(65536)).is_too_small


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_a_written_set_reads_back(family: str) -> None:
    made = one(f"create s hash:ip,port family {family}")
    assert one(create_line("s", made, 131072)) == Set("s", "hash:ip,port", made.family, 131072, frozenset())
