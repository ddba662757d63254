# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services that are reached from outside: their backends, and those whose clients the nodes can't tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..model.problem import Problem
from ..model.ruleset import Direction
from ..model.snapshot import Service
from .isolation import Isolation, Isolators
from .peers import PeerResolver
from .pod_classes import PodClass
from .selectors import Selector

_EXPOSED_TYPES = frozenset({"NodePort", "LoadBalancer"})


def hiding_clients(services: Iterable[Service], resolver: PeerResolver, isolation: Isolation) -> Iterator[Problem]:
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


def _is_restricted(isolators: Isolators | None) -> bool:
    return isolators is not None and not isolators.allow_everything
