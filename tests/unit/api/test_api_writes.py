# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Creating, replacing, patching and deleting by the official client, and the Status that each refusal answers with."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from kubernetes import client, dynamic
from kubernetes.client.exceptions import ApiException
from lab.api import ApiError, ApiServer

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"a": "1"}}, "spec": {}}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "registry.invalid/i"}]},
}


def refusal(caught: pytest.ExceptionInfo[ApiException]) -> tuple[int, str]:
    status = json.loads(caught.value.body)
    assert status["kind"] == "Status"
    assert status["code"] == caught.value.status
    return status["code"], status["reason"]


def test_created_objects_get_what_the_server_gives(core: client.CoreV1Api) -> None:
    first = core.create_namespaced_pod("default", POD)
    body = {**POD, "metadata": {"generateName": "web-"}}
    second = core.create_namespaced_pod("default", body)
    assert first.metadata.uid != second.metadata.uid
    assert first.metadata.namespace == "default"
    assert first.metadata.creation_timestamp is not None
    assert int(second.metadata.resource_version) == int(first.metadata.resource_version) + 1
    assert second.metadata.name.startswith("web-")
    assert len(second.metadata.name) == len("web-") + 5


def test_namespaces_carry_their_name_as_a_label(core: client.CoreV1Api) -> None:
    made = core.create_namespace({"metadata": {"name": "shop"}})
    assert made.metadata.labels == {"kubernetes.io/metadata.name": "shop"}
    assert made.status.phase == "Active"
    kept = core.patch_namespace("shop", {"metadata": {"labels": {"kubernetes.io/metadata.name": None, "team": "x"}}})
    assert kept.metadata.labels == {"kubernetes.io/metadata.name": "shop", "team": "x"}
    assert core.read_namespace("kube-system").metadata.uid


def test_what_exists_or_does_not(core: client.CoreV1Api) -> None:
    core.create_node(NODE)
    with pytest.raises(ApiException) as caught:
        core.create_node(NODE)
    assert refusal(caught) == (409, "AlreadyExists")
    with pytest.raises(ApiException) as caught:
        core.read_node("n2")
    assert refusal(caught) == (404, "NotFound")
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_pod("nowhere", POD)
    assert refusal(caught) == (404, "NotFound")


def test_a_replacement_of_an_older_version_is_a_conflict(core: client.CoreV1Api) -> None:
    old = core.create_node(NODE).to_dict()
    core.patch_node("n1", {"metadata": {"labels": {"b": "2"}}})
    with pytest.raises(ApiException) as caught:
        core.replace_node("n1", old)
    assert refusal(caught) == (409, "Conflict")
    with pytest.raises(ApiException) as caught:
        core.patch_node("n1", {"metadata": {"resourceVersion": "1", "labels": {"c": "3"}}})
    assert refusal(caught) == (409, "Conflict")
    assert core.replace_node("n1", NODE).metadata.labels == {"a": "1"}


def test_an_update_that_changes_nothing_keeps_the_version(api: ApiServer, core: client.CoreV1Api) -> None:
    core.create_node(NODE)
    before = api.store.resource_version
    core.patch_node("n1", {"metadata": {"labels": {"a": "1"}}})
    assert api.store.resource_version == before


