# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods as an API has them: about 11 kB of JSON each, nearly all of which enforcement has no use for."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from typing import Any

NAMESPACES = 100
_PODS_A_NODE = 30
_FIRST_ADDRESS = int(ipaddress.IPv4Address("10.0.0.1"))
_CONTAINERS = ("app", "proxy", "metrics")
_TIME = "2026-01-01T00:00:00Z"


def namespaces() -> Iterator[dict[str, Any]]:
    for number in range(NAMESPACES):
        metadata = {"name": f"ns-{number}", "labels": {"kubernetes.io/metadata.name": f"ns-{number}"}}
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def pod(number: int, generation: int = 0) -> dict[str, Any]:
    """The pod of this number; another ``generation`` has another address and another hash of its template."""
    name = f"web-{number}"
    address = str(ipaddress.IPv4Address(_FIRST_ADDRESS + number + (generation << 20)))
    hashed = hashlib.sha256(f"{number} {generation}".encode()).hexdigest()
    metadata = {
        "name": name,
        "namespace": f"ns-{number % NAMESPACES}",
        "labels": {
            "app": f"app-{number % 15}",
            "pod-template-hash": hashed[:10],
            "tier": ("front", "back")[number % 2],
        },
        "annotations": {f"example.org/checksum-{part}": hashed for part in ("config", "secret", "policy")},
        "creationTimestamp": _TIME,
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{hashed[:10]}", "uid": hashed[:36]}
        ],
        "managedFields": [_managed("kube-controller-manager", ""), _managed("kubelet", "status")],
    }
    spec = {
        "nodeName": f"node-{number // _PODS_A_NODE}",
        "containers": [_container(each) for each in _CONTAINERS],
        "volumes": [
            {
                "name": "token",
                "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]},
            },
            *({"name": each, "configMap": {"name": f"{each}-settings"}} for each in _CONTAINERS),
        ],
        "tolerations": [
            {"key": f"node.kubernetes.io/{each}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for each in ("not-ready", "unreachable")
        ],
    }
    conditions = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": _TIME} for each in conditions],
        "containerStatuses": [_container_status(each, hashed) for each in _CONTAINERS],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _container(name: str) -> dict[str, Any]:
    probe = {
        "httpGet": {"path": "/healthz", "port": "http", "scheme": "HTTP"},
        "periodSeconds": 10,
        "timeoutSeconds": 1,
    }
    return {
        "name": name,
        "image": f"example.org/team/{name}:1.2.3",
        "args": ["--listen=:8080", "--log-format=json", f"--name={name}"],
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"SETTING_{number}", "value": f"value-of-setting-{number}"} for number in range(20)],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [
            {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
            {"name": name, "mountPath": "/etc/settings", "readOnly": True},
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True},
    }


def _container_status(name: str, hashed: str) -> dict[str, Any]:
    return {
        "name": name,
        "ready": True,
        "restartCount": 0,
        "image": f"example.org/team/{name}:1.2.3",
        "imageID": f"example.org/team/{name}@sha256:{hashed}",
        "containerID": f"containerd://{hashed}",
        "state": {"running": {"startedAt": _TIME}},
    }


def _managed(manager: str, subresource: str) -> dict[str, Any]:
    """Which fields a manager has set: of real pods, too, it is a large part."""
    fields = {f'k:{{"name":"SETTING_{number}"}}': {".": {}, "f:name": {}, "f:value": {}} for number in range(20)}
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": _TIME,
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:env": fields}}}},
        "subresource": subresource,
    }
