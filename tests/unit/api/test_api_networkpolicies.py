# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Kubernetes' own tests ask of the NetworkPolicy API: its discovery, its operations, and what endPort may be."""

from __future__ import annotations

import itertools

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

RULE = {"from": [{"podSelector": {"matchLabels": {"pod": "a"}}, "namespaceSelector": {"matchLabels": {"ns": "y"}}}]}
LABEL = "suite=mine"


@pytest.fixture
def networking(official: client.ApiClient) -> client.NetworkingV1Api:
    return client.NetworkingV1Api(official)


def policy(**spec: object) -> dict:
    metadata = {"generateName": "example-", "labels": {"suite": "mine"}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": {"matchLabels": {"pod": "server"}}, **spec},
    }


def test_the_group_its_version_and_the_resource_are_found(
    official: client.ApiClient, networking: client.NetworkingV1Api
) -> None:
    groups = {group.name: group for group in client.ApisApi(official).get_api_versions().groups}
    assert "v1" in {version.version for version in groups["networking.k8s.io"].versions}
    assert "v1" in {version.version for version in client.NetworkingApi(official).get_api_group().versions}
    resources = {resource.name: resource for resource in networking.get_api_resources().resources}
    every_verb = {"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}
    assert every_verb <= set(resources["networkpolicies"].verbs)


def test_every_operation(networking: client.NetworkingV1Api) -> None:
    made = [networking.create_namespaced_network_policy("default", policy(ingress=[RULE])) for _number in range(3)]
    last = made[-1].metadata
    assert len({each.metadata.name for each in made}) == 3
    assert networking.read_namespaced_network_policy(last.name, "default").metadata.uid == last.uid
    networking.create_namespaced_network_policy("default", policy() | {"metadata": {"name": "no-label"}})

    listed = networking.list_namespaced_network_policy("default", label_selector=LABEL)
    everywhere = networking.list_network_policy_for_all_namespaces(label_selector=LABEL)
    assert len(listed.items) == len(everywhere.items) == 3

    change = {"metadata": {"annotations": {"patched": "true"}}}
    patched = networking.patch_namespaced_network_policy(last.name, "default", change)
    assert patched.metadata.annotations == {"patched": "true"}
    patched.metadata.annotations["updated"] = "true"
    updated = networking.replace_namespaced_network_policy(last.name, "default", patched)
    assert updated.metadata.annotations == {"patched": "true", "updated": "true"}

    options = {"label_selector": LABEL, "resource_version": listed.metadata.resource_version, "timeout_seconds": 5}
    for function, arguments in (
        (networking.list_namespaced_network_policy, ["default"]),
        (networking.list_network_policy_for_all_namespaces, []),
    ):
        events = list(itertools.islice(watch.Watch().stream(function, *arguments, **options), 2))
        assert [(event["type"], event["object"].metadata.name) for event in events] == [("MODIFIED", last.name)] * 2
        assert events[-1]["object"].metadata.annotations == {"patched": "true", "updated": "true"}

    networking.delete_namespaced_network_policy(last.name, "default")
    with pytest.raises(ApiException) as caught:
        networking.read_namespaced_network_policy(last.name, "default")
    assert caught.value.status == 404
    assert len(networking.list_namespaced_network_policy("default", label_selector=LABEL).items) == 2

    networking.delete_collection_namespaced_network_policy("default", label_selector=LABEL)
    assert [each.metadata.name for each in networking.list_namespaced_network_policy("default").items] == ["no-label"]


@pytest.mark.parametrize(
    ("port", "accepted"),
    [
        ({"endPort": 20000}, False),
        ({"port": "serve-80", "endPort": 20000}, False),
        ({"port": 30000, "endPort": 20000}, False),
        ({"port": 20000, "endPort": 20000}, True),
        ({"port": 10000, "endPort": 20000}, True),
    ],
)
def test_what_end_port_may_be(networking: client.NetworkingV1Api, port: dict, accepted: bool) -> None:
    body = policy(egress=[{"ports": [port]}])
    if accepted:
        made = networking.create_namespaced_network_policy("default", body)
        assert made.spec.egress[0].ports[0].end_port == 20000
    else:
        with pytest.raises(ApiException) as caught:
            networking.create_namespaced_network_policy("default", body)
        assert caught.value.status == 422
