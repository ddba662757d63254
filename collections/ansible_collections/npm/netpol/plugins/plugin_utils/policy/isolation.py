# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which policies isolate a pod (rule 1)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..model.ruleset import Direction
from .matching import SelectorIndex
from .pods import LivePod
from .policies import Policy, PolicyRule


@dataclass(frozen=True, eq=False)
class Isolators:
    """The policies that isolate some pods in one direction; none for pods that nobody can tell which policies select.

    Compared by identity: see Isolation.
    """

    direction: Direction
    policies: tuple[Policy, ...]

    @property
    def rules(self) -> list[tuple[Policy, PolicyRule]]:
        return [(policy, rule) for policy in self.policies for rule in policy.rules[self.direction]]

    @property
    def allow_everything(self) -> bool:
        return any(rule.peers is None and rule.ports is None for _policy, rule in self.rules)

    @cached_property
    def named_ports(self) -> tuple[tuple[str, str], ...]:
        """The (protocol, name) pairs that the rules mention, sorted."""
        return tuple(
            sorted({(port.protocol, port.name) for _key, rule in self.rules for port in rule.ports or () if port.name})
        )


class Isolation:
    """The policies of a cluster by the pods that they isolate: the same object for pods that the same ones isolate."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies: defaultdict[str, list[Policy]] = defaultdict(list)
        for policy in policies:
            self._policies[policy.namespace].append(policy)
        self._indexes: dict[str, SelectorIndex] = {}
        self._unreadable = {direction: Isolators(direction, ()) for direction in Direction}
        self._known: dict[tuple[str, tuple[int, ...], Direction], Isolators | None] = {}

    def of(self, pod: LivePod, direction: Direction) -> Isolators | None:
        """What isolates a pod in a direction; None: it is not isolated."""
        if pod.pod.unreadable:
            return self._unreadable[direction]
        namespace = pod.pod.namespace
        if namespace not in self._policies:
            return None
        if namespace not in self._indexes:
            self._indexes[namespace] = SelectorIndex([policy.selector for policy in self._policies[namespace]])
        numbers = self._indexes[namespace].matching(pod.pod.labels)
        key = (namespace, numbers, direction)
        if key not in self._known:
            selecting = (self._policies[namespace][number] for number in numbers)
            isolating = tuple(policy for policy in selecting if direction in policy.rules)
            self._known[key] = Isolators(direction, isolating) if isolating else None
        return self._known[key]
