# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Large clusters, made from nothing but numbers: the shapes of the scale tests that Antrea publishes."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    Namespace,
    NetworkPolicy,
    Pod,
    Snapshot,
    make,
)

PODS_A_NODE = 30
_FIRST_ADDRESS = int(ipaddress.IPv4Address("10.0.0.1"))


class _Builder:
    """Pods get their addresses and nodes in the order in which they come."""

    def __init__(self) -> None:
        self.namespaces: list[Namespace] = []
        self.pods: list[Pod] = []
        self.policies: list[NetworkPolicy] = []

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self.namespaces.append(Namespace(name, labels or {}))

    def pod(self, namespace: str, name: str, app: str) -> None:
        number = len(self.pods)
        address = str(ipaddress.IPv4Address(_FIRST_ADDRESS + number))
        node = f"node-{number // PODS_A_NODE}"
        self.pods.append(Pod(namespace, name, {"app": app}, node, (address,), "Running"))

    def policy(self, namespace: str, name: str, app: str | None, **rules: list[dict[str, Any]]) -> None:
        selector = {"matchLabels": {"app": app}} if app is not None else {}
        types = [direction.capitalize() for direction in rules]
        self.policies.append(NetworkPolicy(namespace, name, {"podSelector": selector, "policyTypes": types, **rules}))

    def snapshot(self) -> Snapshot:
        return make(Cluster("bench"), namespaces=self.namespaces, pods=self.pods, network_policies=self.policies)


def _from_app(app: str) -> list[dict[str, Any]]:
    return [{"from": [{"podSelector": {"matchLabels": {"app": app}}}]}]


def many_namespaces(build: _Builder) -> None:
    """25,000 namespaces of 4 pods with 3 policies each."""
    for number in range(25_000):
        name = f"ns-{number}"
        build.namespace(name)
        for pod in range(4):
            build.pod(name, f"pod-{pod}", f"app-{pod % 2}")
        for policy in range(3):
            build.policy(name, f"policy-{policy}", f"app-{policy % 2}", ingress=_from_app(f"app-{(policy + 1) % 2}"))


def large_namespaces(build: _Builder) -> None:
    """100 namespaces of 1,000 pods with 101 policies each."""
    for number in range(100):
        name = f"ns-{number}"
        build.namespace(name)
        for pod in range(1000):
            build.pod(name, f"pod-{pod}", f"app-{pod % 100}")
        build.policy(name, "deny", None, ingress=[])
        for policy in range(100):
            build.policy(name, f"policy-{policy}", f"app-{policy}", ingress=_from_app(f"app-{(policy + 1) % 100}"))


def everything_allowed(build: _Builder) -> None:
    """1 namespace, 10,000 pods, 10,000 policies that each select all and allow all."""
    build.namespace("ns")
    for pod in range(10_000):
        build.pod("ns", f"pod-{pod}", f"app-{pod}")
    for policy in range(10_000):
        build.policy("ns", f"policy-{policy}", None, ingress=[{}], egress=[{}])


def pod_to_pod(build: _Builder) -> None:
    """1 namespace, 10,000 pods, 10,000 policies of which each selects one pod and allows one other."""
    build.namespace("ns")
    for pod in range(10_000):
        build.pod("ns", f"pod-{pod}", f"app-{pod}")
    for policy in range(10_000):
        build.policy("ns", f"policy-{policy}", f"app-{policy}", ingress=_from_app(f"app-{(policy + 1) % 10_000}"))


def across_namespaces(build: _Builder) -> None:
    """1,000 namespaces of 100 pods, 10 policies each, with peers in 10 namespaces."""
    for number in range(1000):
        name, team = f"ns-{number}", f"team-{number % 100}"
        build.namespace(name, {"team": team})
        for pod in range(100):
            build.pod(name, f"pod-{pod}", f"app-{pod % 10}")
        peers = [{"from": [{"namespaceSelector": {"matchLabels": {"team": team}}}]}]
        for policy in range(10):
            build.policy(name, f"policy-{policy}", f"app-{policy}", ingress=peers)


CASES: Mapping[str, Callable[[_Builder], None]] = {
    "a": many_namespaces,
    "b": large_namespaces,
    "c": everything_allowed,
    "d": pod_to_pod,
    "e": across_namespaces,
}


def cluster(case: str) -> Snapshot:
    """The snapshot of one of :data:`CASES`."""
    build = _Builder()
    CASES[case](build)
    return build.snapshot()


def nodes(snapshot: Snapshot) -> Iterator[str]:
    yield from sorted({pod.node for pod in snapshot.pods})
