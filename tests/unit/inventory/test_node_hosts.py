# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From nodes to hosts, without Ansible: who is a member, by which address it is reached, and what a cache keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aks_nodes import FIRST, JOINING, SECOND, VIRTUAL, WINDOWS, cluster, node
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import nodes
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.nodes import ClusterNode, cluster_node
from ansible_collections.npm.netpol.plugins.plugin_utils.model.problem import Problem
from ansible_collections.npm.netpol.plugins.plugin_utils.node_hosts import (
    AddressChoice,
    NodeHost,
    NodeNameError,
    address_of,
    left_out_lines,
    node_host,
)


def read(*objects: dict[str, Any]) -> nodes.Nodes:
    found = nodes.Nodes()
    for each in objects:
        found.add("Node", each)
    return found


INTERNAL = AddressChoice()


def host(raw: dict[str, Any], choice: AddressChoice = INTERNAL) -> NodeHost:
    return node_host(cluster_node(raw, []), choice)


def test_the_members_are_the_linux_nodes_that_a_kubelet_reports_on() -> None:
    hosts = {each["metadata"]["name"]: host(each) for each in cluster()}
    assert {name for name, each in hosts.items() if "npm_nodes" in each.groups} == {FIRST, SECOND}
    assert {name for name, each in hosts.items() if "npm_left_out" in each.groups} == {WINDOWS, VIRTUAL, JOINING}
    assert list(left_out_lines(hosts.values())) == [
        f"{VIRTUAL}: a virtual node: it has no kernel of its own to enforce in",
        f"{WINDOWS}: its operating system is windows: only Linux nodes are enforced",
        f"{JOINING}: no kubelet has reported on it yet",
    ]


@pytest.mark.parametrize(
    ("changes", "member", "group"),
    [
        ({"ready": "False", "reason": "KubeletNotReady"}, True, "npm_not_ready"),
        ({"ready": "Unknown", "reason": "NodeStatusUnknown"}, True, "npm_not_ready"),
        ({"ready": "Unknown", "reason": "NodeStatusNeverUpdated"}, False, "npm_not_ready"),
        ({"info": {"kubeletVersion": ""}}, False, "npm_ready"),
        ({"status": {"conditions": []}}, False, "npm_not_ready"),
        ({"status": {"conditions": None, "nodeInfo": None}}, False, "npm_not_ready"),
        ({"spec": {"unschedulable": True}}, True, "npm_ready"),
        ({"spec": {"taints": [{"key": "virtual-kubelet.io/provider", "value": "azure"}]}}, False, "npm_ready"),
        ({"labels": {"kubernetes.io/os": None}, "info": {"operatingSystem": "windows"}}, False, "npm_ready"),
    ],
)
def test_readiness_is_a_group_and_no_condition_of_membership(changes: Any, member: bool, group: str) -> None:
    made = host(node("a", **changes))
    assert ("npm_nodes" in made.groups) is member
    assert bool(made.left_out) is not member
    assert group in made.groups


def test_groups_come_from_the_cloud_s_labels_first() -> None:
    assert host(node("a", labels={"kubernetes.azure.com/agentpool": "real", "agentpool": "claimed"})).groups == (
        "npm_nodes",
        "npm_pool_real",
        "npm_zone_westeurope-1",
        "npm_os_linux",
        "npm_arch_amd64",
        "npm_ready",
    )
    plain = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}
    assert host(plain).groups == ("npm_left_out", "npm_os_linux", "npm_not_ready")


def address(raw: dict[str, Any], *types: str, family: str = "any") -> str | None:
    return address_of(cluster_node(raw, []), AddressChoice(types or ("InternalIP",), family))


def test_the_first_type_that_a_node_has_gives_its_address() -> None:
    dual = node("a", "10.0.0.4", "fd00::4")
    dual["status"]["addresses"].append({"type": "ExternalIP", "address": "20.0.0.4"})
    assert address(dual) == "10.0.0.4"
    assert address(dual, family="ipv6") == "fd00::4"
    assert address(dual, "ExternalIP", "InternalIP") == "20.0.0.4"
    assert address(dual, "ExternalIP", "InternalIP", family="ipv6") == "fd00::4"
    assert address(dual, "Hostname", family="ipv6") == "a"
    assert address(dual, "InternalDNS") is None
    only_6 = node("a", "FD00:0::0004")
    assert address(only_6) == "fd00::4"
    assert address(only_6, family="ipv4") is None
    assert "ansible_host" not in host(only_6, AddressChoice(("InternalIP",), "ipv4")).variables


