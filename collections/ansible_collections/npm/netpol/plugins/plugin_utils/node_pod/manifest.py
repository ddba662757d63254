# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The helper pod: all that it may do is said here, and docs/node-pod/policy.yaml admits only what is made here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from .errors import NodePodError

# Every AKS node may pull from this registry, which is among the addresses that it cannot do without, and it is the
# BusyBox of the distribution that AKS nodes themselves can run. 2 MB, so that it is there soon.
IMAGE = "mcr.microsoft.com/azurelinux/busybox:1.36"

NAME_LABEL, RUN_LABEL = "app.kubernetes.io/name", "npm.netpol/run"
NAME = "npm-netpol-node-pod"
CONTAINER = "node"


@dataclass(frozen=True, slots=True)
class Settings:
    """What may differ between helper pods. ``deadline`` is in seconds: no pod lives longer."""

    namespace: str = "npm-netpol-nodes"
    image: str = IMAGE
    pull_secrets: tuple[str, ...] = ()
    priority_class: str = ""
    cpu_limit: str = "1"
    memory_limit: str = "512Mi"
    deadline: int = 1800


def name(run: str, node: str, settings: Settings, generation: int) -> str:
    """The name of a run's pod on a node: the same in every process of the run, and no other run's."""
    told = "\n".join((run, node, repr(settings), str(generation)))
    return f"npm-node-{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def pod(pod_name: str, node: str, run: str, settings: Settings) -> dict[str, Any]:
    """The pod as it is asked for. Raises :class:`NodePodError` without a node: any would do then."""
    if not node.strip():
        raise NodePodError("no helper pod is asked for without the name of a node: it would be on any of them")
    spec: dict[str, Any] = {
        # Not the scheduler decides: it would know of taints, of pressure and of nodes that are cordoned.
        "nodeName": node,
        "tolerations": [{"operator": "Exists"}],
        "hostPID": True,
        # An address of its own is not needed, and the node's CNI may be what is broken. With these, the node's
        # namespaces are the pod's also where there is no nsenter.
        "hostNetwork": True,
        "hostIPC": True,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": settings.deadline,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Runtimes leave privileged containers unfiltered; one that does not may filter this one.
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": CONTAINER,
                "image": settings.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", str(settings.deadline)],
                # What runs on the node for us counts against the limits.
                "resources": {
                    "requests": {"cpu": "10m", "memory": "32Mi"},
                    "limits": {"cpu": settings.cpu_limit, "memory": settings.memory_limit},
                },
                "securityContext": {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True},
            }
        ],
    }
    if settings.pull_secrets:
        spec["imagePullSecrets"] = [{"name": each} for each in settings.pull_secrets]
    if settings.priority_class:
        spec["priorityClassName"] = settings.priority_class
    labels = {NAME_LABEL: NAME, "app.kubernetes.io/managed-by": "npm.netpol", RUN_LABEL: run}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name,
            "namespace": settings.namespace,
            "labels": labels,
            # Without a controller it would keep its node from being scaled down.
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
        },
        "spec": spec,
    }
