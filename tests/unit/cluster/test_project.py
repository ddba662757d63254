# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From raw objects to the model: what is kept, and that nothing malformed crashes or opens anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import project
from ansible_collections.npm.netpol.plugins.plugin_utils.model.problem import Problem
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Service,
    dump,
    make,
)
from hypothesis import given, settings
from hypothesis import strategies as st


def raw_pod(**parts: Any) -> dict[str, Any]:
    metadata = {"name": "web-1", "namespace": "shop", "labels": {"app": "web"}} | parts.pop("metadata", {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **parts}


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def test_a_pod_keeps_what_enforcement_needs() -> None:
    problems: list[Problem] = []
    raw = raw_pod(
        metadata={"creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": "2026-01-02T04:00:00Z"},
        spec={
            "nodeName": "aks-1",
            "hostNetwork": False,
            "containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9}]}],
        },
        status={"phase": "Running", "podIP": "10.0.0.7", "podIPs": [{"ip": "10.0.0.7"}, {"ip": "FD00:0::7"}]},
    )
    assert project.pod(raw, problems) == Pod(
        namespace="shop",
        name="web-1",
        labels={"app": "web"},
        node="aks-1",
        ips=("10.0.0.7", "fd00::7"),
        phase="Running",
        terminating=True,
        created="2026-01-02T03:04:05Z",
        ports=(NamedPort("http", "TCP", 8080),),
    )
    assert problems == []


def test_rule_31_pod_ip_alone_counts_only_without_pod_ips() -> None:
    assert project.pod(raw_pod(status={"podIP": "10.0.0.7"}), []).ips == ("10.0.0.7",)
    both = {"podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.7"}]}
    assert project.pod(raw_pod(status=both), []).ips == ("10.0.0.7",)


def test_rule_30_a_pod_without_status_has_no_address_and_no_problem() -> None:
    problems: list[Problem] = []
    assert project.pod(raw_pod(), problems).ips == ()
    assert problems == []


def test_rules_18_and_19_named_ports_of_containers_and_restartable_init_containers() -> None:
    def container(port: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"name": "c", "ports": [port], **more}

    spec = {
        "containers": [
            container({"name": "http", "containerPort": 80}),
            container({"name": "http", "containerPort": 8080}),
            container({"name": "http", "containerPort": 80, "protocol": "UDP"}),
            container({"name": "http", "containerPort": 80}),
        ],
        "initContainers": [
            container({"name": "mesh", "containerPort": 15001}, restartPolicy="Always"),
            container({"name": "once", "containerPort": 1}),
        ],
        "ephemeralContainers": [container({"name": "debug", "containerPort": 2})],
    }
    assert project.pod(raw_pod(spec=spec), []).ports == (
        NamedPort("http", "TCP", 80),
        NamedPort("http", "TCP", 8080),
        NamedPort("http", "UDP", 80),
        NamedPort("mesh", "TCP", 15001),
    )


@pytest.mark.parametrize(
    "address",
    ["10.0.0", "010.0.0.1", "10.0.0.0/24", "0:0::0", "::", "fe80::1%eth0", "224.0.0.1", "", 7, None, {"a": 1}],
)
def test_an_address_that_is_none_is_left_out_and_reported(address: Any) -> None:
    problems: list[Problem] = []
    status = {"podIPs": [{"ip": address}, {"ip": "10.0.0.8"}]}
    assert project.pod(raw_pod(status=status), problems).ips == ("10.0.0.8",)
    problem = only(problems)
    assert (problem.object, problem.field) == ("Pod shop/web-1", "status.podIPs[0].ip")


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"metadata": {"labels": ["app=web"]}}, "metadata.labels"),
        ({"metadata": {"labels": {"version": 1.1}}}, "metadata.labels['version']"),
        ({"metadata": {"labels": {"app": None}}}, "metadata.labels['app']"),
        ({"spec": ["hostNetwork"]}, "spec"),
        ({"spec": {"hostNetwork": "true"}}, "spec.hostNetwork"),
    ],
)
def test_a_pod_that_policies_cannot_be_matched_with_is_marked(part: dict[str, Any], field: str) -> None:
    problems: list[Problem] = []
    pod = project.pod(raw_pod(status={"podIP": "10.0.0.7"}, **part), problems)
    assert pod.unreadable
    assert pod.ips == ("10.0.0.7",)
    assert only(problems).field == field
    assert "nobody's peer" in only(problems).effect


