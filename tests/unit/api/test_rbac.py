# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A ServiceAccount may do what the RBAC objects of a manifest say, there where they say it, and nothing else."""

from __future__ import annotations

import json

import pytest
import yaml
from kubernetes import client
from lab.api import ApiServer, service_account

MANIFEST = """
kind: ClusterRole
metadata: {name: look}
rules: [{apiGroups: [""], resources: [nodes, pods], verbs: [list]}]
---
kind: ClusterRoleBinding
metadata: {name: look}
roleRef: {kind: ClusterRole, name: look}
subjects: [{kind: ServiceAccount, name: runner, namespace: tools}]
---
kind: Role
metadata: {name: helpers, namespace: tools}
rules: [{apiGroups: [""], resources: [pods], verbs: [create]}]
---
kind: RoleBinding
metadata: {name: helpers, namespace: tools}
roleRef: {kind: Role, name: helpers}
subjects: [{kind: ServiceAccount, name: runner}]
---
kind: RoleBinding
metadata: {name: foreign, namespace: tools}
roleRef: {kind: ClusterRole, name: nonesuch}
subjects: [{kind: ServiceAccount, name: other, namespace: tools}]
"""
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
def documents() -> list[dict[str, object]]:
    return list(yaml.safe_load_all(MANIFEST))


def test_roles_hold_where_they_are_bound(api: ApiServer, core: client.CoreV1Api, documents: list[object]) -> None:
    identity = service_account(documents, "tools", "runner")
    api.identities.add(identity)
    core.create_namespace({"metadata": {"name": "tools"}})
    configuration = client.Configuration(host=api.url, api_key={"BearerToken": f"Bearer {identity.token}"})
    configuration.ssl_ca_cert = str(api.ca_file)
    restricted = client.CoreV1Api(client.ApiClient(configuration))
    assert restricted.list_node().items == []
    restricted.create_namespaced_pod("tools", POD)
    with pytest.raises(client.ApiException) as caught:
        restricted.create_namespaced_pod("default", POD)
    assert json.loads(caught.value.body)["message"] == (
        'pods is forbidden: User "system:serviceaccount:tools:runner" cannot create resource "pods" '
        'in API group "" in the namespace "default"'
    )


def test_who_is_bound_to_nothing_may_do_nothing(documents: list[dict[str, object]]) -> None:
    assert service_account(documents, "default", "runner").rules == ()


def test_a_binding_to_a_role_that_is_not_there(documents: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match="RoleBinding foreign: no ClusterRole 'nonesuch' is there"):
        service_account(documents, "tools", "other")
