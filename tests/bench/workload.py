# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A full node, the same each time: 250 pods, 2,000 rules, 500 sets, 150,000 members; and what may change of it.

250 local pods are 125 applications of two. Each has a policy with five rules a direction, and the peers of a rule are
one of 500 groups of about 300 out of 30,000 pods elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    Namespace,
    NetworkPolicy,
    Pod,
    Snapshot,
    make,
)


@dataclass(frozen=True, slots=True)
class Size:
    """``kinds`` labels of ``groups`` values each divide the peers: so many sets there are."""

    local_pods: int = 250
    peers: int = 30_000
    kinds: int = 5
    groups: int = 100
    rules: int = 5

    @property
    def applications(self) -> int:
        return self.local_pods // 2

    @property
    def sets(self) -> int:
        return self.kinds * self.groups


FULL = Size()
SMALL = Size(local_pods=20, peers=600, kinds=2, groups=10)
_APPLICATIONS, _PEERS = "applications", "peers"
_PODS_A_NODE = 30


@dataclass(frozen=True, slots=True)
class Workload:
    """A cluster at one moment; the methods give the next one."""

    node: str
    local: tuple[Pod, ...]
    peers: tuple[Pod, ...]
    policies: tuple[NetworkPolicy, ...]
    version: int = 1
    size: Size = field(default=FULL)

    def snapshot(self) -> Snapshot:
        return make(
            Cluster("bench", {"pods": str(self.version)}),
            namespaces=[Namespace(name, {"name": name}) for name in (_APPLICATIONS, _PEERS)],
            pods=[*self.local, *self.peers],
            network_policies=list(self.policies),
        )

    def newer(self) -> Workload:
        """Nothing has changed but the snapshot's age."""
        return replace(self, version=self.version + 1)

    def churned(self, share: float, seed: int = 1) -> Workload:
        """So many of the peers have gone, and as many have come with the same labels and other addresses."""
        moved = set(random.Random(seed).sample(range(len(self.peers)), round(share * len(self.peers))))  # noqa: S311
        peers = (replace(pod, ips=(_new_address(pod),)) if n in moved else pod for n, pod in enumerate(self.peers))
        return replace(self.newer(), peers=tuple(peers))

    def edited(self) -> Workload:
        """One policy allows its last ingress rule's peers another port."""
        first, *others = self.policies
        *rules, last = first.spec["ingress"]
        spec = {**first.spec, "ingress": [*rules, {**last, "ports": _tcp(9999)}]}
        return replace(self.newer(), policies=(replace(first, spec=spec), *others))


def workload(node: str, size: Size = FULL, seed: int = 1) -> Workload:
    choose = random.Random(seed)  # noqa: S311 - a benchmark's input
    local = tuple(
        Pod(_APPLICATIONS, f"pod-{n}", {"app": f"app-{n // 2}"}, node, (f"10.244.{n // 250}.{n % 250 + 4}",), "Running")
        for n in range(size.local_pods)
    )
    peers = tuple(
        Pod(
            _PEERS,
            f"peer-{n}",
            {f"kind-{kind}": f"group-{choose.randrange(size.groups)}" for kind in range(size.kinds)},
            f"other-{n // _PODS_A_NODE}",
            (_address(n),),
            "Running",
        )
        for n in range(size.peers)
    )
    policies = tuple(_policy(n, size) for n in range(size.applications))
    return Workload(node, local, peers, policies, size=size)


def _address(number: int) -> str:
    """A /24 for each node, as AKS gives them."""
    node, last = divmod(number, _PODS_A_NODE)
    return f"10.{100 + node // 256}.{node % 256}.{last + 4}"


def _new_address(pod: Pod) -> str:
    """One on the same node that no peer has yet."""
    start, _dot, last = pod.ips[0].rpartition(".")
    return f"{start}.{int(last) + _PODS_A_NODE}"


def _policy(number: int, size: Size) -> NetworkPolicy:
    def rules(side: str, first: int) -> list[dict[str, Any]]:
        return [
            {side: [_group((number * size.rules + first + n) % size.sets, size)], "ports": _tcp(8000 + n)}
            for n in range(size.rules)
        ]

    spec = {
        "podSelector": {"matchLabels": {"app": f"app-{number}"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": rules("from", 0),
        "egress": rules("to", size.sets // 2),
    }
    return NetworkPolicy(_APPLICATIONS, f"policy-{number}", spec)


def _group(number: int, size: Size) -> dict[str, Any]:
    kind, group = divmod(number, size.groups)
    return {
        "namespaceSelector": {"matchLabels": {"name": _PEERS}},
        "podSelector": {"matchLabels": {f"kind-{kind}": f"group-{group}"}},
    }


def _tcp(port: int) -> Sequence[dict[str, Any]]:
    return [{"protocol": "TCP", "port": port}]
