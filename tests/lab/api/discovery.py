# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the server says about itself: versions, groups and resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .features import Features
from .resources import VERBS, Catalog, Resource

REVIEWS_GROUP = "authorization.k8s.io"
_REVIEWS = {
    "name": "selfsubjectaccessreviews",
    "singularName": "selfsubjectaccessreview",
    "namespaced": False,
    "kind": "SelfSubjectAccessReview",
    "verbs": ["create"],
}
_EXEC = {
    "name": "pods/exec",
    "singularName": "",
    "namespaced": True,
    "kind": "PodExecOptions",
    "verbs": ["create", "get"],
}


def document_at(catalog: Catalog, features: Features, path: Sequence[str]) -> dict[str, Any] | None:
    """The discovery document of a path (its segments), or None when there is none."""
    groups = {each.group: each.version for each in catalog.served() if each.group} | {REVIEWS_GROUP: "v1"}
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]
    listed = [_group(name, groups[name]) for name in sorted(groups)]
    documents: dict[tuple[str, ...], dict[str, Any]] = {
        ("version",): features.version(),
        ("api",): {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses},
        ("apis",): {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed},
        ("api", "v1"): _resource_list(catalog, "", "v1"),
    }
    for name, version in groups.items():
        documents["apis", name] = {"kind": "APIGroup", "apiVersion": "v1", **_group(name, version)}
        documents["apis", name, version] = _resource_list(catalog, name, version)
    return documents.get(tuple(path))


def _group(name: str, version: str) -> dict[str, Any]:
    entry = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resource_list(catalog: Catalog, group: str, version: str) -> dict[str, Any]:
    served = [each for each in catalog.served() if (each.group, each.version) == (group, version)]
    listed = [entry for resource in served for entry in _entries(resource)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [dict(_REVIEWS)] if group == REVIEWS_GROUP else listed,
    }


def _entries(resource: Resource) -> list[dict[str, Any]]:
    entry = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(VERBS),
        "shortNames": list(resource.short_names),
    }
    if not resource.status:
        return [entry]
    status = {"name": f"{resource.plural}/status", "singularName": "", "verbs": ["get", "patch", "update"]}
    entries = [entry, status | {"namespaced": resource.namespaced, "kind": resource.kind}]
    return [*entries, dict(_EXEC)] if resource.kind == "Pod" else entries
