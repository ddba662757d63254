# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo's manifests and its expected tables: they parse, fit each other and leave nothing out."""

from __future__ import annotations

import pytest
import yaml
from lab.demo.cluster import MANIFESTS, lab_spec, manifests, policy
from lab.demo.paths import PATHS, SOURCE_POD, WEB_POD, Situation

INVENTORY = MANIFESTS.parent
FILES = sorted(INVENTORY.rglob("*.yml"))
POLICIES = ("deny-all-inbound", "allow-go-webapp", "allow-src-ip")


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(INVENTORY)) for file in FILES])
def test_every_file_parses_and_every_manifest_is_an_object_of_the_default_namespace(file):
    documents = list(yaml.safe_load_all(file.read_text()))
    assert all(isinstance(each, dict) for each in documents)
    if MANIFESTS in file.parents:
        assert {each["metadata"]["namespace"] for each in documents} == {"default"}
        assert all(each["apiVersion"] and each["kind"] and each["metadata"]["name"] for each in documents)


def test_a_policy_s_file_is_named_by_its_step_and_its_name():
    files = sorted(file.stem for file in (MANIFESTS / "policies").glob("*.yml"))
    assert files == [f"{step}-{name}" for step, name in enumerate(POLICIES, 2)]
    assert [each["metadata"]["name"] for each in manifests("policies")] == list(POLICIES)


def test_the_policies_are_those_of_the_walk_through():
    deny, web, source = (policy(name)["spec"] for name in POLICIES)
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert web["podSelector"] == {"matchLabels": {"app": "go-webapp"}}
    assert web["ingress"] == [{"from": [], "ports": [{"protocol": "TCP", "port": 8080}]}]
    assert source["podSelector"] == {"matchLabels": {"app": "src-ip-internal"}}
    assert source["ingress"][0]["from"] == [{"podSelector": {"matchLabels": {"app": "busybox"}}}]


def test_the_lab_has_two_nodes_and_a_client_on_each_side_of_src_ip_internal():
    spec = lab_spec()
    node = {pod.key: pod.node for pod in spec.pods}
    assert len(spec.nodes) == 2
    assert node[SOURCE_POD] != node[WEB_POD]
    assert node["default/busybox-0"] == node[SOURCE_POD] != node["default/busybox-1"]


def test_the_internal_balancer_has_the_address_that_its_annotations_ask_for():
    asked = {each.name: each.load_balancer_ips for each in lab_spec().services}
    assert asked["src-ip-internal"] == ("10.240.0.100", "fd00:10:240::100")
    assert {each.name: each.load_balancer_ips for each in lab_spec(families=("ipv6",)).services} == {
        **dict.fromkeys(asked, ()),
        "src-ip-internal": ("fd00:10:240::100",),
    }


def test_every_path_leads_from_a_place_of_the_lab_to_an_address_that_exists():
    spec = lab_spec()
    places = {pod.key for pod in spec.pods} | {node.name for node in spec.nodes} | {"ext"}
    services = {service.name: service for service in spec.services}
    for path in PATHS:
        assert path.client in places
        service = services[path.service]
        assert service.selector == {"app": path.server.removeprefix("default/")}
        assert path.by in ("pod", "ClusterIP") or service.type == "LoadBalancer"
        assert (path.by == "internal") <= bool(service.load_balancer_ips)


def test_only_a_balancer_with_policy_cluster_hides_the_client():
    policies = {service.name: service.external_traffic_policy for service in lab_spec().services}
    for path in PATHS:
        hides = path.by in ("internal", "public") and policies[path.service] == "Cluster"
        assert path.source == ("node's" if hides else "own"), path


def test_no_path_of_the_walk_through_is_left_out():
    tried = {(path.client.removeprefix("default/"), path.server, path.by) for path in PATHS}
    wanted = {("ext", WEB_POD, "public"), ("ext", SOURCE_POD, "public")}
    for client in ("busybox-0", "busybox-1", "other"):
        wanted |= {(client, SOURCE_POD, by) for by in ("ClusterIP", "internal", "public")}
    wanted |= {(client, WEB_POD, by) for client in ("busybox-0", "other") for by in ("ClusterIP", "public")}
    assert wanted <= tried
    assert len({(path.client, path.service, path.by) for path in PATHS}) == len(PATHS)


def test_the_expected_tables_follow_from_the_policies():
    """Written again from the rules: 1 (isolated), 6 (an empty from), 8 and 27 (the address seen), 33 (own node)."""
    node = {pod.key: pod.node for pod in lab_spec().pods}
    for path in PATHS:
        judged = path.by != "pod"
        seen_as_pod = path.source == "own" or node.get(path.client) == node[path.server]
        named = "busybox" in path.client and path.server == SOURCE_POD and seen_as_pod
        web = path.server == WEB_POD
        expected = {
            Situation.NO_POLICY: True,
            Situation.DENY_ALL: not judged,
            Situation.WEB_ALLOWED: not judged or web,
            Situation.SOURCE_ALLOWED: not judged or web or named,
            Situation.TORN: True,
        }
        assert path.reaches == {situation for situation, reached in expected.items() if reached}, path