@pytest.mark.parametrize("value", ["127.0.0.1", "::1", "169.254.1.1", "fe80::1"])
def test_an_address_that_does_not_leave_this_machine_is_never_used(value: str) -> None:
    assert address(node("a", value, "10.0.0.4")) == "10.0.0.4"
    assert address(node("a", value)) is None


@pytest.mark.parametrize("value", ["localhost", "a.localhost"])
def test_nor_is_such_a_name(value: str) -> None:
    raw = node("a", status={"addresses": [{"type": "Hostname", "address": value}]})
    assert address(raw, "Hostname") is None


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        ("InternalIP", "-oProxyCommand=id", "an IP address of a host"),
        ("InternalIP", "10.0.0", "an IP address of a host"),
        ("InternalIP", None, "an IP address of a host"),
        ("Hostname", "-oProxyCommand=id", "the name of a host"),
        ("Hostname", "a b", "the name of a host"),
        ("Hostname", "{{ 1 }}", "the name of a host"),
        ("ExternalDNS", "a\n", "the name of a host"),
        ("InternalDNS", 4, "the name of a host"),
    ],
)
def test_an_address_that_is_none_is_reported_and_never_used(kind: str, value: Any, what: str) -> None:
    found = read(node("a", status={"addresses": [{"type": kind, "address": value}]}))
    assert set(found.problems) == {
        Problem("Node", "", "a", "status.addresses[0].address", f"{value!r} is not {what}", "this address is ignored")
    }
    assert address_of(found.items[0], AddressChoice((kind,))) is None


@pytest.mark.parametrize("name", ["localhost", "all", "ungrouped"])
def test_a_node_cannot_take_a_name_of_ansible(name: str) -> None:
    with pytest.raises(NodeNameError, match=f"Node {name}: metadata.name"):
        host(node(name))


def test_what_is_malformed_is_reported_and_leaves_the_node_in() -> None:
    odd = node("a", info={"osImage": 7}, spec={"podCIDRs": [4]})
    odd["metadata"]["labels"] = ["x"]
    found = read(odd)
    assert {each.field for each in found.problems} == {
        "metadata.labels",
        "status.nodeInfo.osImage",
        "spec.podCIDRs",
    }
    made = node_host(found.items[0], INTERNAL)
    assert "npm_nodes" in made.groups
    assert made.variables["npm_node_labels"] == {}


def test_a_cache_keeps_everything_and_nothing_else_is_taken_for_one() -> None:
    found = read(*cluster(), node("odd", "10.0.0"))
    assert found.problems
    kept = json.loads(json.dumps(nodes.to_json(found)))
    assert nodes.from_json(kept) == found
    for wrong in (None, [], {}, {**kept, "version": 1}, {**kept, "format": "x"}, {**kept, "nodes": [{}]}):
        assert nodes.from_json(wrong) is None


def test_selectors_become_one_parameter_each() -> None:
    both = nodes.Selectors(("a in (b,c)", "!d"), ("spec.unschedulable=false",))
    assert both.query == [("labelSelector", "a in (b,c),!d"), ("fieldSelector", "spec.unschedulable=false")]
    assert nodes.Selectors().query == []


def test_a_node_is_what_the_api_says() -> None:
    (found,) = read(node("a", "10.0.0.4", "fd00::4")).items
    assert isinstance(found, ClusterNode)
    assert (found.node.uid, found.node.boot_id, found.kubelet_version) == ("uid-of-a", "boot-of-a", "v1.34.0")
    assert [(each.type, each.value) for each in found.addresses] == [
        ("InternalIP", "10.0.0.4"),
        ("InternalIP", "fd00::4"),
        ("Hostname", "a"),
    ]
