# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which resources the server knows, and which of them it serves at the moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import errors

OBJECT_FIELDS = ("metadata.name", "metadata.namespace")
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API version.

    ``fields``: what field selectors may name, beside name and namespace. ``status``: has the subresource ``/status``.
    ``generation``: metadata.generation counts the changes of its spec. ``custom``: defined by a
    CustomResourceDefinition, so items of its lists carry their kind, and strategic merge patches are refused.
    ``optional``: not served until switched on.
    """

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    custom: bool = False
    optional: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> bytes:
        """How an object of this kind begins; a stored body goes on after its opening brace."""
        return f'{{"kind":"{self.kind}","apiVersion":"{self.api_version}",'.encode()


RESOURCES = (
    Resource("", "v1", "configmaps", "configmap", "ConfigMap", short_names=("cm",)),
    Resource("", "v1", "namespaces", "namespace", "Namespace", False, ("ns",), ("status.phase",), status=True),
    Resource("", "v1", "nodes", "node", "Node", False, ("no",), ("spec.unschedulable",), status=True),
    Resource(
        "",
        "v1",
        "pods",
        "pod",
        "Pod",
        short_names=("po",),
        fields=(
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
        ),
        status=True,
    ),
    Resource("", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", short_names=("sa",)),
    Resource("", "v1", "services", "service", "Service", True, ("svc",), ("spec.clusterIP", "spec.type"), status=True),
    Resource("discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice", generation=True),
    Resource(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "networkpolicy",
        "NetworkPolicy",
        True,
        ("netpol",),
        generation=True,
    ),
    Resource(
        "policy.networking.k8s.io",
        "v1alpha2",
        "clusternetworkpolicies",
        "clusternetworkpolicy",
        "ClusterNetworkPolicy",
        False,
        ("cnp",),
        generation=True,
        custom=True,
        optional=True,
    ),
    Resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicies",
        "validatingadmissionpolicy",
        "ValidatingAdmissionPolicy",
        False,
        status=True,
        generation=True,
    ),
    Resource(
        "admissionregistration.k8s.io",
        "v1",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
        "ValidatingAdmissionPolicyBinding",
        False,
        generation=True,
    ),
    Resource(
        "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", False
    ),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "clusterrole", "ClusterRole", False),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "rolebinding", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "role", "Role"),
)


class Catalog:
    """The resources that are served; optional ones can be switched on and off while the server runs."""

    def __init__(self, optional: Iterable[str] = ()) -> None:
        self._switched_on: frozenset[str] = frozenset()
        self.serve(optional)

    def serve(self, optional: Iterable[str]) -> None:
        """Serve exactly these optional resources (plurals). ValueError for any other name."""
        wanted = frozenset(optional)
        if unknown := wanted - {resource.plural for resource in RESOURCES if resource.optional}:
            raise ValueError(f"not an optional resource: {', '.join(sorted(unknown))}")
        self._switched_on = wanted

    def served(self) -> list[Resource]:
        return [resource for resource in RESOURCES if not resource.optional or resource.plural in self._switched_on]

    def find(self, group: str, version: str, plural: str) -> Resource:
        for resource in self.served():
            if (resource.group, resource.version, resource.plural) == (group, version, plural):
                return resource
        raise errors.no_such_path()

    def by_plural(self, plural: str) -> Resource:
        for resource in self.served():
            if resource.plural == plural:
                return resource
        raise KeyError(f"no resource {plural!r} is served")

    def of(self, document: Mapping[str, Any]) -> Resource:
        """The resource of an object, by its apiVersion and kind."""
        wanted = (document.get("apiVersion"), document.get("kind"))
        for resource in self.served():
            if (resource.api_version, resource.kind) == wanted:
                return resource
        raise errors.bad_request(f"no resource is served for apiVersion {wanted[0]!r}, kind {wanted[1]!r}")
