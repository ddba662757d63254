# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a filter table and the sets hold of ours, as plain data: the form in which wanted and found are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN, TWIN_SUFFIXES

IPV4 = "ipv4"
IPV6 = "ipv6"
FAMILIES = (IPV4, IPV6)

NFT = "nft"
LEGACY = "legacy"
VARIANTS = (NFT, LEGACY)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a chain.

    ``text`` is its normal form, in which sets have their base names: two rules mean the same if it is equal.
    ``line`` is the rule as it was written (without ``-A CHAIN``), ``sets`` the names of sets in it, as written.
    """

    text: str
    line: str
    sets: tuple[str, ...] = ()
    comment: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The filter table of one family and one variant: our chains, and the FORWARD chain with everybody's rules.

    ``exists`` is False where the kernel has no such table (yet).
    """

    chains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    forward: tuple[Rule, ...] = ()
    exists: bool = False

    @property
    def holds_ours(self) -> bool:
        return bool(self.chains)

    def references(self) -> set[str]:
        """The names of all sets, as written, that a rule of ours matches."""
        return {name for rules in self.chains.values() for rule in rules for name in rule.sets}


@dataclass(frozen=True, slots=True)
class Set:
    """An ipset. ``family`` is ipv4 or ipv6; members are in their normal form."""

    name: str
    kind: str
    family: str
    maxelem: int
    members: frozenset[str]


@dataclass(frozen=True, slots=True)
class Kernel:
    """All that a node's kernel holds of ours: sets by kernel name, tables by (variant, family)."""

    sets: Mapping[str, Set] = field(default_factory=dict)
    tables: Mapping[tuple[str, str], Table] = field(default_factory=dict)

    def table(self, variant: str, family: str) -> Table:
        return self.tables.get((variant, family), Table())


@dataclass(frozen=True, slots=True)
class Target:
    """What one family of a node is to hold: sets by base name, our chains, and the jumps in FORWARD.

    ``hook`` is ``first`` or ``after_kube_services``; empty: no jump at all (everything is to be removed).
    """

    sets: Mapping[str, Set] = field(default_factory=dict)
    chains: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    hook: str = ""

    @property
    def isolates(self) -> bool:
        """Whether a pod is isolated in this family at all."""
        return bool(self.chains.get(INGRESS_CHAIN) or self.chains.get(EGRESS_CHAIN))


def base_name(kernel_name: str) -> str:
    """The name of a set without its twin's suffix."""
    return kernel_name[:-2] if kernel_name.endswith(TWIN_SUFFIXES) else kernel_name