@pytest.mark.parametrize(
    ("port", "field"),
    [
        ({"name": "http", "containerPort": 0}, "containerPort"),
        ({"name": "http", "containerPort": 65536}, "containerPort"),
        ({"name": "http", "containerPort": "80"}, "containerPort"),
        ({"name": "http", "containerPort": True}, "containerPort"),
        ({"name": "http"}, "containerPort"),
        ({"name": "http", "containerPort": 80, "protocol": "ICMP"}, "protocol"),
        ({"name": "http", "containerPort": 80, "protocol": {"a": 1}}, "protocol"),
        ({"name": 80, "containerPort": 80}, "name"),
    ],
)
def test_rule_17_a_port_that_is_none_is_found_by_no_name(port: dict[str, Any], field: str) -> None:
    problems: list[Problem] = []
    assert project.pod(raw_pod(spec={"containers": [{"ports": [port]}]}), problems).ports == ()
    assert only(problems).field == f"spec.containers[0].ports[0].{field}"


def test_rule_12_every_namespace_has_the_label_of_its_name() -> None:
    assert project.namespace({"metadata": {"name": "shop"}}, []) == Namespace("shop", {project.NAME_LABEL: "shop"})


def test_rule_12_the_label_of_a_namespace_s_name_cannot_say_another() -> None:
    problems: list[Problem] = []
    raw = {"metadata": {"name": "shop", "labels": {project.NAME_LABEL: "bank", "tier": "front"}}}
    assert project.namespace(raw, problems) == Namespace("shop", {project.NAME_LABEL: "shop", "tier": "front"})
    assert only(problems).object == "Namespace shop"


def test_a_namespace_with_unusable_labels_is_refused() -> None:
    problems: list[Problem] = []
    assert project.namespace({"metadata": {"name": "shop", "labels": {"tier": 1}}}, problems) is None
    assert only(problems).field == "metadata.labels['tier']"


def test_projection_does_not_change_the_raw_object() -> None:
    raw = {"metadata": {"name": "shop", "labels": {"tier": "front"}}}
    before = json.dumps(raw)
    project.namespace(raw, [])
    assert json.dumps(raw) == before


@pytest.mark.parametrize(
    ("labels", "information", "system"),
    [
        ({"kubernetes.io/os": "windows"}, {"operatingSystem": "linux"}, "windows"),
        ({}, {"operatingSystem": "windows"}, "windows"),
        ({}, {}, "linux"),
    ],
)
def test_the_operating_system_of_a_node(labels: dict[str, str], information: dict[str, str], system: str) -> None:
    raw = {"metadata": {"name": "n1", "labels": labels}, "status": {"nodeInfo": information}}
    assert project.node(raw, []).os == system


def test_a_node_keeps_internal_and_external_addresses() -> None:
    addresses = [
        {"type": "InternalIP", "address": "10.240.0.4"},
        {"type": "Hostname", "address": "aks-1"},
        {"type": "ExternalIP", "address": "20.1.2.3"},
        {"type": "InternalIP", "address": "nonsense"},
    ]
    problems: list[Problem] = []
    raw = {"metadata": {"name": "aks-1", "labels": {"a": "b"}}, "status": {"addresses": addresses}}
    assert project.node(raw, problems) == Node("aks-1", {"a": "b"}, ("10.240.0.4", "20.1.2.3"))
    assert only(problems).field == "status.addresses[3].address"


def test_a_node_says_which_machine_and_which_start_of_it_this_is() -> None:
    raw = {"metadata": {"name": "n1", "uid": "uid-1"}, "status": {"nodeInfo": {"bootID": "boot-1"}}}
    problems: list[Problem] = []
    assert project.node(raw, problems) == Node("n1", {}, uid="uid-1", boot_id="boot-1")
    assert problems == []
    odd = {"metadata": {"name": "n1", "uid": 7}, "status": {"nodeInfo": {"bootID": ["x"]}}}
    assert project.node(odd, problems) == Node("n1", {})
    assert [each.field for each in problems] == ["metadata.uid", "status.nodeInfo.bootID"]


@pytest.mark.parametrize(
    "raw",
    [
        {"metadata": {"name": "virtual", "labels": {"type": "virtual-kubelet"}}},
        {"metadata": {"name": "virtual"}, "spec": {"taints": [{"key": "a"}, {"key": "virtual-kubelet.io/provider"}]}},
    ],
)
def test_a_virtual_node_is_known_by_label_or_taint(raw: dict[str, Any]) -> None:
    assert project.node(raw, []).virtual
    assert not project.node({"metadata": {"name": "real"}, "spec": {"taints": [{"key": "gpu"}]}}, []).virtual


def test_a_node_with_unusable_labels_is_nobody_s_peer() -> None:
    problems: list[Problem] = []
    addresses = [{"type": "InternalIP", "address": "10.240.0.4"}]
    raw = {"metadata": {"name": "n1", "labels": 7}, "status": {"addresses": addresses}}
    assert project.node(raw, problems).addresses == ()
    assert only(problems).field == "metadata.labels"


