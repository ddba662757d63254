# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which sets must change in the same instant because both ends of a connection are on this node.

A connection between two local pods passes an egress and an ingress verdict here. If one of them opens and
the other closes in the same run, a connection that was and stays denied could slip through between the two.
Between nodes nothing can be done about that: each converges on its own.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN
from .difference import Difference, SetChange
from .state import Rule, base_name

_ADDRESS_OPTION = {INGRESS_CHAIN: "-d", EGRESS_CHAIN: "-s"}
_GROUP_PREFIX = {INGRESS_CHAIN: f"{INGRESS_CHAIN[:5]}-", EGRESS_CHAIN: f"{EGRESS_CHAIN[:5]}-"}


def dispatch(chain: str, rules: Iterable[Rule]) -> dict[str, str]:
    """Address of each isolated pod to the chain of its group, from the rules of NPM-INGRESS or NPM-EGRESS."""
    pattern = re.compile(rf"(?<!! ){_ADDRESS_OPTION[chain]} (\S+?)(?:/32|/128)? ")
    found: dict[str, str] = {}
    for rule in rules:
        if match := pattern.search(rule.text):
            found.setdefault(match[1], rule.target)
    return found


def sets_in_step(change: Difference, affected: frozenset[str]) -> frozenset[str]:
    """The sets (base names) that have to be switched together with the rules.

    ``affected`` are the chains that change anyway. A set of an egress rule counts if a member that comes or
    goes is a pod isolated for ingress on this node, and the other way round.
    """
    moving = {
        direction: frozenset(
            each.base
            for each in change.sets
            if each.wanted
            and each.base in _sets_of(change, _GROUP_PREFIX[direction])
            and _covers_any(each, _isolated(change, other))
        )
        for direction, other in ((EGRESS_CHAIN, INGRESS_CHAIN), (INGRESS_CHAIN, EGRESS_CHAIN))
    }
    rules_change = {
        direction: any(name == direction or name.startswith(_GROUP_PREFIX[direction]) for name in affected)
        for direction in moving
    }
    together: set[str] = set()
    for direction, other in ((EGRESS_CHAIN, INGRESS_CHAIN), (INGRESS_CHAIN, EGRESS_CHAIN)):
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
    before = dispatch(chain, change.table.chains.get(chain, ()))
    return before | dispatch(chain, change.target.chains.get(chain, ()))


def _covers_any(each: SetChange, addresses: Mapping[str, str]) -> bool:
    moved = each.added | each.removed
    hosts = {member.partition(",")[0] for member in moved}
    if not addresses.keys().isdisjoint(hosts):
        return True
    networks = [ipaddress.ip_network(member) for member in hosts if "/" in member]
    return bool(networks) and any(
        ipaddress.ip_address(address) in network for address in addresses for network in networks
    )
