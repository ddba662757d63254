# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changing the cluster of a running lab: wires, servers, kube-proxy's rules and the API together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from . import cleanup, netns, network, objects, proxies

if TYPE_CHECKING:
    from .api import Client
from .cluster import Cluster
from .netns import LabError
from .node import Node
from .probe import Prober
from .services import balancer_routes
from .spec import Namespace, Pod, Service
from .spec import Node as NodeSpec

FIXED_PLACES = ("ctl", "ext", "fab")


class LiveCluster:
    """What :class:`lab.lab.Lab` is to those who change its cluster."""

    def __init__(self, lab_id: str, cluster: Cluster) -> None:
        self.id = lab_id
        self.cluster = cluster
        self.directory = cleanup.DIRECTORY / lab_id
        self.nodes = {name: self.make_node(node) for name, node in cluster.nodes.items()}
        self.prober = Prober(self.directory / "agent.sock", self.namespace)

    def make_node(self, spec: NodeSpec) -> Node:
        return Node(self.id, spec, self.directory / "nodes" / spec.name)

    @property
    def has_api(self) -> bool:
        return self.api_socket.exists()

    @property
    def api_socket(self) -> Path:
        return self.directory / "api" / "socket"

    @property
    def api(self) -> Client:
        """The lab's Kubernetes API as its administrator, through its Unix socket."""
        from .api import Client  # noqa: PLC0415 (a lab without an API does not need its libraries)

        return Client.unix(self.api_socket)

    def namespace(self, place: str) -> str:
        """The network namespace of ``ctl``, ``ext``, ``fab``, a node, or a pod (a hostNetwork pod: its node's)."""
        if place in FIXED_PLACES:
            return f"{netns.prefix(self.id)}{place}"
        if place in self.nodes:
            return self.nodes[place].namespace
        pod = self.cluster.pods.get(place)
        if pod is None:
            raise LabError(f"no place {place!r} in lab {self.id}")
        if pod.host_network:
            return self.nodes[pod.node].namespace
        if not pod.has_network:
            raise LabError(f"pod {place} has no network: it is {pod.phase}")
        return netns.pod_namespace(self.id, place)

    # Pods

    def add_pod(self, pod: Pod) -> Pod:
        """Wire it, answer on its ports, tell the API. Returns it with its addresses."""
        pod = self.cluster.add_pod(pod)
        self._start_pod(pod)
        self.changed(objects.pod_object(self.cluster, pod))
        return pod

    def remove_pod(self, key: str) -> Pod:
        pod = self._pod(key)
        self._stop_pod(pod)
        del self.cluster.pods[key]
        self.gone(objects.pod_object(self.cluster, pod))
        return pod

    def replace_pod(self, pod: Pod) -> Pod:
        """The pod of the same name becomes this one. It keeps its addresses unless it names others or moves."""
        old = self._pod(pod.key)
        del self.cluster.pods[pod.key]
        try:
            new = self.cluster.add_pod(pod if pod.ips or pod.node != old.node else replace(pod, ips=old.ips))
        except LabError:
            self.cluster.pods[old.key] = old
            raise
        if (old.running, old.node, old.ips, old.ports) != (new.running, new.node, new.ips, new.ports):
            self._stop_pod(old)
            self._start_pod(new)
        self.changed(objects.pod_object(self.cluster, new))
        return new

    def relabel_pod(self, key: str, labels: Mapping[str, str]) -> Pod:
        """Give the pod these labels instead of its own."""
        return self.replace_pod(replace(self._pod(key), labels=dict(labels)))

    def _pod(self, key: str) -> Pod:
        if key not in self.cluster.pods:
            raise LabError(f"no pod {key!r} in lab {self.id}")
        return self.cluster.pods[key]

    def _start_pod(self, pod: Pod) -> None:
        if pod.has_network:
            network.add_pods(self.id, self.cluster, [pod])
        self.serve(pod)

    def serve(self, pod: Pod) -> None:
        """Let the agent answer on the pod's ports."""
        if pod.running:
            ports = sorted({(port.port, port.protocol) for port in pod.ports})
            self.prober.serve(pod.key, pod.key, pod.ips, ports)

    def _stop_pod(self, pod: Pod) -> None:
        self.prober.withdraw(pod.key)
        if pod.has_network:
            namespace = netns.pod_namespace(self.id, pod.key)
            netns.end_processes([namespace])
            network.remove_pod(self.id, pod)
            netns.delete([namespace])

    # Namespaces

    def add_namespace(self, namespace: Namespace) -> None:
        if namespace.name in self.cluster.namespaces:
            raise LabError(f"namespace {namespace.name}: exists already")
        self._put_namespace(namespace)

    def relabel_namespace(self, name: str, labels: Mapping[str, str]) -> None:
        """Give the namespace these labels instead of its own (``kubernetes.io/metadata.name`` stays)."""
        if name not in self.cluster.namespaces:
            raise LabError(f"no namespace {name!r} in lab {self.id}")
        self._put_namespace(Namespace(name, dict(labels)))

    def _put_namespace(self, namespace: Namespace) -> None:
        self.cluster.namespaces[namespace.name] = namespace
        self.changed(objects.namespace_object(namespace))

    def remove_namespace(self, name: str) -> None:
        """With its pods and Services."""
        for pod in [pod for pod in self.cluster.pods.values() if pod.namespace == name]:
            self.remove_pod(pod.key)
        for service in [service for service in self.cluster.services.values() if service.namespace == name]:
            self.remove_service(service.key)
        self.gone(objects.namespace_object(self.cluster.namespaces.pop(name)))

    # Services

    def add_service(self, service: Service) -> Service:
        """Returns it with its addresses and node ports."""
        service = self.cluster.add_service(service)
        self.changed(objects.service_object(self.cluster, service))
        return service

    def remove_service(self, key: str) -> None:
        if key not in self.cluster.services:
            raise LabError(f"no Service {key!r} in lab {self.id}")
        self.gone(objects.service_object(self.cluster, self.cluster.services.pop(key)))

    def synchronise_services(self) -> None:
        """kube-proxy on every node, and the balancer's routes."""
        for node in self.nodes.values():
            proxies.synchronise(self.cluster, node)
        network.set_balancer_routes(self.id, self.cluster.families, balancer_routes(self.cluster))

    # All of it

    def become(self, wanted: Cluster) -> None:
        """Make namespaces, pods and Services those of ``wanted``, which has the same nodes."""
        now = self.cluster
        for key in _unlike(now.pods, wanted.pods):
            self.remove_pod(key)
        for key in _unlike(now.services, wanted.services):
            self.remove_service(key)
        for name in now.namespaces.keys() - wanted.namespaces.keys():
            self.remove_namespace(name)
        for name in _unlike(wanted.namespaces, now.namespaces):
            self._put_namespace(wanted.namespaces[name])
        for key in _unlike(wanted.pods, now.pods):
            self.add_pod(wanted.pods[key])
        for key in _unlike(wanted.services, now.services):
            self.add_service(wanted.services[key])

    # Any object

    def apply(self, item: Mapping[str, Any]) -> None:
        """Create or replace an object in the API only (a policy, an odd pod): no wire follows."""
        self.api.apply(dict(item))

    def delete(self, item: Mapping[str, Any]) -> None:
        self.api.delete(dict(item))

    # Who may do what, and pods that clients create

    def service_account(self, documents: Iterable[objects.Object], namespace: str, name: str) -> Path:
        """The kubeconfig of a ServiceAccount with exactly the rights that these RBAC objects give it."""
        from .api import service_account  # noqa: PLC0415 (see api)

        identity = service_account(documents, namespace, name)
        self.api.add_identity(identity)
        config = yaml.safe_load((self.directory / "api" / "kubeconfig").read_text())
        config["users"][0]["user"] = {"token": identity.token}
        file = self.directory / "api" / f"kubeconfig-{namespace}-{name}"
        file.touch(0o600)
        file.write_text(yaml.safe_dump(config, sort_keys=False))
        return file

    def set_node_ready(self, name: str, *, ready: bool) -> None:
        """Whether the node's kubelet answers: without it no pod starts or ends there, and nothing can be executed."""
        reason = "KubeletReady" if ready else "NodeStatusUnknown"
        condition = {"type": "Ready", "status": "True" if ready else "Unknown", "reason": reason}
        self.api.patch("nodes", name, "", {"status": {"conditions": [condition]}})

    def evict(self, key: str) -> None:
        """Of a pod that a client created."""
        self.api.evict(*key.split("/", 1))

    def changed(self, item: objects.Object) -> None:
        """An object of the cluster is new or other: the API and the Services follow."""
        if self.has_api:
            self.api.apply(item)
        self.settle()

    def gone(self, item: objects.Object) -> None:
        """An object of the cluster is no more: the API and the Services follow."""
        if self.has_api:
            self.api.delete(item)
        self.settle()

    def settle(self) -> None:
        """After a change: Services follow, and the state is saved."""
        self.synchronise_services()
        self.save()

    def save(self) -> None:
        """For :meth:`lab.lab.Lab.attach`."""
        self.cluster.save(self.directory / "cluster.json")


def _unlike(some: Mapping[str, object], others: Mapping[str, object]) -> list[str]:
    """The keys of ``some`` whose values ``others`` does not have."""
    return [key for key, value in some.items() if others.get(key) != value]
