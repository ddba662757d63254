# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node with many pods, whose dispatch is divided by network: it comes to be in sync, and is healed when torn."""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import INGRESS_CHAIN
from integration.netfilter.node import Node
from integration.netfilter.rulesets import EGRESS, INGRESS, Rules, converge, settle, wanted

SETS = {"clients": ("10.9.0.1", "fd00:9::1")}


def pods(count: int) -> Rules:
    addresses = [
        address for number in range(count) for address in (f"10.0.{number // 16}.{number}", f"fd00::{number:x}")
    ]
    return {(direction, address): [(80, "clients")] for direction in (INGRESS, EGRESS) for address in addresses}


def test_it_comes_to_be_in_sync_as_it_grows_and_shrinks(fresh: Node) -> None:
    for count in (10, 40, 41, 12):
        settle(fresh, wanted(pods(count), SETS))


def test_a_torn_part_is_named_and_healed(fresh: Node) -> None:
    target = wanted(pods(40), SETS)
    settle(fresh, target)
    rules = fresh.save(fresh.default_variant).splitlines()
    to_part = next(line.split() for line in rules if line.startswith(f"-A {INGRESS_CHAIN} -d "))
    network, part = to_part[3], to_part[-1]
    fresh.restore(fresh.default_variant, f"-D {part} 1")
    healed = converge(fresh, target)
    assert healed.changed
    assert healed.drift == [f"IPv4: chain {part} (pods in {network}): 1 rule missing"]
    settle(fresh, target)
