# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which sets must change in the same instant because both ends of a connection are on this node.

A connection between two local pods passes an egress and an ingress verdict here. If one of them opens and
the other closes in the same run, a connection that was and stays denied could slip through between the two.
Between nodes nothing can be done about that: each converges on its own.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN, is_of_dispatch
from .difference import Difference, SetChange
from .dispatch import chains_by_address
from .state import base_name

_OTHER = {EGRESS_CHAIN: INGRESS_CHAIN, INGRESS_CHAIN: EGRESS_CHAIN}
_GROUP_PREFIX = {INGRESS_CHAIN: f"{INGRESS_CHAIN[:5]}-", EGRESS_CHAIN: f"{EGRESS_CHAIN[:5]}-"}


def sets_in_step(change: Difference, affected: frozenset[str]) -> frozenset[str]:
    """The sets (base names) that have to be switched together with the rules.

    ``affected`` are the chains that change anyway. A set of an egress rule counts if a member that comes or
    goes is a pod isolated for ingress on this node, and the other way round.
    """
    moving = {EGRESS_CHAIN: _moving(change, EGRESS_CHAIN), INGRESS_CHAIN: _moving(change, INGRESS_CHAIN)}
    rules_change = {
        direction: any(
            is_of_dispatch(name, direction) or name.startswith(_GROUP_PREFIX[direction]) for name in affected
        )
        for direction in moving
    }
    together: set[str] = set()
    for direction, other in _OTHER.items():
        if moving[other] or rules_change[other]:
            together |= moving[direction]
    return frozenset(together)


def _sets_of(change: Difference, prefix: str) -> set[str]:
    return {
        base_name(name)
        for chains in (change.table.chains, change.target.chains)
        for chain, rules in chains.items()
        if chain.startswith(prefix)
        for rule in rules
        for name in rule.sets
    }


def _isolated(change: Difference, chain: str) -> Mapping[str, str]:
    return chains_by_address(chain, change.table.chains) | chains_by_address(chain, change.target.chains)


def _moving(change: Difference, direction: str) -> frozenset[str]:
    """The sets of a direction's rules that gain or lose a pod which the other direction isolates here."""
    sets = _sets_of(change, _GROUP_PREFIX[direction])
    isolated = _isolated(change, _OTHER[direction])
    numbers = sorted(int(ipaddress.ip_address(address)) for address in isolated)
    return frozenset(
        each.base
        for each in change.sets
        if each.wanted and each.base in sets and _covers_any(each, isolated.keys(), numbers)
    )


def _covers_any(each: SetChange, addresses: AbstractSet[str], numbers: Sequence[int]) -> bool:
    """Whether a member that comes or goes is, or contains, one of these; ``numbers`` are the same, sorted."""
    hosts = {member.partition(",")[0] for member in each.added | each.removed}
    if not addresses.isdisjoint(hosts):
        return True
    for network in (ipaddress.ip_network(host) for host in hosts if "/" in host):
        following = bisect_left(numbers, int(network.network_address))
        if following < len(numbers) and numbers[following] <= int(network.broadcast_address):
            return True
    return False
