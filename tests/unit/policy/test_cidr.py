# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interval and CIDR algebra, and the kernel's spelling, against the standard library."""

from __future__ import annotations

import socket
from ipaddress import collapse_addresses, ip_network
from itertools import pairwise

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Family
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.cidr import (
    are_plain_addresses,
    networks,
    parse_address,
    parse_cidr,
    spell_address,
    whole,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.intervals import contains, covers, subtract, union
from hypothesis import example, given
from hypothesis import strategies as st

small_intervals = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))
sparse_ipv6 = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xABC]), min_size=8, max_size=8).map(
    lambda words: sum(word << 16 * place for place, word in enumerate(words))
)


def numbers(intervals: object) -> set[int]:
    return {number for first, last in intervals for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(st.lists(small_intervals))
def test_union_contains_what_any_contains_and_is_plain(intervals: list[tuple[int, int]]) -> None:
    plain = union(intervals)
    assert numbers(plain) == numbers(intervals)
    assert all(earlier[1] + 1 < later[0] for earlier, later in pairwise(plain))
    assert {number for number in range(-1, 42) if contains(plain, number)} == numbers(intervals)


@given(small_intervals, st.lists(small_intervals))
def test_subtract_leaves_what_no_hole_contains(interval: tuple[int, int], holes: list[tuple[int, int]]) -> None:
    left = subtract(interval, holes)
    assert numbers(left) == numbers([interval]) - numbers(holes)
    assert left == union(left)


@given(st.lists(small_intervals), st.lists(small_intervals))
def test_covers_is_inclusion(outer: list[tuple[int, int]], inner: list[tuple[int, int]]) -> None:
    assert covers(union(outer), inner) == (numbers(inner) <= numbers(outer))


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**33) | sparse_ipv6)
@example(0xFFFF00000000)
@example(0x10000)
def test_addresses_are_spelled_as_the_c_library_does(number: int) -> None:
    spelled = spell_address(Family.IPV6, number)
    assert spelled == socket.inet_ntop(socket.AF_INET6, number.to_bytes(16, "big"))
    assert parse_address(spelled).number == number
    spelled = spell_address(Family.IPV4, number % 2**32)
    assert spelled == socket.inet_ntop(socket.AF_INET, (number % 2**32).to_bytes(4, "big"))
    assert parse_address(spelled).number == number % 2**32


words = st.sampled_from(
    ["0", "1", "9", "10", "255", "256", "01", "00a", "abc", "ffff", "fd00", "FD00", "10000", "", "%eth0"]
)


@given(
    st.lists(words, min_size=3, max_size=9).map(":".join)
    | st.lists(words, min_size=3, max_size=5).map(".".join)
    | sparse_ipv6.map(lambda number: spell_address(Family.IPV6, number))
    | st.text(max_size=20)
)
@example("0.0.0.0")  # noqa: S104 - nothing binds to it
@example("::")
@example("10.0.0.1\n")
@example("1:2:3:4:5:6:7::")
@example("1:2:3:4:5:6::7")
@example("1:2:3:4:5::6:7")
@example("1:0:3:4:5:6:7:0")
@example("1:0:0:4:5:6:7:8")
@example("1:0::4")
@example("1::0:4")
@example("1::4:0:0")
@example("1:0:0:4::5")
@example("1:2:3:4:5:6:7:8:9")
def test_what_is_called_plain_is_an_address_in_its_one_spelling(text: str) -> None:
    if are_plain_addresses([text]):
        read = parse_address(text)
        assert read.number
        assert str(read) == text


@pytest.mark.parametrize(
    "text", ["10.244.1.7", "192.0.2.255", "fd00:10::2:4a3f", "2001:db8::1", "fd12:3:4:5:6:7:8:9", "fd00:10::1:0"]
)
def test_usual_addresses_are_plain(text: str) -> None:
    assert are_plain_addresses([text])


@given(st.sampled_from(["10.1.2.3/{}", "255.255.255.255/{}"]), st.integers(0, 32))
def test_cidrs_are_masked(text: str, length: int) -> None:
    read = parse_cidr(text.format(length))
    expected = ip_network(text.format(length), strict=False)
    assert (read.first, read.interval[1]) == (int(expected[0]), int(expected[-1]))


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=6))
def test_networks_are_the_fewest_that_cover_exactly(given_networks: list[tuple[int, int]]) -> None:
    expected = [ip_network((first, length), strict=False) for first, length in given_networks]
    intervals = union((int(each[0]), int(each[-1])) for each in expected)
    found = [str(each) for each in networks(Family.IPV4, intervals)]
    assert found == [str(each).removesuffix("/32") for each in collapse_addresses(expected)]


@pytest.mark.parametrize(("family", "text"), [(Family.IPV4, "0.0.0.0/0"), (Family.IPV6, "::/0")])
def test_the_whole_family_is_one_network(family: Family, text: str) -> None:
    assert [str(each) for each in networks(family, [whole(family)])] == [text]
    assert parse_cidr(text).interval == whole(family)
