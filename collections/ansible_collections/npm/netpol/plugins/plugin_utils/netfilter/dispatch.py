# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The dispatch: from a packet's address to the chain of its pod's group.

The kernel takes rules one by one, and every new connection of the node goes through the dispatch of both directions. So
the isolated pods of a node are one list only while they are few. More are divided by network, about as many networks as
pods in each: a packet meets twice the square root of their number.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from math import isqrt

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN, dispatch_part, is_of_dispatch
from .state import Rule

LONGEST_LIST = 16

_ADDRESS_OPTION = {INGRESS_CHAIN: "-d", EGRESS_CHAIN: "-s"}


def divided(addresses: Iterable[str], longest: int) -> dict[str, tuple[str, ...]]:
    """Networks (CIDR, disjoint) and which of the addresses are in each. One that would be alone in its is left out.

    The addresses are different, and of one family. Nothing at all for at most ``longest`` of them.
    """
    by_number = {int(ipaddress.ip_address(each)): each for each in addresses}
    if len(by_number) <= longest:
        return {}
    numbers = sorted(by_number)
    parts = [(0, len(numbers))]
    for _more in range(isqrt(len(numbers)) - 1):
        first, end = max(parts, key=lambda part: (part[1] - part[0], -part[0]))
        parts.remove((first, end))
        middle = _middle(numbers, first, end)
        parts += [(first, middle), (middle, end)]
    return {
        _network(by_number, numbers[first], numbers[end - 1]): tuple(by_number[each] for each in numbers[first:end])
        for first, end in sorted(parts)
        if end - first > 1
    }


def chains_by_address(base: str, chains: Mapping[str, Iterable[Rule]]) -> dict[str, str]:
    """Address of each isolated pod to the chain of its group, from our chains; ``base`` says the direction.

    What is for a network leads to a part, or is somebody else's.
    """
    pattern = re.compile(rf"(?<!! ){_ADDRESS_OPTION[base]} ([^\s/]+)(?:/32|/128)? ")
    found: dict[str, str] = {}
    for name in sorted(chains):
        for rule in chains[name] if is_of_dispatch(name, base) else ():
            if match := pattern.search(rule.text):
                found.setdefault(match[1], rule.target)
    return found


def networks_by_part(base: str, chains: Mapping[str, Iterable[Rule]]) -> dict[str, str]:
    """Part of the dispatch to the network (CIDR) whose pods it is for, from our chains; ``base`` says the direction.

    A rule that leads to a part from another network is not ours.
    """
    pattern = re.compile(rf"(?<!! ){_ADDRESS_OPTION[base]} (\S+) ")
    found = ((match[1], rule.target) for rule in chains.get(base, ()) if (match := pattern.search(rule.text)))
    return {part: network for network, part in found if part == dispatch_part(base, network)}


def _middle(numbers: Sequence[int], first: int, end: int) -> int:
    """Where the first bit changes in which these numbers differ."""
    bit = (numbers[first] ^ numbers[end - 1]).bit_length() - 1
    return next(at for at in range(first, end) if numbers[at] >> bit & 1)


def _network(addresses: Mapping[int, str], low: int, high: int) -> str:
    """The smallest one with both of these addresses."""
    address = ipaddress.ip_address(addresses[low])
    return str(ipaddress.ip_network((address, address.max_prefixlen - (low ^ high).bit_length()), strict=False))
