# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ruleset: what one node must enforce, as plain data.

It says what is allowed, not how iptables spells it: the templates know the spelling, and an explanation
of a verdict reads the same data, so that it cannot disagree with what is enforced.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    INGRESS = "ingress"
    EGRESS = "egress"


class Family(StrEnum):
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Verdict(StrEnum):
    """What a rule, or the end of a chain, does with a new connection in one direction."""

    ALLOW = "allow"
    DENY = "deny"


class SetKind(StrEnum):
    """The ipset type; it also says what a member looks like and what it is matched against.

    ADDRESSES: ``10.0.0.7``, NETWORKS: ``10.0.0.0/24`` (a host without its prefix length),
    PORTS: ``10.0.0.7,tcp:8080`` (a named port of a destination pod, rule 16).
    Members are in the spelling of ``ipset save`` and never include ``0.0.0.0/0`` or ``::/0`` (rule 28).
    """

    ADDRESSES = "hash:ip"
    NETWORKS = "hash:net"
    PORTS = "hash:ip,port"


@dataclass(frozen=True, slots=True)
class PeerSet:
    """A set of one family. The name comes from what defines the set, never from its members."""

    name: str
    kind: SetKind
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a group's chain.

    ``protocol`` is tcp, udp, sctp or empty for any. ``ports`` are inclusive ranges of destination ports
    (``((80, 80), (8000, 8100))``), sorted and disjoint; empty means any port. ``peers`` names the set that
    the peer must be in (the source on ingress, the destination on egress; a PORTS set also matches protocol
    and destination port); empty means any peer. ``policies`` are the ``namespace/name`` it comes from.
    """

    verdict: Verdict
    protocol: str
    ports: tuple[tuple[int, int], ...]
    peers: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """What one group of pods allows in one direction: the first rule that matches decides, else ``otherwise``.

    ``policies`` are those that isolate the group's pods in this direction (``namespace/name``, sorted).
    """

    name: str
    direction: Direction
    rules: tuple[Rule, ...]
    policies: tuple[str, ...]
    otherwise: Verdict = Verdict.DENY


@dataclass(frozen=True, slots=True)
class Target:
    """An isolated pod of the node: traffic to (ingress) or from (egress) its address goes to its group's chain."""

    address: str
    chain: str
    pod: str


@dataclass(frozen=True, slots=True)
class FamilyRuleset:
    """One address family: ``ingress`` and ``egress`` are sorted by address, ``sets`` and ``chains`` by name."""

    sets: tuple[PeerSet, ...] = ()
    chains: tuple[Chain, ...] = ()
    ingress: tuple[Target, ...] = ()
    egress: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that one node enforces."""

    node: str
    ipv4: FamilyRuleset = FamilyRuleset()
    ipv6: FamilyRuleset = FamilyRuleset()

    def family(self, family: Family) -> FamilyRuleset:
        return self.ipv4 if family is Family.IPV4 else self.ipv6
