# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The oracle's reading of a policy's items: selectors, blocks and ports. Numbers are rules of the semantics.

What the API server rejects, or what only a newer API may know, raises :class:`InvalidItemError`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# ICMP, and IP (with a protocol's number as port), are what NetworkPolicy says nothing of (22, 23).
PROTOCOLS = ("TCP", "UDP", "SCTP")
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?")
_KEY_PREFIX = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_CIDR = re.compile(r"(?P<address>[0-9A-Fa-f:.]+)/(?P<length>[0-9]{1,3})")
_SPARE_ZEROS = re.compile(r"\b0+(?=\d)")


class InvalidItemError(ValueError):
    """An item that the API server rejects (39): it matches nothing."""


def fields(item: Any, known: Collection[str]) -> Mapping[str, Any]:
    """A field of a newer API may narrow what the others say: then the item means less than we can read."""
    if not isinstance(item, Mapping) or not item.keys() <= set(known):
        raise InvalidItemError(f"{item!r}: not an object of {sorted(known)}")
    return item


def listed(value: Any) -> list[Any]:
    """(5, 6): absent, null and empty are the same."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidItemError(f"{value!r} is no list")
    return value


# Selectors


def selector_matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """(10, 11): all of matchLabels and all of matchExpressions; nothing at all matches everything."""
    given = fields({} if selector is None else selector, {"matchLabels", "matchExpressions"})
    wanted = given.get("matchLabels")
    if not isinstance(wanted, Mapping | None):
        raise InvalidItemError(f"matchLabels {wanted!r}")
    # Every one, also behind one that does not match: an invalid one anywhere makes the selector invalid.
    by_labels = [labels.get(_key(key)) == _value(value) for key, value in (wanted or {}).items()]
    by_expressions = [_expression_matches(each, labels) for each in listed(given.get("matchExpressions"))]
    return all(by_labels) and all(by_expressions)


def _expression_matches(item: Any, labels: Mapping[str, str]) -> bool:
    expression = fields(item, {"key", "operator", "values"})
    key, operator = _key(expression.get("key")), expression.get("operator")
    values = [_value(each) for each in listed(expression.get("values"))]
    if bool(values) != (operator in ("In", "NotIn")):
        raise InvalidItemError(f"matchExpressions item {expression}")
    match operator:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise InvalidItemError(f"operator {operator!r}")


def _key(key: Any) -> str:
    prefix, slash, name = key.rpartition("/") if isinstance(key, str) else ("", "", "")
    if not _LABEL.fullmatch(name) or (slash and not _KEY_PREFIX.fullmatch(prefix)):
        raise InvalidItemError(f"label key {key!r}")
    return f"{prefix}{slash}{name}"


def _value(value: Any) -> str:
    if not isinstance(value, str) or (value and not _LABEL.fullmatch(value)):
        raise InvalidItemError(f"label value {value!r}")
    return value


# Blocks


def block_matches(item: Any, address: Address) -> bool:
    """(24): in the block, and in none of its excepts."""
    block = fields(item, {"cidr", "except"})
    cidr = _network(block.get("cidr"))
    holes = [_network(each) for each in listed(block.get("except"))]
    if any(hole.version != cidr.version or hole == cidr or not _is_within(hole, cidr) for hole in holes):
        raise InvalidItemError("an except that is no strict subset of its cidr")
    return address in cidr and not any(address in hole for hole in holes)


def _is_within(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _network(text: Any) -> Network:
    if not isinstance(text, str):
        raise InvalidItemError(f"{text!r} is no CIDR")
    return _parsed_network(text)


@cache
def _parsed_network(text: str) -> Network:
    """(24): host bits are masked, leading zeros of old objects mean nothing."""
    found = _CIDR.fullmatch(text)
    if not found:
        raise InvalidItemError(f"{text!r} is no CIDR")
    address = found["address"]
    try:
        return ip_network(
            f"{address if ':' in address else _SPARE_ZEROS.sub('', address)}/{int(found['length'])}", strict=False
        )
    except ValueError as error:
        raise InvalidItemError(f"{text!r} is no CIDR") from error


# Ports


def port(item: Any) -> tuple[str, int | str | None, int | None]:
    """Protocol, port or its name, endPort."""
    given = fields(item, {"protocol", "port", "endPort"})
    protocol, number, last = given.get("protocol"), given.get("port"), given.get("endPort")
    protocol = "TCP" if protocol is None else protocol
    if protocol not in PROTOCOLS:
        raise InvalidItemError(f"protocol {protocol!r}")
    if isinstance(number, str):
        if not _PORT_NAME.fullmatch(number):
            raise InvalidItemError(f"port name {number!r}")
    elif number is not None and not _is_port(number):
        raise InvalidItemError(f"port {number!r}")
    if last is not None and not (_is_port(number) and _is_port(last) and number <= last):
        raise InvalidItemError(f"endPort {last!r} of port {number!r}")
    return protocol, number, last


def _is_port(number: Any) -> bool:
    # True is an int to Python, and not to the API.
    return type(number) is int and 1 <= number <= 65535
