# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The objects of a small cluster, as the API has them."""

from __future__ import annotations

from typing import Any

# As the size of a page: no resource is so small that it is listed instead of followed.
FOLLOW_ALL = 0
PODS = 25


def namespace(name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-of-{name}", "labels": {"kubernetes.io/metadata.name": name} | labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def pod(name: str, in_namespace: str = "shop", address: str = "10.0.0.1") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": in_namespace, "labels": {"app": name}},
        "spec": {"nodeName": "aks-1", "containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]},
    }


def policy(name: str, in_namespace: str = "shop") -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": in_namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def cluster() -> list[dict[str, Any]]:
    return [
        namespace("kube-system"),
        namespace("shop", tier="front"),
        *(pod(f"web-{index}", address=f"10.0.0.{index + 1}") for index in range(PODS)),
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "aks-1"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}},
        policy("deny"),
    ]
