# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods that nothing in the policies can tell apart: whatever is asked of one of them is asked once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from ..model.ruleset import Family
from ..model.snapshot import NamedPort
from .pods import LivePod

# The (protocol, name) of a port.
PortName = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class PodClass:
    """Pods of one namespace with the same labels and named ports, as far as anything mentions them.

    ``labels`` are those that are mentioned. Compared by identity: no two are alike.
    """

    namespace: str
    labels: Mapping[str, str]
    ports: frozenset[tuple[PortName, int]]
    unreadable: bool
    pods: list[LivePod] = field(default_factory=list)

    def port_numbers(self, port: PortName) -> tuple[int, ...]:
        """All numbers that the pods' containers give this name (rule 18); none when it doesn't resolve (rule 17)."""
        return tuple(sorted(number for name, number in self.ports if name == port))

    @property
    def reachable(self) -> int:
        """How many of them have an address."""
        return len([pod for pod in self.pods if pod.own])

    def addresses(self, family: Family) -> list[str]:
        colon = family is Family.IPV6
        return [address for pod in self.pods for address in pod.own if (":" in address) is colon]


def classify(pods: Iterable[LivePod], labels: AbstractSet[str], ports: AbstractSet[PortName]) -> list[PodClass]:
    """The classes of these pods. ``labels`` and ``ports`` are those that policies or Services mention."""
    classes: dict[object, PodClass] = {}
    ports_of: dict[tuple[NamedPort, ...], frozenset[tuple[PortName, int]]] = {}
    for each in pods:
        pod = each.pod
        own_labels = frozenset([item for item in pod.labels.items() if item[0] in labels])
        own_ports = ports_of.get(pod.ports)
        if own_ports is None:
            own_ports = ports_of[pod.ports] = frozenset(
                [(name, port.port) for port in pod.ports if (name := (port.protocol.lower(), port.name)) in ports]
            )
        key = (pod.namespace, own_labels, own_ports, pod.unreadable)
        known = classes.get(key)
        if known is None:
            known = classes[key] = PodClass(pod.namespace, dict(own_labels), own_ports, pod.unreadable)
        known.pods.append(each)
    return list(classes.values())