def test_a_service_keeps_what_the_report_needs() -> None:
    raw = {
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "externalTrafficPolicy": "Local", "ports": []},
    }
    assert project.service(raw, []) == Service("shop", "web", "LoadBalancer", {"app": "web"}, "Local")
    assert project.service({"metadata": {"name": "web"}}, []) == Service("default", "web")


def test_the_spec_of_a_policy_goes_through_untouched() -> None:
    spec = {"podSelector": None, "futureField": [1, {"a": None}], "ingress": "nonsense"}
    policy = project.network_policy({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}, [])
    assert policy == NetworkPolicy("shop", "p", spec)
    assert policy.spec is spec


def test_of_a_policy_s_annotations_only_ours_are_kept() -> None:
    annotations = {"netpol.npm/allow-in-protected-namespace": "true", "kubectl.kubernetes.io/x": "{}"}
    raw = {"metadata": {"name": "p", "annotations": annotations}, "spec": {}}
    assert project.network_policy(raw, []).annotations == {"netpol.npm/allow-in-protected-namespace": "true"}


@pytest.mark.parametrize("spec", [[], "deny", 0, False, ["Ingress"]])
def test_a_policy_whose_spec_is_no_map_isolates_its_namespace_in_both_directions(spec: Any) -> None:
    problems: list[Problem] = []
    policy = project.network_policy({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}, problems)
    assert policy.spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert only(problems).field == "spec"


def test_rule_10_a_policy_without_a_spec_or_namespace() -> None:
    policy = project.network_policy({"metadata": {"name": "p"}}, [])
    assert policy == NetworkPolicy("default", "p", {})


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"metadata": None},
        {"metadata": {}},
        {"metadata": {"name": ""}},
        {"metadata": {"name": 7}},
        {"metadata": {"name": "../etc"}},
        {"metadata": {"name": 'a"\n-A INPUT -j ACCEPT'}},
        {"metadata": {"name": "Web"}},
        {"metadata": {"name": "a" * 254}},
    ],
)
@pytest.mark.parametrize("kind", sorted(project.PROJECTIONS))
def test_an_object_without_a_name_that_the_api_would_give_is_refused(kind: str, raw: Any) -> None:
    with pytest.raises(project.ObjectError, match=kind):
        project.PROJECTIONS[kind](raw, [])


@pytest.mark.parametrize("namespace", [7, ["shop"], "Shop", "a/b"])
def test_an_object_in_an_impossible_namespace_is_refused(namespace: Any) -> None:
    with pytest.raises(project.ObjectError, match=r"NetworkPolicy p: metadata\.namespace"):
        project.network_policy({"metadata": {"name": "p", "namespace": namespace}}, [])


def test_the_longest_name_and_a_generated_one() -> None:
    assert project.identity("Pod", {"metadata": {"name": "a.b-" * 63 + "c"}}) == ("default", "a.b-" * 63 + "c")
    assert project.identity("Pod", {"metadata": {"generateName": "web-"}}) == ("default", "web")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "metadata.labels",
    "metadata.annotations",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec",
    "spec.nodeName",
    "spec.hostNetwork",
    "spec.containers",
    "spec.initContainers",
    "spec.taints",
    "spec.selector",
    "spec.type",
    "status",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.addresses",
    "status.nodeInfo",
)


@settings(max_examples=300, deadline=None)
@given(kind=st.sampled_from(sorted(project.PROJECTIONS)), parts=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_a_field_holds_the_object_is_projected_and_can_be_written(kind: str, parts: dict[str, Any]) -> None:
    raw: dict[str, Any] = {"metadata": {"name": "o", "namespace": "shop"}}
    for path, value in sorted(parts.items()):
        outer, _dot, inner = path.partition(".")
        if not inner:
            raw[outer] = value
        elif isinstance(raw.setdefault(outer, {}), dict):
            raw[outer][inner] = value
    problems: list[Problem] = []
    item = project.PROJECTIONS[kind](raw, problems)
    assert item is not None or (kind == "Namespace" and problems)
    lists: dict[str, Any] = {
        "Namespace": "namespaces",
        "Pod": "pods",
        "Node": "nodes",
        "Service": "services",
        "NetworkPolicy": "network_policies",
        "ClusterNetworkPolicy": "cluster_network_policies",
    }
    snapshot = make(Cluster(), problems=problems, **{lists[kind]: [item] if item else []})
    assert json.loads(dump(snapshot))
    assert all(problem.object.startswith(kind) and problem.field for problem in problems)
