# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Policies that would cut off what a cluster lives by: a whole protected namespace, or a lifeline in one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..model.problem import Problem
from ..model.ruleset import Direction
from ..model.snapshot import NetworkPolicy
from .isolation import Isolation
from .pod_classes import PodClass
from .policies import Policy

ALLOW_ANNOTATION = "netpol.npm/allow-in-protected-namespace"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """Pods without which nobody comes back to repair a cluster: their label, and the directions they work in."""

    name: str
    label: tuple[str, str]
    directions: tuple[Direction, ...]

    def holds(self, pods: PodClass) -> bool:
        """Classes tell apart only what policies mention, so that one may hold other pods as well."""
        key, value = self.label
        return any(each.pod.labels.get(key) == value for each in pods.pods)


# The API server reaches kubelets, and with them exec, logs and webhooks, by the connections that the agents open. AKS
# labels them by app, the upstream manifests by k8s-app. CoreDNS has kept the label of kube-dns.
LIFELINES = (
    Lifeline("konnectivity-agent", ("app", "konnectivity-agent"), (Direction.EGRESS,)),
    Lifeline("konnectivity-agent", ("k8s-app", "konnectivity-agent"), (Direction.EGRESS,)),
    Lifeline("CoreDNS", ("k8s-app", "kube-dns"), tuple(Direction)),
)


def cut_off(
    namespaces: Iterable[str], classes: Iterable[PodClass], isolation: Isolation, given: Iterable[NetworkPolicy]
) -> Iterator[Problem]:
    """Policies that isolate all of what is protected where no policy allows any of it anything. Each named once."""
    lifted = {(policy.namespace, policy.name) for policy in given if policy.annotations.get(ALLOW_ANNOTATION) == "true"}
    pods_of: defaultdict[str, list[PodClass]] = defaultdict(list)
    for pods in (each for each in classes if not each.unreadable):
        pods_of[pods.namespace].append(pods)
    for namespace in sorted(set(namespaces)):
        named: set[tuple[Policy, Direction]] = set()
        for what, directions, members in _protected_in(pods_of[namespace]):
            for direction in directions:
                for policy in _cutting_off(members, direction, isolation):
                    if (policy, direction) in named or (policy.namespace, policy.name) in lifted:
                        continue
                    named.add((policy, direction))
                    yield Problem(
                        "NetworkPolicy",
                        policy.namespace,
                        policy.name,
                        f"spec.{direction}",
                        f"isolates {what} for {direction}, and nothing is allowed",
                        f'the run stops; annotate the policy {ALLOW_ANNOTATION}: "true" if this is meant',
                    )


def _protected_in(classes: Sequence[PodClass]) -> Iterator[tuple[str, Iterable[Direction], Sequence[PodClass]]]:
    """The whole of a protected namespace first, then the lifelines in it."""
    yield "every pod of the protected namespace", Direction, classes
    for each in LIFELINES:
        yield f"every {each.name} pod of the protected namespace", each.directions, list(filter(each.holds, classes))


def _cutting_off(classes: Sequence[PodClass], direction: Direction, isolation: Isolation) -> set[Policy]:
    found = (isolation.of(pods).get(direction) for pods in classes)
    isolating = [set(isolators.policies) if isolators else set() for isolators in found]
    if not isolating or any(policy.spec.rules[direction] for policy in set().union(*isolating)):
        return set()
    return set.intersection(*isolating)
