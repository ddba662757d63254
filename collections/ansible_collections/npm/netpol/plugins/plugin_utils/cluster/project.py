# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One raw object of the Kubernetes API, from a list or a manifest, to the model's dataclass: pure, never opening.

What is wrong in an object becomes a :class:`Problem` and the closed reading: an address that does not parse is
left out, a pod whose labels cannot be read is marked so that it stays isolated, a NetworkPolicy is never dropped.
Only an object that does not even say which one it is raises :class:`ObjectError`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, TypeGuard

from ..model.problem import Problem
from ..model.snapshot import ClusterNetworkPolicy, NamedPort, Namespace, NetworkPolicy, Node, Pod, Service

NAME_LABEL = "kubernetes.io/metadata.name"
OWN_ANNOTATIONS = "netpol.npm/"
DEFAULT_NAMESPACE = "default"

_OS_LABEL = "kubernetes.io/os"
_VIRTUAL_KUBELET_TYPE = ("type", "virtual-kubelet")
_VIRTUAL_KUBELET_TAINT = "virtual-kubelet.io/provider"
_NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_HIGHEST_PORT = 65535

# Names become comments, file names and chain definitions further on, so only what the API itself admits comes in.
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")

# A policy whose spec cannot be read selects we know not what: all of its namespace, in both directions.
_ISOLATE_NAMESPACE: Mapping[str, Any] = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


class ObjectError(ValueError):
    """An object without a usable name or namespace: nobody can say what leaving it out would open."""


