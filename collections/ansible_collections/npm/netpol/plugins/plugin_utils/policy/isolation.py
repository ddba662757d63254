# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policies isolate a pod (rule 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from ..model.ruleset import Direction
from .matching import SelectorIndex
from .pod_classes import PodClass, PortName
from .policies import Policy, PolicyRule, Spec


@dataclass(frozen=True, eq=False)
class SpecGroup:
    """Specs that isolate pods together in one direction, in whatever namespaces: all that decides what is allowed.

    Compared by identity: Isolation makes one of the same specs.
    """

    direction: Direction
    specs: tuple[Spec, ...]

    @property
    def rules(self) -> list[tuple[Spec, PolicyRule]]:
        return [(spec, rule) for spec in self.specs for rule in spec.rules[self.direction]]

    @cached_property
    def named_ports(self) -> tuple[PortName, ...]:
        """The ports that the rules mention by name, sorted."""
        return tuple(
            sorted({(port.protocol, port.name) for _spec, rule in self.rules for port in rule.ports or () if port.name})
        )


@dataclass(frozen=True, slots=True, eq=False)
class Isolators:
    """The policies that isolate some pods in one direction; none for pods that nobody can tell which policies select.

    Compared by identity: see Isolation.
    """

    namespace: str
    policies: tuple[Policy, ...]
    group: SpecGroup

    @property
    def direction(self) -> Direction:
        return self.group.direction

    @property
    def allow_everything(self) -> bool:
        return any(rule.peers is None and rule.ports is None for _spec, rule in self.group.rules)


class Isolation:
    """The policies of a cluster by the pods that they isolate: the same object for pods that the same ones isolate."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies: defaultdict[str, list[Policy]] = defaultdict(list)
        for policy in policies:
            self._policies[policy.namespace].append(policy)
        self._indexes: dict[str, SelectorIndex] = {}
        # Namespaces whose policies have the same specs share an index.
        self._indexes_of_specs: dict[tuple[Spec, ...], SelectorIndex] = {}
        self._groups: dict[tuple[Direction, tuple[Spec, ...]], SpecGroup] = {}
        self._unreadable = {direction: self._isolators(direction, "", ()) for direction in Direction}
        self._known: dict[tuple[str, tuple[int, ...]], Mapping[Direction, Isolators]] = {}

    def of(self, pods: PodClass) -> Mapping[Direction, Isolators]:
        """What isolates these pods, for each direction in which they are isolated."""
        if pods.unreadable:
            return self._unreadable
        if pods.namespace not in self._policies:
            return {}
        numbers = self._index(pods.namespace).matching(pods.labels)
        key = (pods.namespace, numbers)
        if key not in self._known:
            selecting = [self._policies[pods.namespace][number] for number in numbers]
            self._known[key] = {
                direction: self._isolators(direction, pods.namespace, isolating)
                for direction in Direction
                if (isolating := tuple(policy for policy in selecting if direction in policy.spec.rules))
            }
        return self._known[key]

    def _isolators(self, direction: Direction, namespace: str, policies: tuple[Policy, ...]) -> Isolators:
        key = (direction, tuple(dict.fromkeys([policy.spec for policy in policies])))
        if key not in self._groups:
            self._groups[key] = SpecGroup(*key)
        return Isolators(namespace, policies, self._groups[key])

    def _index(self, namespace: str) -> SelectorIndex:
        if namespace not in self._indexes:
            specs = tuple(policy.spec for policy in self._policies[namespace])
            if specs not in self._indexes_of_specs:
                self._indexes_of_specs[specs] = SelectorIndex([spec.selector for spec in specs])
            self._indexes[namespace] = self._indexes_of_specs[specs]
        return self._indexes[namespace]
