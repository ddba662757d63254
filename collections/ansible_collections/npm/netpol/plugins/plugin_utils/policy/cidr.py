# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses and CIDRs: reading what the API accepts, and writing what the kernel prints (rules 24 to 28)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address

from ..model.ruleset import Family
from .intervals import Interval

try:
    from netaddr import IPAddress, iprange_to_cidrs
except ImportError as error:  # said by the action that compiles: a plugin must be importable without it
    NETADDR_ERROR: ImportError | None = error
else:
    NETADDR_ERROR = None

_BITS = {Family.IPV4: 32, Family.IPV6: 128}
_VERSIONS = {Family.IPV4: 4, Family.IPV6: 6}
_IPV4 = re.compile(r"([0-9]+)\.([0-9]+)\.([0-9]+)\.([0-9]+)")
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_GROUP = "[1-9a-f][0-9a-f]{0,3}"
# No zero at the beginning, beside another one, or beside the gap; with a gap less than eight groups.
_GROUPS = f"{_GROUP}(?::(?:{_GROUP}|0(?=:[1-9a-f]|\n)))*"
_WHOLE = f"(?=(?:[^:\n]+:){{7}}[^:\n]+\n){_GROUPS}"
_WITH_GAP = f"(?!(?:[^:\n]*:){{7}}){_GROUPS}::{_GROUPS}"
_PLAIN_ADDRESSES = re.compile(rf"(?>(?>(?!0){_OCTET}(?:\.{_OCTET}){{3}}|{_WHOLE}|{_WITH_GAP})\n)*+")
_PREFIX_LENGTH = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    family: Family
    number: int

    def __str__(self) -> str:
        return spell_address(self.family, self.number)


@dataclass(frozen=True, slots=True, order=True)
class Network:
    """A CIDR without host bits; ``str()`` is its ipset spelling (a host has no prefix length)."""

    family: Family
    first: int
    prefix_length: int

    @property
    def interval(self) -> Interval:
        return self.first, self.first + (1 << (_BITS[self.family] - self.prefix_length)) - 1

    def __str__(self) -> str:
        address = spell_address(self.family, self.first)
        return address if self.prefix_length == _BITS[self.family] else f"{address}/{self.prefix_length}"


def parse_address(text: str) -> Address:
    """Read an address; leading zeros in IPv4 octets are decimal, as the API's legacy parser takes them (rule 24).

    Raises :class:`ValueError` on anything else, scoped IPv6 addresses among it.
    """
    match = _IPV4.fullmatch(text)
    if match:
        octets = [int(octet) for octet in match.groups()]
        if max(octets) > 255:  # noqa: PLR2004 - an octet
            raise ValueError(f"{text!r} is not an IPv4 address")
        return Address(Family.IPV4, octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3])
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise ValueError(f"{text!r} is not an IP address") from error
    if address.scope_id is not None:
        raise ValueError(f"{text!r} has a scope")
    return Address(Family.IPV6, int(address))


def parse_cidr(text: str) -> Network:
    """Read a CIDR and mask its host bits (rule 24).

    Raises :class:`ValueError` when the API would not take it: no prefix length, one that is too long, a netmask.
    """
    address_text, slash, length_text = text.partition("/")
    if not slash:
        raise ValueError(f"{text!r} has no prefix length")
    address = parse_address(address_text)
    bits = _BITS[address.family]
    if not _PREFIX_LENGTH.fullmatch(length_text) or int(length_text) > bits:
        raise ValueError(f"{text!r} has no prefix length of 0 to {bits}")
    host_bits = bits - int(length_text)
    return Network(address.family, address.number >> host_bits << host_bits, int(length_text))


def are_plain_addresses(texts: Collection[str]) -> bool:
    """Whether all surely are addresses, each in its one spelling, and not 0.x.x.x. False says nothing: read them then.

    Nearly all addresses of pods are plain, which is seen in a tenth of the time that it takes to read and spell them.
    """
    text = "\n".join([*texts, ""])
    return text.count("\n") == len(texts) and _PLAIN_ADDRESSES.fullmatch(text) is not None


def spell_address(family: Family, number: int) -> str:
    """The spelling of ``ipset save``, which is the C library's: IPv4 within IPv6 is dotted, in both its forms."""
    if family is Family.IPV4:
        return _dotted(number)
    if number >> 32 == 0xFFFF:  # noqa: PLR2004 - ::ffff:0:0/96, IPv4-mapped
        return f"::ffff:{_dotted(number & 0xFFFFFFFF)}"
    if number >> 32 == 0 and number >> 16:
        return f"::{_dotted(number)}"
    return str(IPv6Address(number))


def whole(family: Family) -> Interval:
    """All addresses of a family."""
    return 0, (1 << _BITS[family]) - 1


def networks(family: Family, intervals: Iterable[Interval]) -> Iterator[Network]:
    """The fewest CIDRs that cover exactly these plain intervals, in their order."""
    version = _VERSIONS[family]
    for first, last in intervals:
        for each in iprange_to_cidrs(IPAddress(first, version), IPAddress(last, version)):
            yield Network(family, each.first, each.prefixlen)


def _dotted(number: int) -> str:
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
