# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of ``ipset save`` and ``ipset restore``, read into sets in one spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from .state import IPV4, IPV6, Set

DEFAULT_MAXELEM = 65536


class IpsetTextError(ValueError):
    """A line that is not ``create`` or ``add``, or that lacks what a set needs."""


def parse_sets(lines: Iterable[str]) -> dict[str, Set]:
    """Sets by name, from the lines of ``ipset save`` or of a rendered restore file.

    Sizes of the hash table and its random seed are no property of a set's meaning and are left out.
    """
    headers: dict[str, tuple[str, str, int]] = {}
    members: dict[str, list[str]] = {}
    for line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        match words:
            case ["create", name, kind, *options]:
                headers[name] = (kind, *_family_and_maxelem(options))
                members[name] = []
            case ["add", name, member, *_] if name in members:
                members[name].append(member)
            case _:
                raise IpsetTextError(f"not a line of a set: {line!r}")
    return {
        name: Set(name, kind, family, maxelem, frozenset(normal_members(family, members[name])))
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


def _family_and_maxelem(words: list[str]) -> tuple[str, int]:
    options = dict(zip(words[::2], words[1::2], strict=False))
    families = {"inet": IPV4, "inet6": IPV6}
    return families.get(options.get("family", "inet"), ""), int(options.get("maxelem", DEFAULT_MAXELEM))


def _normal_ipv6(member: str) -> str:
    address, comma, port = member.partition(",")
    address, slash, prefix = address.partition("/")
    try:
        address = ipaddress.IPv6Address(address).compressed
    except ValueError:
        return member
    return f"{address}{'' if prefix == '128' else slash + prefix}{comma}{port}"
