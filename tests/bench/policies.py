# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters of any number of policies around one node, for what their rules cost its packets.

Each policy selects one application: on port 8080 its own two clients and everything in the namespace monitoring may
enter, and it may reach its own clients on port 5432. The node hosts the first applications, one pod each, or several
where there are more pods than policies; every application also has a pod elsewhere.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    Namespace,
    NetworkPolicy,
    Pod,
    Snapshot,
    make,
)

NODE = "node-1"
MONITORING = "monitoring"
MONITOR = "10.0.9.1"
PORT, EGRESS_PORT = 8080, 5432
_APPLICATIONS_A_NAMESPACE = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """One application's policy, with selectors resolved: what a layout of rules is made from."""

    namespace: str
    app: str
    local: tuple[str, ...]
    elsewhere: tuple[str, ...]
    clients: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.namespace}/{self.app}"

    @property
    def targets(self) -> tuple[str, ...]:
        return self.local + self.elsewhere


def policies(count: int, local_pods: int) -> tuple[Policy, ...]:
    """In an order that is random and always the same: nobody's node hosts the oldest policies of all."""
    hosted = min(count, local_pods)
    made = [
        Policy(
            namespace=f"team-{number // _APPLICATIONS_A_NAMESPACE}",
            app=f"app-{number}",
            local=tuple(local_address(pod) for pod in range(local_pods) if pod % hosted == number),
            elsewhere=(_address(3 * number),),
            clients=(_address(3 * number + 1), _address(3 * number + 2)),
        )
        for number in range(count)
    ]
    random.Random(1).shuffle(made)  # noqa: S311 - a benchmark's input
    return tuple(made)


def local_address(pod: int) -> str:
    return f"10.0.0.{pod + 1}"


def _address(number: int) -> str:
    return f"10.{100 + number // 65536}.{number // 256 % 256}.{number % 256}"


def namespaces(made: Sequence[Policy]) -> Mapping[str, tuple[str, ...]]:
    """The addresses of each namespace's pods."""
    found: dict[str, list[str]] = {MONITORING: [MONITOR]}
    for policy in made:
        found.setdefault(policy.namespace, []).extend((*policy.targets, *policy.clients))
    return {name: tuple(addresses) for name, addresses in found.items()}


def snapshot(made: Sequence[Policy]) -> Snapshot:
    """The same cluster as our compiler is given it."""
    pods = [Pod(MONITORING, "monitor", {}, "other", (MONITOR,), "Running")]
    for each in made:
        for role, addresses in (("app", each.targets), ("client", each.clients)):
            for address in addresses:
                node = NODE if address in each.local else "other"
                pods.append(Pod(each.namespace, f"pod-{address}", {role: each.app}, node, (address,), "Running"))
    return make(
        Cluster("bench", {"pods": "1"}),
        namespaces=[Namespace(name, {"name": name}) for name in namespaces(made)],
        pods=pods,
        network_policies=[_object(each) for each in made],
    )


def _object(policy: Policy) -> NetworkPolicy:
    clients = {"podSelector": {"matchLabels": {"client": policy.app}}}
    monitoring = {"namespaceSelector": {"matchLabels": {"name": MONITORING}}}
    spec = {
        "podSelector": {"matchLabels": {"app": policy.app}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [clients, monitoring], "ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": [{"to": [clients], "ports": [{"protocol": "TCP", "port": EGRESS_PORT}]}],
    }
    return NetworkPolicy(policy.namespace, policy.app, spec)
