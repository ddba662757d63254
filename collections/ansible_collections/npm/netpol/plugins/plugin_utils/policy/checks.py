# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person should know before a snapshot is enforced: policies that cut off a protected namespace, and Services
whose clients the nodes can't tell apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ..model.problem import Problem
from ..model.ruleset import Direction
from ..model.snapshot import NetworkPolicy, Service
from .isolation import Isolation, Isolators
from .peers import PeerResolver
from .pod_classes import PodClass
from .policies import Policy
from .selectors import Selector

ALLOW_ANNOTATION = "netpol.npm/allow-in-protected-namespace"

_EXPOSED_TYPES = frozenset({"NodePort", "LoadBalancer"})


def cut_off_namespaces(
    namespaces: Iterable[str], classes: Iterable[PodClass], isolation: Isolation, given: Iterable[NetworkPolicy]
) -> Iterator[Problem]:
    """Policies that isolate every pod of a protected namespace where no policy allows any of them anything."""
    lifted = {(policy.namespace, policy.name) for policy in given if policy.annotations.get(ALLOW_ANNOTATION) == "true"}
    pods_of: defaultdict[str, list[PodClass]] = defaultdict(list)
    for pods in (each for each in classes if not each.unreadable):
        pods_of[pods.namespace].append(pods)
    for namespace in sorted(set(namespaces)):
        for direction in Direction:
            for policy in _cutting_off(pods_of[namespace], direction, isolation):
                if (policy.namespace, policy.name) not in lifted:
                    yield Problem(
                        "NetworkPolicy",
                        policy.namespace,
                        policy.name,
                        f"spec.{direction}",
                        f"isolates every pod of the protected namespace for {direction}, and nothing is allowed",
                        f'the run stops; annotate the policy {ALLOW_ANNOTATION}: "true" if this is meant',
                    )


def exposed_services(services: Iterable[Service], resolver: PeerResolver, isolation: Isolation) -> Iterator[Problem]:
    """NodePort and LoadBalancer Services that hide their clients' addresses from policies of their backends."""
    for service in services:
        if not is_exposed(service) or service.external_traffic_policy == "Local":
            continue
        backends = backends_of(service, resolver)
        isolated = sum(len(each.pods) for each in backends if _is_restricted(isolation.of(each).get(Direction.INGRESS)))
        if isolated:
            every = sum(len(each.pods) for each in backends)
            yield Problem(
                "Service",
                service.namespace,
                service.name,
                "spec.externalTrafficPolicy",
                f"is Cluster, and {isolated} of {every} backends are isolated for ingress",
                "client addresses are seen only where the backend is local; health probes may be dropped",
            )


def is_exposed(service: Service) -> bool:
    return service.type in _EXPOSED_TYPES and bool(service.selector)


def backends_of(service: Service, resolver: PeerResolver) -> Sequence[PodClass]:
    return resolver.pods_in(service.namespace, Selector.equal(service.selector))


def _cutting_off(classes: Sequence[PodClass], direction: Direction, isolation: Isolation) -> set[Policy]:
    found = (isolation.of(pods).get(direction) for pods in classes)
    isolating = [set(isolators.policies) if isolators else set() for isolators in found]
    if not isolating or any(policy.spec.rules[direction] for policy in set().union(*isolating)):
        return set()
    return set.intersection(*isolating)


def _is_restricted(isolators: Isolators | None) -> bool:
    return isolators is not None and not isolators.allow_everything
