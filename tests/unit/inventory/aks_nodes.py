# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes as the API of an AKS cluster has them."""

from __future__ import annotations

from typing import Any

FIRST, SECOND = "aks-web-12345678-vmss000000", "aks-batch-12345678-vmss000001"
WINDOWS, VIRTUAL, JOINING = "akswin000000", "virtual-node-aci-linux", "aks-web-12345678-vmss000009"

Object = dict[str, Any]


def node(name: str, *addresses: str, **changes: Any) -> Object:
    """A Linux node that is ready.

    ``changes``: ``labels`` (one that is None is taken away), ``ready`` (status of the condition), ``reason``, ``spec``,
    ``info`` (of nodeInfo), ``status``; ``addresses`` are InternalIPs.
    """
    labels = {
        "kubernetes.azure.com/agentpool": "web",
        "agentpool": "web",
        "topology.kubernetes.io/zone": "westeurope-1",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.azure.com/os-sku": "AzureLinux",
    } | changes.get("labels", {})
    listed = [*addresses] or ["10.224.0.4"]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": f"uid-of-{name}",
            "labels": {key: value for key, value in labels.items() if value is not None},
        },
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24"]} | changes.get("spec", {}),
        "status": {
            "addresses": [
                *({"type": "InternalIP", "address": each} for each in listed),
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {
                    "type": "Ready",
                    "status": changes.get("ready", "True"),
                    "reason": changes.get("reason", "KubeletReady"),
                },
            ],
            "nodeInfo": {
                "bootID": f"boot-of-{name}",
                "operatingSystem": "linux",
                "architecture": "amd64",
                "kernelVersion": "6.6.57.1-1.azl3",
                "osImage": "Microsoft Azure Linux 3.0",
                "kubeletVersion": "v1.34.0",
                "containerRuntimeVersion": "containerd://2.0.0",
            }
            | changes.get("info", {}),
        }
        | changes.get("status", {}),
    }


def cluster() -> list[Object]:
    """Two members of two pools, and one of each kind that is left out."""
    return [
        node(FIRST, "10.224.0.4"),
        node(
            SECOND,
            "10.224.0.5",
            labels={
                "kubernetes.azure.com/agentpool": None,
                "agentpool": "batch",
                "topology.kubernetes.io/zone": None,
                "kubernetes.io/arch": "arm64",
            },
            ready="Unknown",
            reason="NodeStatusUnknown",
            spec={"unschedulable": True},
        ),
        node(WINDOWS, "10.224.0.6", labels={"kubernetes.io/os": "windows", "kubernetes.azure.com/agentpool": "win"}),
        node(VIRTUAL, "10.224.0.7", labels={"type": "virtual-kubelet"}),
        node(JOINING, "10.224.0.8", ready="Unknown", reason="NodeStatusNeverUpdated", info={"kubeletVersion": ""}),
    ]
