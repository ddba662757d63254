# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What RBAC manifests grant a ServiceAccount: so that a manifest that is shipped can be tried as it is."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Iterator

from .identities import Identity, Rule
from .records import Object


def service_account(documents: Iterable[Object], namespace: str, name: str) -> Identity:
    """The identity, with a new token, that has exactly the rights of these (Cluster)Roles and their bindings.

    ValueError for a binding to a role that is not among the documents.
    """
    known = list(documents)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    user = f"system:serviceaccount:{namespace}:{name}"
    rules = [
        rule
        for binding in known
        if binding["kind"] in {"RoleBinding", "ClusterRoleBinding"}
        and any(_is_meant(subject, binding, namespace, name, user, groups) for subject in binding.get("subjects") or ())
        for rule in _granted(binding, known)
    ]
    return Identity(user, secrets.token_urlsafe(24), groups, tuple(rules))


def _is_meant(subject: Object, binding: Object, namespace: str, name: str, user: str, groups: tuple[str, ...]) -> bool:
    match subject["kind"]:
        case "ServiceAccount":
            where = subject.get("namespace", binding["metadata"].get("namespace", ""))
            return (where, subject["name"]) == (namespace, name)
        case "Group":
            return subject["name"] in groups
        case _:
            return bool(subject["name"] == user)


def _granted(binding: Object, known: Iterable[Object]) -> Iterator[Rule]:
    """Of a RoleBinding: in its namespace only, whatever kind of role it names."""
    where = binding["metadata"].get("namespace", "default") if binding["kind"] == "RoleBinding" else ""
    role = binding["roleRef"]
    for document in known:
        same = (document["kind"], document["metadata"]["name"]) == (role["kind"], role["name"])
        if same and (role["kind"] == "ClusterRole" or document["metadata"].get("namespace", "default") == where):
            for rule in document.get("rules") or ():
                yield dataclasses.replace(Rule.from_json(rule), namespace=where)
            return
    raise ValueError(f"{binding['kind']} {binding['metadata']['name']}: no {role['kind']} {role['name']!r} is there")
