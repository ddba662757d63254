# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The resources that a snapshot is made of, in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

CLUSTER_POLICY_GROUP = "policy.networking.k8s.io"
CLUSTER_POLICY_VERSION = "v1alpha2"


@dataclass(frozen=True, slots=True)
class Resource:
    plural: str
    kind: str
    prefix: str

    @property
    def path(self) -> str:
        return f"{self.prefix}/{self.plural}"

    def path_of(self, namespace: str, name: str) -> str:
        """Of one object. ``namespace``: empty for a kind without one."""
        return "/".join([self.prefix, *(["namespaces", namespace] if namespace else []), self.plural, name])


NAMESPACES = Resource("namespaces", "Namespace", "/api/v1")
NODES = Resource("nodes", "Node", "/api/v1")
# Policies come last: one that selects or names a pod is then never older than what we know of the pods.
RESOURCES = (
    NAMESPACES,
    Resource("pods", "Pod", "/api/v1"),
    NODES,
    Resource("services", "Service", "/api/v1"),
    Resource("networkpolicies", "NetworkPolicy", "/apis/networking.k8s.io/v1"),
)
# Only where the API serves them, and then after all others.
CLUSTER_POLICIES = Resource(
    "clusternetworkpolicies",
    "ClusterNetworkPolicy",
    f"/apis/{CLUSTER_POLICY_GROUP}/{CLUSTER_POLICY_VERSION}",
)
