# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections as a case tells of them: ``x/a x/b -> y/a at 80/TCP 81/UDP over ipv4``, every source to every target at
every port. A port may also be

- ``ICMP``: an echo request;
- ``253/IP``: a datagram of that IP protocol, which nobody knows;
- ``ND``: a neighbour solicitation (IPv6 only);
- ``80/UDP/fragments``, ``ICMP/fragments``: larger than a packet may be;
- ``80/TCP/bulk``: a download of segments as large as the way takes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from lab.spec import Family

FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
_NUMBERED = ("TCP", "UDP", "SCTP", "IP")
_HOW = {"": (*_NUMBERED, "ICMP", "ND"), "fragments": ("UDP", "ICMP"), "bulk": ("TCP",)}

_LINE = re.compile(r"(?P<sources>.+?) -> (?P<targets>.+?) at (?P<ports>.+?)(?: over (?P<family>ipv[46]))?")
_PORT = re.compile(r"(?:(?P<number>\d+)/)?(?P<protocol>[A-Z]+)(?:/(?P<how>[a-z]+))?")
_SOURCE = re.compile(r"\S+ as \S+|\S+")
_TARGET = re.compile(r"(?:service|balancer) \S+|nodeport \S+ via \S+|\S+")


class FlowError(ValueError):
    """A line that tells of no connection."""


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """A connection that a case tells about.

    ``source`` may be ``PLACE as NODE``: a forged source address, that node's. ``target`` may be a Service
    (``conformance.kube_proxy``), whose own ``port`` is then meant. ``protocol`` ICMP and ND have port 0.
    """

    source: str
    target: str
    port: int
    protocol: str
    family: Family
    how: str = ""

    @property
    def sender(self) -> str:
        """The place that it comes from, whatever its address says."""
        return self.source.partition(" as ")[0]

    @property
    def claims(self) -> str:
        """The node whose address it has; empty: its sender's own."""
        return self.source.partition(" as ")[2]

    @property
    def is_direct(self) -> bool:
        """Whether it comes from, and asks its target by, the address that either has."""
        return " " not in f"{self.source}{self.target}"

    @property
    def at(self) -> str:
        return "/".join(filter(None, [str(self.port or ""), self.protocol, self.how]))

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} at {self.at} over {self.family}"


@dataclass(frozen=True, slots=True)
class Matrix:
    """All connections that a step may tell of with ``*`` and ``rest``: each source to each target at each port."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: dict[str, list[str]], pods: Iterable[str]) -> Matrix:
        """``data`` names places or patterns of pods (``x/*``); ``pods`` are those that can send and answer."""
        known = list(pods)
        return cls(tuple(_places(data["sources"], known)), tuple(_places(data["targets"], known)), tuple(data["ports"]))

    def flows(self) -> tuple[Flow, ...]:
        return read("* -> * at *", self)


# Many cases have lines in common.
@cache
def read(line: str, matrix: Matrix) -> tuple[Flow, ...]:
    """The connections of a line. Raises :class:`FlowError`."""
    found = _LINE.fullmatch(line)
    if not found:
        raise FlowError(f"{line!r} is not SOURCES -> TARGETS at PORTS")
    sources = list(_places(_SOURCE.findall(found["sources"]), matrix.sources))
    targets = list(_places(_TARGET.findall(found["targets"]), matrix.targets))
    ports = matrix.ports if found["ports"] == "*" else found["ports"].split()
    families = [each for each in FAMILIES if found["family"] in (None, each)]
    flows = list(_every(sources, targets, ports, families))
    if not flows:
        raise FlowError(f"{line!r} means no connection at all")
    return tuple(_between_two(flows) if "*" in f"{found['sources']}{found['targets']}" else flows)


def _every(
    sources: Iterable[str], targets: Iterable[str], ports: Iterable[str], families: Iterable[Family]
) -> Iterator[Flow]:
    for source, target, at, family in itertools.product(sources, targets, ports, families):
        found = _PORT.fullmatch(at)
        number, protocol, how = found.groups(default="") if found else ("", "", "")
        if protocol not in _HOW.get(how, ()) or bool(number) != (protocol in _NUMBERED):
            raise FlowError(f"{at} is no port")
        if " as " in source and protocol != "UDP":
            raise FlowError(f"{source}: only UDP needs no answer, which a forger does not get")
        if protocol != "ND" or family == "ipv6":
            yield Flow(source, target, int(number or 0), protocol, family, how)


def _between_two(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Without those of a pod to itself, which a pattern does not mean: such packets never leave it (rule 32)."""
    return (flow for flow in flows if flow.source != flow.target)


def _places(patterns: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        if "*" in pattern:
            yield from (each for each in known if fnmatchcase(each, pattern))
        else:
            yield pattern
