# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""NetworkPolicies with types: what is left of a spec once it has been read and judged.

A spec says "this namespace" and never which one it is: policies of any namespace with equal specs share one
:class:`Spec`, and with it all that can be worked out from a spec alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.problem import Problem
from ..model.ruleset import Direction, Family
from .cidr import Network
from .intervals import Intervals, subtract
from .selectors import EVERYTHING, Selector


@dataclass(frozen=True, slots=True)
class PodPeer:
    """Pods by label (rule 7): in the namespaces that ``namespaces`` selects, or, without that, in the policy's own."""

    namespaces: Selector | None
    pods: Selector

    @property
    def broader(self) -> tuple[PodPeer, ...]:
        """Other peers that surely select every pod that this one selects."""
        every_pod = PodPeer(self.namespaces, EVERYTHING)
        every_namespace = PodPeer(EVERYTHING, self.pods)
        return tuple(peer for peer in (every_pod, every_namespace, ALL_PODS) if peer != self)


ALL_PODS = PodPeer(EVERYTHING, EVERYTHING)


@dataclass(frozen=True, slots=True, order=True)
class IPBlock:
    """A CIDR with holes of its own (rules 24, 25)."""

    network: Network
    excepts: tuple[Network, ...] = ()

    @property
    def family(self) -> Family:
        return self.network.family

    @property
    def intervals(self) -> Intervals:
        return subtract(self.network.interval, (each.interval for each in self.excepts))


@dataclass(frozen=True, slots=True)
class NamedPeer:
    """Destination pods that name a port, each with its own number (rules 16, 20); ``peer`` None: any pod."""

    protocol: str
    name: str
    peer: PodPeer | IPBlock | None


Peer = PodPeer | IPBlock | NamedPeer


@dataclass(frozen=True, slots=True)
class Port:
    """One item of ``ports`` (rule 14): a ``name``, or an inclusive interval of ``numbers``, or all of the protocol.

    ``protocol`` is tcp, udp or sctp.
    """

    protocol: str
    name: str = ""
    numbers: Intervals = ()

    @property
    def is_any(self) -> bool:
        return not self.name and not self.numbers


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule that allows something: peers AND ports. None stands for any; neither is ever empty."""

    peers: tuple[PodPeer | IPBlock, ...] | None
    ports: tuple[Port, ...] | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something in a spec that was refused: see :class:`..model.problem.Problem`."""

    field: str
    message: str
    effect: str


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """A spec as it is enforced: ``rules`` has exactly the directions in which it isolates (rule 4).

    No rules in a direction: it allows nothing there. Compared by identity: who reads equal ones makes one of them.
    """

    selector: Selector
    rules: Mapping[Direction, tuple[PolicyRule, ...]]
    refusals: tuple[Refusal, ...] = ()

    def allowing_nothing(self, reason: Refusal) -> Spec:
        return Spec(self.selector, dict.fromkeys(self.rules, ()), (*self.refusals, reason))


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A NetworkPolicy as it is enforced."""

    namespace: str
    name: str
    spec: Spec

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def problems(self) -> list[Problem]:
        return [
            Problem("NetworkPolicy", self.namespace, self.name, each.field, each.message, each.effect)
            for each in self.spec.refusals
        ]
