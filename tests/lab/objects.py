# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's cluster as Kubernetes objects, as an API server returns them (apart from what only it can know)."""

from __future__ import annotations

import uuid
from typing import Any

from .cluster import Cluster
from .spec import Container, Namespace, Node, Pod, Service

Object = dict[str, Any]
_EPOCH = "2026-01-01T00:00:00Z"
_UIDS = uuid.UUID("6e706d2e-6e65-7470-6f6c-2d6c61622e2e")


def all_objects(cluster: Cluster) -> list[Object]:
    """Namespaces first, then what is in them."""
    return [
        *(namespace_object(each) for each in cluster.namespaces.values()),
        *(node_object(cluster, each) for each in cluster.nodes.values() if each.joined),
        *(pod_object(cluster, each) for each in cluster.pods.values()),
        *(service_object(cluster, each) for each in cluster.services.values()),
    ]


def boot_id(node: str) -> str:
    """Of its first start."""
    return str(uuid.uuid5(_UIDS, f"boot of {node}"))


def namespace_object(namespace: Namespace) -> Object:
    labels = {"kubernetes.io/metadata.name": namespace.name, **namespace.labels}
    return {
        **_head("v1", "Namespace", namespace.name, labels=labels),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def node_object(cluster: Cluster, node: Node) -> Object:
    addresses = [{"type": "InternalIP", "address": ip} for ip in cluster.node_ips(node.name)]
    cidrs = [cluster.pod_cidr(node.name, family) for family in cluster.families]
    labels = {"kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    return {
        **_head("v1", "Node", node.name, labels={**labels, **node.labels}),
        "spec": {"podCIDR": cidrs[0], "podCIDRs": cidrs, "providerID": f"azure:///lab/{node.name}"},
        "status": {
            "addresses": [*addresses, {"type": "Hostname", "address": node.name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "nodeInfo": {
                "bootID": boot_id(node.name),
                "operatingSystem": "linux",
                "architecture": "amd64",
                "kubeletVersion": "v1.34.0",
            },
        },
    }


def pod_object(cluster: Cluster, pod: Pod) -> Object:
    head = _head("v1", "Pod", pod.name, pod.namespace, dict(pod.labels))
    if pod.terminating:
        head["metadata"] |= {"deletionTimestamp": "2026-01-01T01:00:00Z", "deletionGracePeriodSeconds": 30}
    spec: Object = {
        "nodeName": pod.node,
        "containers": [_container(each) for each in pod.containers if not each.sidecar],
        "restartPolicy": "Always",
    }
    if sidecars := [_container(each) | {"restartPolicy": "Always"} for each in pod.containers if each.sidecar]:
        spec["initContainers"] = sidecars
    if pod.host_network:
        spec["hostNetwork"] = True
    status: Object = {"phase": pod.phase, "hostIP": cluster.node_ips(pod.node)[0]}
    status["hostIPs"] = [{"ip": ip} for ip in cluster.node_ips(pod.node)]
    status["conditions"] = [{"type": "Ready", "status": "True" if pod.running else "False"}]
    if pod.ips:
        status |= {"podIP": pod.ips[0], "podIPs": [{"ip": ip} for ip in pod.ips]}
    return {**head, "spec": spec, "status": status}


def _container(container: Container) -> Object:
    data: Object = {"name": container.name, "image": "registry.invalid/lab:1"}
    ports = [
        {"containerPort": port.port, "protocol": port.protocol, **({"name": port.name} if port.name else {})}
        for port in container.ports
    ]
    return data | ({"ports": ports} if ports else {})


def service_object(cluster: Cluster, service: Service) -> Object:
    ports = [
        {
            "port": port.port,
            "targetPort": port.port if port.target is None else port.target,
            "protocol": port.protocol,
            **({"name": port.name} if port.name else {}),
            **({"nodePort": port.node_port} if port.node_port else {}),
        }
        for port in service.ports
    ]
    names = {"ipv4": "IPv4", "ipv6": "IPv6"}
    spec: Object = {
        "type": service.type,
        "selector": dict(service.selector),
        "ports": ports,
        "clusterIP": service.cluster_ips[0],
        "clusterIPs": list(service.cluster_ips),
        "ipFamilies": [names[family] for family in cluster.families],
        "ipFamilyPolicy": "RequireDualStack" if len(cluster.families) > 1 else "SingleStack",
    }
    if service.type != "ClusterIP":
        spec["externalTrafficPolicy"] = service.external_traffic_policy
    balancer: Object = {}
    if service.load_balancer_ips:
        balancer = {"ingress": [{"ip": ip, "ipMode": "VIP"} for ip in service.load_balancer_ips]}
    head = _head("v1", "Service", service.name, service.namespace)
    return {**head, "spec": spec, "status": {"loadBalancer": balancer}}


def _head(version: str, kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    metadata["uid"] = str(uuid.uuid5(_UIDS, f"{kind}/{namespace}/{name}"))
    metadata["creationTimestamp"] = _EPOCH
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
