# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A dispatch that is divided sends each address to where an undivided one does, in fewer rules."""

from __future__ import annotations

import ipaddress
from itertools import combinations
from math import isqrt

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import INGRESS_CHAIN, dispatch_part
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.dispatch import (
    LONGEST_LIST,
    chains_by_address,
    divided,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_table
from hypothesis import given
from hypothesis import strategies as st

ADDRESSES = st.one_of(
    st.sets(st.integers(0, (1 << 32) - 1).map(lambda number: str(ipaddress.IPv4Address(number))), max_size=80),
    st.sets(st.integers(0, 300).map(lambda number: str(ipaddress.ip_address("10.244.0.0") + number)), max_size=80),
    st.sets(st.integers(0, 1 << 20).map(lambda number: str(ipaddress.ip_address("fd00::") + number)), max_size=80),
)


@given(ADDRESSES, st.sampled_from((1, 4, LONGEST_LIST)))
def test_each_address_is_in_one_network_or_alone(addresses: set[str], longest: int) -> None:
    parts = divided(addresses, longest)
    networks = {ipaddress.ip_network(network): set(some) for network, some in parts.items()}
    assert not any(one.overlaps(other) for one, other in combinations(networks, 2))
    for address in addresses:
        homes = [network for network in networks if ipaddress.ip_address(address) in network]
        assert len(homes) <= 1
        # One that is in a network's range and not in its part would be met by no rule.
        assert all(address in networks[home] for home in homes)
    assert set().union(*networks.values()) <= addresses
    assert all(len(some) > 1 for some in networks.values())
    assert len(addresses) > longest or not parts


@given(ADDRESSES)
def test_the_order_of_the_addresses_does_not_matter(addresses: set[str]) -> None:
    assert list(divided(sorted(addresses), 4).items()) == list(divided(sorted(addresses, reverse=True), 4).items())


def test_few_addresses_are_one_list() -> None:
    assert divided([f"10.0.0.{number}" for number in range(LONGEST_LIST)], LONGEST_LIST) == {}
    assert divided([f"10.0.0.{number}" for number in range(LONGEST_LIST + 1)], LONGEST_LIST)


@pytest.mark.parametrize("step", [1, 7, 251], ids=["in a row", "spread over a /21", "spread over a subnet"])
def test_a_packet_meets_few_rules(step: int) -> None:
    """250 pods, the most that AKS takes on a node."""
    first = ipaddress.ip_address("10.224.0.0")
    addresses = [str(first + number * step) for number in range(250)]
    parts = divided(addresses, LONGEST_LIST)
    alone = len(addresses) - sum(map(len, parts.values()))
    assert len(parts) + alone <= isqrt(250)
    assert max(map(len, parts.values())) <= 2 * isqrt(250) + 2


def test_the_way_to_a_pods_chain_is_found_through_the_parts() -> None:
    part = dispatch_part(INGRESS_CHAIN, "10.0.0.0/30")
    table = parse_table(
        [
            f":{INGRESS_CHAIN} -",
            f":{part} -",
            f"-A {INGRESS_CHAIN} -d 10.0.0.0/30 -g {part}",
            f"-A {INGRESS_CHAIN} -d 10.0.8.0/24 -j ACCEPT",
            f"-A {INGRESS_CHAIN} ! -s 10.0.0.9/32 -d 10.0.0.9/32 -g NPM-I-A",
            f"-A {part} ! -s 10.0.0.1/32 -d 10.0.0.1/32 -g NPM-I-A",
            f"-A {part} ! -s 10.0.0.2/32 -d 10.0.0.2/32 -g NPM-I-B",
        ]
    )
    assert chains_by_address(INGRESS_CHAIN, table.chains) == {
        "10.0.0.1": "NPM-I-A",
        "10.0.0.2": "NPM-I-B",
        "10.0.0.9": "NPM-I-A",
    }