def test_nodes_are_patched_in_each_format(core: client.CoreV1Api) -> None:
    core.create_node(NODE)
    core.patch_node("n1", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})
    strategic = {"spec": {"taints": [{"key": "b", "effect": "NoExecute"}]}}
    node = core.patch_node("n1", strategic, _content_type="application/strategic-merge-patch+json")
    assert [taint.key for taint in node.spec.taints] == ["a", "b"]
    node = core.patch_node("n1", strategic, _content_type="application/merge-patch+json")
    assert [taint.key for taint in node.spec.taints] == ["b"]
    operations = [
        {"op": "test", "path": "/metadata/labels/a", "value": "1"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/x~1y", "value": "z"},
        {"op": "remove", "path": "/spec/taints/0"},
    ]
    node = core.patch_node("n1", operations, _content_type="application/json-patch+json")
    assert node.metadata.annotations == {"x/y": "z"}
    assert not node.spec.taints
    with pytest.raises(ApiException) as caught:
        core.patch_node("n1", operations, _content_type="application/json-patch+json")
    assert refusal(caught) == (422, "Invalid")
    with pytest.raises(ApiException) as caught:
        core.patch_node("n1", {}, _content_type="application/apply-patch+yaml")
    assert refusal(caught) == (415, "UnsupportedMediaType")


def test_the_status_subresource_leaves_the_spec_alone(core: client.CoreV1Api) -> None:
    core.create_node(NODE)
    change = {"status": {"conditions": [{"type": "NetworkReady", "status": "True"}]}, "spec": {"unschedulable": True}}
    node = core.patch_node_status("n1", change)
    assert node.status.conditions[0].type == "NetworkReady"
    assert node.spec.unschedulable is None
    more = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    node = core.patch_node_status("n1", more, _content_type="application/strategic-merge-patch+json")
    assert [condition.type for condition in node.status.conditions] == ["NetworkReady", "Ready"]
    core.create_namespaced_pod("default", POD)
    pod = core.patch_namespaced_pod_status("p", "default", {"status": {"phase": "Succeeded"}})
    assert pod.status.phase == "Succeeded"
    assert pod.spec.containers[0].name == "c"


def test_a_dry_run_stores_nothing(api: ApiServer, core: client.CoreV1Api) -> None:
    before = api.store.resource_version
    assert core.create_node(NODE, dry_run="All").metadata.name == "n1"
    assert api.store.resource_version == before
    with pytest.raises(ApiException):
        core.read_node("n1")


def test_deleting_a_namespace_takes_its_objects(api: ApiServer, core: client.CoreV1Api) -> None:
    core.create_namespace({"metadata": {"name": "shop"}})
    for namespace in ("shop", "default"):
        core.create_namespaced_pod(namespace, POD)
    answer = core.delete_namespace("shop")
    assert answer["status"] == "Success"
    assert [pod.metadata.namespace for pod in core.list_pod_for_all_namespaces().items] == ["default"]
    with pytest.raises(ApiException) as caught:
        core.delete_namespace("shop")
    assert refusal(caught) == (404, "NotFound")


def test_preconditions_of_a_deletion(core: client.CoreV1Api) -> None:
    core.create_node(NODE)
    with pytest.raises(ApiException) as caught:
        core.delete_node("n1", body={"preconditions": {"uid": "another"}})
    assert refusal(caught) == (409, "Conflict")
    core.delete_node("n1")


def test_finalizers_hold_an_object_back(core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", {**POD, "metadata": {"name": "p", "finalizers": ["example.com/x"]}})
    core.delete_namespaced_pod("p", "default")
    assert core.read_namespaced_pod("p", "default").metadata.deletion_timestamp is not None
    core.patch_namespaced_pod("p", "default", {"metadata": {"finalizers": None}})
    with pytest.raises(ApiException) as caught:
        core.read_namespaced_pod("p", "default")
    assert refusal(caught) == (404, "NotFound")


def test_a_collection_is_deleted_by_selector(core: client.CoreV1Api) -> None:
    for name, app in (("a", "web"), ("b", "db")):
        core.create_namespaced_pod("default", {**POD, "metadata": {"name": name, "labels": {"app": app}}})
    core.delete_collection_namespaced_pod("default", label_selector="app=web")
    assert [pod.metadata.name for pod in core.list_namespaced_pod("default").items] == ["b"]


def test_network_policies_are_defaulted_and_counted(api: ApiServer, official: client.ApiClient) -> None:
    networking = client.NetworkingV1Api(official)
    spec = {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}], "egress": [{}]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": spec}
    made = networking.create_namespaced_network_policy("default", policy)
    assert made.spec.policy_types == ["Ingress", "Egress"]
    assert made.spec.ingress[0].ports[0].protocol == "TCP"
    assert made.metadata.generation == 1
    labelled = networking.patch_namespaced_network_policy("x", "default", {"metadata": {"labels": {"a": "b"}}})
    assert labelled.metadata.generation == 1
    changed = networking.patch_namespaced_network_policy("x", "default", {"spec": {"egress": None}})
    assert changed.metadata.generation == 2
    assert changed.spec.policy_types == ["Ingress", "Egress"]


def test_a_config_map_is_written_and_replaced_under_its_version(core: client.CoreV1Api) -> None:
    body = {"metadata": {"name": "state"}, "data": {"a": "1"}, "binaryData": {"b": b64encode(b"\xff\0").decode()}}
    made = core.create_namespaced_config_map("default", body)
    assert (made.data, made.binary_data) == ({"a": "1"}, {"b": "/wA="})
    version = made.metadata.resource_version
    second = body | {"metadata": {"name": "state", "resourceVersion": version}, "data": {"a": "2"}}
    assert core.replace_namespaced_config_map("state", "default", second).metadata.resource_version != version
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("state", "default", second | {"data": {"a": "3"}})
    assert refusal(caught) == (409, "Conflict")
    assert core.read_namespaced_config_map("state", "default").data == {"a": "2"}
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_config_map("default", body)
    assert refusal(caught) == (409, "AlreadyExists")
    core.delete_namespaced_config_map("state", "default")
    with pytest.raises(ApiException) as caught:
        core.replace_namespaced_config_map("state", "default", body)
    assert refusal(caught) == (404, "NotFound")


def test_a_config_map_has_at_most_a_mebibyte_which_base64_does_not_count_in(core: client.CoreV1Api) -> None:
    def make(name: str, text: int, binary: int) -> None:
        data = {"data": {"a": "x" * text}, "binaryData": {"b": b64encode(bytes(binary)).decode()}}
        core.create_namespaced_config_map("default", {"metadata": {"name": name}, **data})

    make("most", 1000, 2**20 - 1000)
    with pytest.raises(ApiException) as caught:
        make("more", 1001, 2**20 - 1000)
    assert refusal(caught) == (422, "Invalid")
    assert "Too long: must have at most 1048576 bytes" in caught.value.body
    with pytest.raises(ApiException) as caught:
        make("huge", 0, 3 * 2**20)
    assert refusal(caught) == (413, "RequestEntityTooLarge")
    assert "limit is 3145728" in caught.value.body
    assert [each.metadata.name for each in core.list_namespaced_config_map("default").items] == ["most"]


def test_what_no_config_map_can_have(api: ApiServer) -> None:
    for fields, code in (
        ({"data": {"a/b": ""}}, 422),
        ({"data": {"..": ""}}, 422),
        ({"data": {"a": ""}, "binaryData": {"a": ""}}, 422),
        ({"data": {"a": 1}}, 400),
        ({"binaryData": {"a": "%"}}, 400),
    ):
        with pytest.raises(ApiError) as caught:
            api.store.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, **fields})
        assert caught.value.code == code