@dataclass(frozen=True, slots=True)
class Object:
    """A raw object with its identity, and where its problems go."""

    kind: str
    namespace: str
    name: str
    raw: Mapping[str, Any]
    problems: list[Problem]

    def report(self, field: str, message: str, effect: str) -> None:
        self.problems.append(Problem(self.kind, self.namespace, self.name, field, message, effect))

    def part(self, name: str, effect: str) -> Mapping[str, Any]:
        """A top-level map such as ``spec``; empty when it is absent or unusable."""
        return self.mapping(self.raw.get(name), name, effect)

    def mapping(self, value: Any, field: str, effect: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self.report(field, f"is {_type(value)}, not a map", effect)
        return {}

    def maps(self, value: Any, field: str, effect: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The maps of a list, each with its path; anything else in it is reported."""
        if value is None:
            return
        if not isinstance(value, list):
            self.report(field, f"is {_type(value)}, not a list", effect)
            return
        for index, each in enumerate(value):
            path = f"{field}[{index}]"
            if isinstance(each, dict):
                yield path, each
            else:
                self.report(path, f"is {_type(each)}, not a map", effect)

    def text(self, value: Any, field: str, effect: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return intern(value)
        self.report(field, f"is {_type(value)}, not a string", effect)
        return ""

    def strings(self, value: Any, field: str, effect: str) -> dict[str, str] | None:
        """A map of strings to strings, such as labels; None when it is not one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.report(field, f"is {_type(value)}, not a map", effect)
            return None
        try:
            return {intern(key): intern(text) for key, text in value.items()}
        except TypeError:
            bad = next(key for key, text in value.items() if not (isinstance(key, str) and isinstance(text, str)))
            self.report(f"{field}[{bad!r}]", f"is {_type(value[bad])}, not a string", effect)
            return None

    def addresses(self, values: Iterator[tuple[str, Any]], effect: str) -> tuple[str, ...]:
        """The addresses in canonical spelling, each once, in the given order; what does not parse is reported."""
        found: dict[str, None] = {}
        for field, value in values:
            address = host_address(value)
            if address is None:
                self.report(field, f"{value!r} is not an IP address of a host", effect)
            else:
                found[address] = None
        return tuple(found)


def namespace(raw: Any, problems: list[Problem]) -> Namespace | None:
    """A namespace with its name label, which every namespace has (rule 12); None when its labels are unusable."""
    source = identify("Namespace", raw, problems, namespaced=False)
    effect = "no namespaceSelector matches its pods"
    labels = source.strings(_metadata(raw).get("labels"), "metadata.labels", effect)
    if labels is None:
        return None
    if labels.setdefault(NAME_LABEL, source.name) != source.name:
        source.report(f"metadata.labels[{NAME_LABEL!r}]", f"is not {source.name!r}", "the namespace's name is taken")
        labels[NAME_LABEL] = source.name
    return Namespace(source.name, labels)


def pod(raw: Any, problems: list[Problem]) -> Pod:
    """A pod as reported, whatever its phase (rules 29 to 31), with the ports that have names (rules 18, 19)."""
    source = identify("Pod", raw, problems)
    metadata = _metadata(raw)
    isolated = "it stays isolated in both directions and is nobody's peer"
    spec = source.part("spec", "it is on no known node, so nothing is enforced for it, and it is nobody's peer")
    status = source.part("status", "its addresses are unknown")
    labels = source.strings(metadata.get("labels"), "metadata.labels", isolated)
    host_network = spec.get("hostNetwork")
    if host_network is not None and not isinstance(host_network, bool):
        source.report("spec.hostNetwork", f"is {_type(host_network)}, not true or false", isolated)
    spec_unusable = raw.get("spec") is not None and not isinstance(raw["spec"], dict)
    return Pod(
        namespace=source.namespace,
        name=source.name,
        labels=labels or {},
        node=source.text(spec.get("nodeName"), "spec.nodeName", "it is on no node"),
        ips=source.addresses(_pod_addresses(source, status), "this address is neither enforced nor allowed"),
        phase=source.text(status.get("phase"), "status.phase", "its phase is unknown"),
        host_network=host_network is True,
        terminating=metadata.get("deletionTimestamp") is not None,
        created=source.text(metadata.get("creationTimestamp"), "metadata.creationTimestamp", "its age is unknown"),
        ports=tuple(dict.fromkeys(_named_ports(source, spec))),
        unreadable=labels is None or spec_unusable or not isinstance(host_network, bool | None),
    )


def node(raw: Any, problems: list[Problem]) -> Node:
    """A node with its addresses, operating system, whether it is virtual, and which machine and start of it this is."""
    source = identify("Node", raw, problems, namespaced=False)
    metadata = _metadata(raw)
    labels = source.strings(metadata.get("labels"), "metadata.labels", "no node selector matches it")
    status = source.part("status", "its addresses are unknown")
    spec = source.part("spec", "its taints are unknown")
    information = source.mapping(status.get("nodeInfo"), "status.nodeInfo", "its operating system is unknown")
    taints = source.maps(spec.get("taints"), "spec.taints", "this taint is not seen")
    taint_keys = [taint.get("key") for _path, taint in taints]
    known = labels or {}
    unknown = "each run takes it for a node that has changed"
    return Node(
        name=source.name,
        labels=known,
        # Without labels a selector such as NotIn would match it: then it must have nothing to be matched for.
        addresses=_node_addresses(source, status) if labels is not None else (),
        os=known.get(_OS_LABEL)
        or source.text(information.get("operatingSystem"), "status.nodeInfo.operatingSystem", "linux is assumed")
        or "linux",
        virtual=known.get(_VIRTUAL_KUBELET_TYPE[0]) == _VIRTUAL_KUBELET_TYPE[1] or _VIRTUAL_KUBELET_TAINT in taint_keys,
        uid=source.text(metadata.get("uid"), "metadata.uid", unknown),
        boot_id=source.text(information.get("bootID"), "status.nodeInfo.bootID", unknown),
    )


def service(raw: Any, problems: list[Problem]) -> Service:
    """What the report on exposed Services needs of one (rule 15: no rule depends on it)."""
    source = identify("Service", raw, problems)
    effect = "the report on exposed Services may lack it"
    spec = source.part("spec", effect)
    return Service(
        namespace=source.namespace,
        name=source.name,
        type=source.text(spec.get("type"), "spec.type", effect) or "ClusterIP",
        selector=source.strings(spec.get("selector"), "spec.selector", effect) or {},
        external_traffic_policy=source.text(spec.get("externalTrafficPolicy"), "spec.externalTrafficPolicy", effect),
    )


def network_policy(raw: Any, problems: list[Problem]) -> NetworkPolicy:
    """A NetworkPolicy, its spec untouched; one that is no map isolates the whole namespace."""
    source = identify("NetworkPolicy", raw, problems)
    annotations = source.mapping(_metadata(raw).get("annotations"), "metadata.annotations", "they are ignored")
    own = {key: value for key, value in annotations.items() if str(key).startswith(OWN_ANNOTATIONS)}
    spec = raw.get("spec")
    if spec is not None and not isinstance(spec, dict):
        source.report("spec", f"is {_type(spec)}, not a map", "every pod of its namespace is isolated, nothing allowed")
        spec = _ISOLATE_NAMESPACE
    return NetworkPolicy(
        namespace=source.namespace,
        name=source.name,
        spec=spec or {},
        annotations=source.strings(own, "metadata.annotations", "ours are ignored") or {},
    )


def cluster_network_policy(raw: Any, problems: list[Problem]) -> ClusterNetworkPolicy:
    """A ClusterNetworkPolicy, its spec untouched."""
    source = identify("ClusterNetworkPolicy", raw, problems, namespaced=False)
    return ClusterNetworkPolicy(source.name, source.part("spec", "it is refused"))


PROJECTIONS: Mapping[str, Callable[[Any, list[Problem]], Any]] = {
    "Namespace": namespace,
    "Pod": pod,
    "Node": node,
    "Service": service,
    "NetworkPolicy": network_policy,
    "ClusterNetworkPolicy": cluster_network_policy,
}
CLUSTER_SCOPED = frozenset({"Namespace", "Node", "ClusterNetworkPolicy"})


def identity(kind: str, raw: Any) -> tuple[str, str]:
    """Namespace (empty for a kind without one) and name.

    Raises :class:`ObjectError` when they cannot be told. Without a namespace an object is in ``default`` (rule 10),
    and one that only has a ``generateName`` goes by that.
    """
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    if not isinstance(metadata, dict):
        raise ObjectError(f"a {kind} has no metadata.name")
    name = metadata.get("name")
    field = "name"
    if name is None and isinstance(metadata.get("generateName"), str):
        field, name = "generateName", metadata["generateName"].rstrip("-.")
    if not _is_name(name):
        raise ObjectError(f"a {kind} has a metadata.{field} that no object can have: {_short(name)}")
    if kind in CLUSTER_SCOPED:
        return "", intern(name)
    own_namespace = metadata.get("namespace")
    if own_namespace is None or own_namespace == "":
        own_namespace = DEFAULT_NAMESPACE
    if not _is_name(own_namespace):
        raise ObjectError(f"{kind} {name}: metadata.namespace is not a name: {_short(own_namespace)}")
    return intern(own_namespace), name


def identify(kind: str, raw: Any, problems: list[Problem], *, namespaced: bool = True) -> Object:
    """The object with its identity; what is wrong in its fields goes to ``problems``. Raises :class:`ObjectError`."""
    own_namespace, name = identity(kind, raw)
    return Object(kind, own_namespace if namespaced else "", name, raw, problems)


def _metadata(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata: Mapping[str, Any] = raw["metadata"]
    return metadata


def _pod_addresses(source: Object, status: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    several = status.get("podIPs")
    if several:
        for path, each in source.maps(several, "status.podIPs", "this address is neither enforced nor allowed"):
            yield f"{path}.ip", each.get("ip")
    elif status.get("podIP"):
        yield "status.podIP", status["podIP"]


def _node_addresses(source: Object, status: Mapping[str, Any]) -> tuple[str, ...]:
    effect = "this address is ignored"
    listed = source.maps(status.get("addresses"), "status.addresses", effect)
    wanted = (
        (f"{path}.address", each.get("address")) for path, each in listed if each.get("type") in _NODE_ADDRESS_TYPES
    )
    return source.addresses(wanted, effect)


def _named_ports(source: Object, spec: Mapping[str, Any]) -> Iterator[NamedPort]:
    effect = "no policy finds this port by its name"
    for container_path, container in _containers(source, spec, effect):
        for path, port in source.maps(container.get("ports"), f"{container_path}.ports", effect):
            name = port.get("name")
            if name is None or name == "":
                continue
            number = port.get("containerPort")
            protocol = port.get("protocol") or "TCP"
            if not isinstance(name, str):
                source.report(f"{path}.name", f"is {_type(name)}, not a string", effect)
            elif not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= _HIGHEST_PORT:
                source.report(f"{path}.containerPort", f"{_short(number)} is not a port number", effect)
            elif protocol not in _PROTOCOLS:
                source.report(f"{path}.protocol", f"{_short(protocol)} is not TCP, UDP or SCTP", effect)
            else:
                yield NamedPort(intern(name), intern(protocol), number)


def _containers(source: Object, spec: Mapping[str, Any], effect: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from source.maps(spec.get("containers"), "spec.containers", effect)
    for path, container in source.maps(spec.get("initContainers"), "spec.initContainers", effect):
        if container.get("restartPolicy") == "Always":
            yield path, container


def host_address(value: Any) -> str | None:
    """The canonical spelling of a host's IP address; None for anything else."""
    if not isinstance(value, str) or "%" in value:
        return None
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    # No host has these, and ipset refuses the first as a member, the whole file with it.
    if address.is_unspecified or address.is_multicast:
        return None
    return str(address)


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _DNS_SUBDOMAIN.fullmatch(value) is not None


def _type(value: Any) -> str:
    names = {dict: "a map", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}…"
