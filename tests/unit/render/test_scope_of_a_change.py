# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One pod's new label, in a cluster of 5,000 nodes: the nodes that carry the pod are to hold something else, no other.

Those are found a second time from what the policies were made of: a node carries a pod that a policy selects there, and
a pod that is a peer of a policy which selects one of the node's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils import cycles
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Snapshot,
    make,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import Renderer
from ansible_collections.npm.netpol.plugins.plugin_utils.node_records import Record
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler

from .examples import environment

NODES, NAMESPACES, PODS_A_NAMESPACE = 5000, 500, 40
TIERS = 10
ROLES = ("server", "client", "job", "idle")


@dataclass(frozen=True)
class Permission:
    """A policy: it isolates pods of a role, and allows those of another; of the namespaces of a tier, or its own."""

    namespace: str
    role: str
    direction: str
    peer_role: str
    peer_tier: str = ""

    @property
    def policy(self) -> NetworkPolicy:
        peer: dict[str, Any] = {"podSelector": {"matchLabels": {"role": self.peer_role}}}
        if self.peer_tier:
            peer["namespaceSelector"] = {"matchLabels": {"tier": self.peer_tier}}
        side = "from" if self.direction == "ingress" else "to"
        spec = {
            "podSelector": {"matchLabels": {"role": self.role}},
            "policyTypes": [self.direction.capitalize()],
            self.direction: [{side: [peer]}],
        }
        name = f"{self.role}-{self.direction}-{self.peer_role}{self.peer_tier}"
        return NetworkPolicy(self.namespace, name, spec)

    def selects(self, pod: Pod) -> bool:
        return (pod.namespace, pod.labels["role"]) == (self.namespace, self.role)

    def allows(self, pod: Pod) -> bool:
        in_reach = tier_of(pod.namespace) == self.peer_tier if self.peer_tier else pod.namespace == self.namespace
        return in_reach and pod.labels["role"] == self.peer_role


def tier_of(namespace: str) -> str:
    return f"tier-{int(namespace.removeprefix('team-')) % TIERS}"


def permissions() -> Iterator[Permission]:
    for number in range(NAMESPACES):
        name = f"team-{number}"
        yield Permission(name, "server", "ingress", "client")
        if number % 25 == 0:
            yield Permission(name, "server", "ingress", "client", f"tier-{number // 25 % TIERS}")
        if number % 10 == 3:
            yield Permission(name, "job", "egress", "server")


def pods() -> Iterator[Pod]:
    for number in range(NAMESPACES * PODS_A_NAMESPACE):
        namespace, index = f"team-{number // PODS_A_NAMESPACE}", number % PODS_A_NAMESPACE
        # 7 has no divisor in common with the number of nodes: each gets as many pods, and of several namespaces.
        node = f"node-{(number * 7 + number // NODES) % NODES}"
        address = f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"
        labels = {"role": ROLES[index % len(ROLES)]}
        yield Pod(namespace, f"pod-{index}", labels, node, (address,), "Running")


PERMISSIONS, PODS = tuple(permissions()), {f"{pod.namespace}/{pod.name}": pod for pod in pods()}


def cluster_with(pod: Pod | None = None) -> Snapshot:
    own = {f"{pod.namespace}/{pod.name}": pod} if pod else {}
    return make(
        Cluster("uid-of-the-cluster"),
        namespaces=[Namespace(f"team-{n}", {"tier": tier_of(f"team-{n}")}) for n in range(NAMESPACES)],
        pods=list((PODS | own).values()),
        nodes=[Node(f"node-{n}", {}, uid=f"uid-{n}", boot_id=f"boot-{n}") for n in range(NODES)],
        network_policies=[each.policy for each in PERMISSIONS],
    )


def records_of(snapshot: Snapshot) -> dict[str, Record]:
    """What is noted of each node once it holds what is compiled for it."""
    options = {"variant": "auto", "hook": "first", "accept": False, "datapath_check": True}
    with cycles.unsearched():
        compiler, renderer = Compiler(snapshot), Renderer(environment())
        return {
            node.name: Record(
                snapshot.cluster.uid,
                node.name,
                node.uid,
                node.boot_id,
                renderer.render(compiler.ruleset(node.name)).id,
                **options,  # type: ignore[arg-type]
            )
            for node in snapshot.nodes
        }


@cache
def before() -> Mapping[str, Record]:
    return records_of(cluster_with())


def carrying(pod: Pod) -> set[tuple[Permission, str]]:
    """On which nodes the pod is there for which policy: its own as a target, those of the selected pods as a peer."""
    found = {(each, pod.node) for each in PERMISSIONS if each.selects(pod)}
    for each in PERMISSIONS:
        if each.allows(pod):
            neighbours = (f"{each.namespace}/pod-{index}" for index in range(PODS_A_NAMESPACE))
            found |= {(each, PODS[key].node) for key in neighbours if each.selects(PODS[key])}
    return found


@pytest.mark.parametrize(
    ("key", "labels", "count"),
    [
        # Peer of its own namespace's ten servers, and of those of the two namespaces that let its tier in.
        ("team-13/pod-1", {"role": "idle"}, 30),
        # A target itself, and a peer of ten jobs.
        ("team-13/pod-4", {"role": "idle"}, 11),
        ("team-13/pod-4", {"role": "server", "color": "blue"}, 0),
    ],
    ids=["peer", "target and peer", "nothing"],
)
def test_only_nodes_that_carry_a_relabelled_pod_are_to_hold_something_else(
    key: str, labels: dict[str, str], count: int
) -> None:
    old, new = PODS[key], replace(PODS[key], labels=labels)
    expected = {node for _permission, node in carrying(old) ^ carrying(new)}
    assert len(expected) == count
    after = records_of(cluster_with(new))
    assert len(after) == NODES
    assert {node for node in after if after[node] != before()[node]} == expected
