# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of ``ipset save`` and ``ipset restore``, read into sets in one spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from .state import IPV4, IPV6, Set

DEFAULT_MAXELEM = 65536

_FAMILIES = {"inet": IPV4, "inet6": IPV6}
# Those with a value that every set of ours has, or may have without meaning another thing.
_PLAIN_OPTIONS = ("family", "maxelem", "hashsize", "bucketsize", "initval")


class IpsetTextError(ValueError):
    """A line that is not ``create`` or ``add``, or that lacks what a set needs."""


def parse_sets(lines: Iterable[str]) -> dict[str, Set]:
    """Sets by name, from the lines of ``ipset save`` or of a rendered restore file.

    Sizes of the hash table and its random seed are no property of a set's meaning and are left out. Any other
    option (``timeout 300``, ``netmask 24``, a member with ``nomatch``) makes the set one of another kind.
    """
    headers: dict[str, tuple[str, str, int]] = {}
    members: dict[str, list[str]] = {}
    excluding: set[str] = set()
    for line in lines:
        match words := line.split():
            # Nearly every line is this one, and there may be a hundred thousand.
            case ["add", name, member] if name in members:
                members[name].append(member)
            case _ if not words or words[0].startswith("#"):
                continue
            case ["create", name, kind, *options]:
                headers[name] = _header(kind, options)
                members[name] = []
            case ["add", name, member, *options] if name in members:
                members[name].append(member)
                if "nomatch" in options:
                    excluding.add(name)
            case _:
                raise IpsetTextError(f"not a line of a set: {line!r}")
    return {
        name: Set(
            name,
            f"{kind} nomatch" if name in excluding else kind,
            family,
            maxelem,
            frozenset(normal_members(family, members[name])),
        )
        for name, (kind, family, maxelem) in headers.items()
    }


def normal_members(family: str, members: Iterable[str]) -> Iterable[str]:
    """Members as ``ipset save`` prints them: a host without its prefix length, IPv6 compressed."""
    if family == IPV4:
        return (member.removesuffix("/32") for member in members)
    return (_normal_ipv6(member) for member in members)


def maxelem_for(count: int) -> int:
    """The capacity that a set of ``count`` members is given: a power of two, at least ipset's own default."""
    return max(DEFAULT_MAXELEM, 1 << (count - 1).bit_length()) if count else DEFAULT_MAXELEM


def create_line(name: str, like: Set, maxelem: int) -> str:
    family = "inet" if like.family == IPV4 else "inet6"
    return f"create {name} {like.kind} family {family} maxelem {maxelem}"


def _header(kind: str, words: list[str]) -> tuple[str, str, int]:
    """Kind, family and maxelem of a ``create`` line; options that change what a set means are part of its kind."""
    options: dict[str, str] = {}
    kinds = [kind]
    position = 0
    while position < len(words):
        if words[position] in _PLAIN_OPTIONS:
            options[words[position]] = words[position + 1] if position + 1 < len(words) else ""
            position += 2
        else:
            kinds.append(words[position])
            position += 1
    try:
        maxelem = int(options.get("maxelem", DEFAULT_MAXELEM))
    except ValueError as error:
        raise IpsetTextError(f"maxelem {options['maxelem']!r} of a set is not a number") from error
    return " ".join(kinds), _FAMILIES.get(options.get("family", "inet"), ""), maxelem


def _normal_ipv6(member: str) -> str:
    address, comma, port = member.partition(",")
    address, slash, prefix = address.partition("/")
    try:
        address = ipaddress.IPv6Address(address).compressed
    except ValueError:
        return member
    return f"{address}{'' if prefix == '128' else slash + prefix}{comma}{port}"
