# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API of a lab as it was at the start, for a lab that many tests share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import objects
from .cluster import Cluster

if TYPE_CHECKING:
    from .api import Client

_POLICIES = {
    "networkpolicies": {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"},
    "clusternetworkpolicies": {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy"},
}
_SETTINGS: dict[str, Any] = {
    "serve": [],
    "validate": True,
    "kubelet": {"start_delay": 0.05, "images": {}},
    "minor": 35,
    "ping_seconds": 5.0,
}
_EVERY_CLUSTERS = frozenset({"default", "kube-node-lease", "kube-public", "kube-system"})


def reset_api(api: Client, cluster: Cluster, loaded: Iterable[dict[str, Any]]) -> None:
    """``loaded``: the objects that are loaded as they are, beside the cluster's."""
    api.clear_faults()
    api.clear_requests()
    # What is not served cannot be listed.
    api.settings(serve=["clusternetworkpolicies"])
    for resource, head in _POLICIES.items():
        for item in api.list(resource):
            # The items of a list do not say what they are.
            api.delete(item | head)
    api.settings(**_SETTINGS)
    _remove_strangers(api, cluster)
    for node in cluster.nodes.values():
        if node.joined:
            api.apply(objects.node_object(cluster, node))
    api.load(loaded)


def _remove_strangers(api: Client, cluster: Cluster) -> None:
    """Pods and namespaces that did not come from the lab."""
    for pod in api.list("pods"):
        metadata = pod["metadata"]
        if f"{metadata['namespace']}/{metadata['name']}" not in cluster.pods:
            api.delete(pod | {"apiVersion": "v1", "kind": "Pod"}, grace_seconds=0)
    for namespace in api.list("namespaces"):
        if namespace["metadata"]["name"] not in {*cluster.namespaces, *_EVERY_CLUSTERS}:
            api.delete(namespace | {"apiVersion": "v1", "kind": "Namespace"})
