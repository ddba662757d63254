# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Large clusters, made from nothing but numbers: the shapes of Antrea's published scale tests, and a mixed one."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    Snapshot,
    make,
)

PODS_A_NODE = 30
_FIRST_ADDRESS = int(ipaddress.IPv4Address("10.0.0.1"))
_FIRST_ADDRESS_6 = int(ipaddress.IPv6Address("fd00:10::1"))


class _Builder:
    """Pods get their addresses and nodes in the order in which they come."""

    def __init__(self) -> None:
        self.namespaces: list[Namespace] = []
        self.pods: list[Pod] = []
        self.policies: list[NetworkPolicy] = []

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        self.namespaces.append(Namespace(name, labels or {}))

    def pod(
        self,
        namespace: str,
        name: str,
        app: str,
        *,
        dual: bool = False,
        ports: tuple[NamedPort, ...] = (),
        **labels: str,
    ) -> None:
        number = len(self.pods)
        addresses = [str(ipaddress.IPv4Address(_FIRST_ADDRESS + number))]
        if dual:
            addresses.append(str(ipaddress.IPv6Address(_FIRST_ADDRESS_6 + number)))
        node = f"node-{number // PODS_A_NODE}"
        self.pods.append(Pod(namespace, name, {"app": app, **labels}, node, tuple(addresses), "Running", ports=ports))

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


_NAMESPACES, _TEAMS, _APPS = 2000, 50, 15
_KINDS = 5


def mixed(build: _Builder, *, pods: int = 150_000, policies: int = 10_000) -> None:
    """5,000 nodes, 150,000 pods of two families, 2,000 namespaces, 10,000 policies of which 200 have peers everywhere.

    Unlike those above: the pods of a namespace are spread over the nodes, and each pod has a label of its own.
    """
    for number in range(_NAMESPACES):
        build.namespace(f"ns-{number}", {"team": f"team-{number % _TEAMS}"})
    for number in range(pods):
        app = number // _NAMESPACES % _APPS
        tier = {"tier": ("front", "back")[app % 2]} if app % 3 else {}
        ports = (NamedPort("http", "TCP", 8080 + app % 2),)
        name = f"app-{app}-{number}"
        build.pod(f"ns-{number % _NAMESPACES}", name, f"app-{app}", dual=True, ports=ports, instance=name, **tier)
    for number in range(policies):
        namespace, kind = divmod(number, _KINDS)
        if kind == 0:
            build.policy(f"ns-{namespace}", "deny", None, ingress=[])
        elif kind == 1:
            build.policy(f"ns-{namespace}", "front", "app-1", ingress=_from_app("app-2"))
        elif kind == 2:
            team = {"namespaceSelector": {"matchLabels": {"team": f"team-{namespace % _TEAMS}"}}}
            build.policy(f"ns-{namespace}", "team", "app-3", ingress=[{"from": [team], "ports": [{"port": "http"}]}])
        elif kind == 3:
            outside = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", f"192.0.2.{namespace % 64}/32"]}}
            names = {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ns-0"}},
                "podSelector": {"matchLabels": {"app": "app-0"}},
            }
            rules = [{"to": [outside]}, {"to": [names], "ports": [{"port": 53, "protocol": "UDP"}]}]
            build.policy(f"ns-{namespace}", "outside", "app-4", egress=rules)
        elif namespace % 10:
            build.policy(f"ns-{namespace}", "web", "app-5", ingress=[{"ports": [{"port": 80}, {"port": 443}]}])
        else:
            build.policy(f"ns-{namespace}", "everywhere", None, ingress=[{"from": [_everywhere(namespace // 10)]}])


def _everywhere(number: int) -> dict[str, Any]:
    """A peer in all namespaces, or in all but one team's."""
    everything: dict[str, Any] = {}
    other_teams = {"key": "team", "operator": "NotIn", "values": [f"team-{number // 4 % _TEAMS}"]}
    any_tier = {"key": "tier", "operator": "Exists"}
    return (
        {"namespaceSelector": everything},
        {"namespaceSelector": {"matchExpressions": [other_teams]}},
        {"namespaceSelector": everything, "podSelector": {"matchExpressions": [any_tier]}},
        {"namespaceSelector": everything, "podSelector": {"matchLabels": {"app": f"app-{number // 4 % _APPS}"}}},
    )[number % 4]


CASES: Mapping[str, Callable[[_Builder], None]] = {
    "a": many_namespaces,
    "b": large_namespaces,
    "c": everything_allowed,
    "d": pod_to_pod,
    "e": across_namespaces,
    "f": mixed,
    "f, 1/2 of the pods": partial(mixed, pods=75_000),
    "f, 1/4 of the pods": partial(mixed, pods=37_500),
    "f, 1/2 of the policies": partial(mixed, policies=5_000),
    "f, 1/4 of the policies": partial(mixed, policies=2_500),
}


def cluster(case: str) -> Snapshot:
    """The snapshot of one of :data:`CASES`."""
    build = _Builder()
    CASES[case](build)
    return build.snapshot()


def nodes(snapshot: Snapshot) -> Iterator[str]:
    yield from sorted({pod.node for pod in snapshot.pods})