def test_without_validation_bad_objects_are_stored_as_they_are(api: ApiServer, official: client.ApiClient) -> None:
    networking = client.NetworkingV1Api(official)
    spec = {"podSelector": {}, "ingress": [{"from": [{}], "ports": [{"port": 99999}]}]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"}, "spec": spec}
    with pytest.raises(ApiException) as caught:
        networking.create_namespaced_network_policy("default", policy)
    assert refusal(caught) == (422, "Invalid")
    fields = [cause["field"] for cause in json.loads(caught.value.body)["details"]["causes"]]
    assert fields == ["spec.ingress[0].ports[0].port", "spec.ingress[0].from[0]"]
    api.store.validate = False
    networking.create_namespaced_network_policy("gone", policy)
    assert api.store.document("networkpolicies", "x", "gone")["spec"] == spec


def test_cluster_network_policies_exist_only_when_switched_on(api: ApiServer, official: client.ApiClient) -> None:
    custom = client.CustomObjectsApi(official)
    place = ("policy.networking.k8s.io", "v1alpha2", "clusternetworkpolicies")
    with pytest.raises(ApiException) as caught:
        custom.list_cluster_custom_object(*place)
    assert refusal(caught) == (404, "NotFound")
    assert place[0] not in [group.name for group in client.ApisApi(official).get_api_versions().groups]
    api.store.catalog.serve(["clusternetworkpolicies"])
    assert place[0] in [group.name for group in client.ApisApi(official).get_api_versions().groups]
    body = {"apiVersion": f"{place[0]}/v1alpha2", "kind": "ClusterNetworkPolicy", "metadata": {"name": "x"}, "spec": {}}
    custom.create_cluster_custom_object(*place, body)
    (item,) = custom.list_cluster_custom_object(*place)["items"]
    assert item["kind"] == "ClusterNetworkPolicy"


def test_the_dynamic_client_finds_and_uses_resources(official: client.ApiClient) -> None:
    nodes = dynamic.DynamicClient(official).resources.get(api_version="v1", kind="Node")
    nodes.create(body=NODE)
    body = {"metadata": {"annotations": {"x": "y"}}}
    nodes.patch(name="n1", body=body, content_type="application/merge-patch+json")
    assert nodes.get(label_selector="a=1").items[0].metadata.annotations.x == "y"


def test_the_body_and_the_path_have_to_agree(core: client.CoreV1Api) -> None:
    for body in (
        {**POD, "kind": "Node"},
        {**POD, "metadata": {"name": "p", "namespace": "kube-system"}},
        {"kind": "Pod"},
    ):
        with pytest.raises(ApiException) as caught:
            core.create_namespaced_pod("default", body)
        assert refusal(caught) == (400, "BadRequest")
    core.create_node(NODE)
    with pytest.raises(ApiException) as caught:
        core.replace_node("n1", {**NODE, "metadata": {"name": "n2"}})
    assert refusal(caught) == (400, "BadRequest")
