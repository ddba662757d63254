# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's cluster as data: addresses are chosen once and never twice, and survive the JSON form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lab.cluster import Cluster
from lab.netns import LabError, pod_namespace
from lab.network import host_interface
from lab.objects import all_objects
from lab.services import balancer_routes, port_rules
from lab.spec import Container, LabSpec, Namespace, Node, Pod, Port, Service, ServicePort, small


def cluster(*pods: Pod, services: tuple[Service, ...] = ()) -> Cluster:
    return Cluster.of(LabSpec((Node("n1"), Node("n2")), pods=pods, services=services))


def test_a_cluster_comes_back_from_its_json_form(tmp_path: Path) -> None:
    spec = small()
    odd = Pod("shop", "odd", spec.nodes[0].name, containers=(Container("s", (Port(1, "SCTP", "x"),), sidecar=True),))
    made = Cluster.of(replace(spec, pods=(*spec.pods, odd), namespaces=(Namespace("shop", {"a": "b"}),)))
    made.save(tmp_path / "cluster.json")
    assert Cluster.load(tmp_path / "cluster.json") == made


def test_addresses_are_the_nodes_next_free_ones_in_both_families() -> None:
    made = cluster(Pod("a", "x", "n1"), Pod("a", "y", "n1"), Pod("a", "z", "n2"))
    assert [pod.ips for pod in made.pods.values()] == [
        ("10.244.1.4", "fd00:10:244:1::4"),
        ("10.244.1.5", "fd00:10:244:1::5"),
        ("10.244.2.4", "fd00:10:244:2::4"),
    ]


def test_an_address_that_is_asked_for_is_not_given_to_another() -> None:
    made = cluster(Pod("a", "x", "n1"), Pod("a", "y", "n1", ips=("10.244.1.4", "fd00:10:244:1::4")))
    assert made.pods["a/x"].ips == ("10.244.1.5", "fd00:10:244:1::5")
    with pytest.raises(LabError, match=r"pod a/z: 10\.244\.1\.4 is a/y's"):
        made.add_pod(Pod("a", "z", "n1", ips=("10.244.1.4",)))


def test_a_pod_that_has_ended_may_share_its_address_with_a_running_one() -> None:
    made = cluster(Pod("a", "x", "n1", phase="Succeeded"))
    taken = made.pods["a/x"].ips
    assert made.add_pod(Pod("a", "y", "n1", ips=taken)).ips == taken


def test_pending_pods_have_no_address_and_host_network_pods_their_nodes() -> None:
    made = cluster(Pod("a", "x", "n1", phase="Pending"), Pod("a", "y", "n2", host_network=True))
    assert made.pods["a/x"].ips == ()
    assert made.pods["a/y"].ips == made.node_ips("n2") == ("10.240.0.11", "fd00:10:240::11")


def test_a_full_node_says_so() -> None:
    made = cluster(*(Pod("a", f"p{number}", "n1") for number in range(251)))
    with pytest.raises(LabError, match="node n1: no free pod address"):
        made.add_pod(Pod("a", "more", "n1"))


@pytest.mark.parametrize(
    ("pod", "words"), [(Pod("a", "x", "n9"), "no node 'n9'"), (Pod("zz", "x", "n1"), "no namespace 'zz'")]
)
def test_what_a_pod_needs_must_exist(pod: Pod, words: str) -> None:
    with pytest.raises(LabError, match=words):
        cluster(Pod("a", "other", "n1")).add_pod(pod)


def test_services_get_addresses_and_node_ports_of_their_own() -> None:
    ports = (ServicePort(80, name="a"), ServicePort(81, name="b", node_port=30000))
    made = cluster(
        services=(
            Service("default", "x", {}, ports, "NodePort"),
            Service("default", "y", {}, type="LoadBalancer"),
            Service("default", "z", {}),
        )
    )
    services = list(made.services.values())
    numbers = [port.node_port for service in services for port in service.ports]
    assert numbers == [30001, 30000, 30002, 0]
    ips = [ip for service in services for ip in service.cluster_ips + service.load_balancer_ips]
    assert len(set(ips)) == len(ips) == 8


def test_endpoints_are_running_pods_of_the_services_namespace_with_the_named_port() -> None:
    named = (Container("c", (Port(7000, "TCP", "web"),)),)
    made = cluster(
        Pod("a", "x", "n1", {"app": "x"}, named),
        Pod("a", "no-port", "n1", {"app": "x"}),
        Pod("a", "ended", "n1", {"app": "x"}, named, phase="Failed"),
        Pod("a", "leaving", "n1", {"app": "x"}, named, terminating=True),
        Pod("b", "elsewhere", "n1", {"app": "x"}, named),
        services=(Service("a", "s", {"app": "x"}, (ServicePort(80, "web"),)),),
    )
    for node, local in (("n1", True), ("n2", False)):
        (rule,) = port_rules(made, node, "ipv6")
        assert [(each.target, each.local) for each in rule.endpoints] == [("[fd00:10:244:1::4]:7000", local)]


def test_the_balancer_sends_to_nodes_with_endpoints_only_when_the_policy_is_local() -> None:
    made = cluster(
        Pod("a", "x", "n2", {"app": "x"}),
        services=(
            Service("a", "l", {"app": "x"}, type="LoadBalancer", external_traffic_policy="Local"),
            Service("a", "c", {"app": "x"}, type="LoadBalancer"),
            Service("a", "none", {"app": "?"}, type="LoadBalancer", external_traffic_policy="Local"),
        ),
    )
    assert balancer_routes(made) == {
        "203.0.113.10": ("10.240.0.11",),
        "2001:db8:203::10": ("fd00:10:240::11",),
        "203.0.113.11": ("10.240.0.10", "10.240.0.11"),
        "2001:db8:203::11": ("fd00:10:240::10", "fd00:10:240::11"),
    }


def test_objects_are_the_same_each_time_and_have_unique_uids() -> None:
    objects = all_objects(Cluster.of(small()))
    assert objects == all_objects(Cluster.of(small()))
    uids = [each["metadata"]["uid"] for each in objects]
    assert len(set(uids)) == len(uids)
    namespaces = [each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"]
    assert sorted(namespaces) == ["default", "kube-system", "other", "shop"]


def test_nodes_that_have_not_joined_are_unknown_to_the_api() -> None:
    objects = all_objects(Cluster.of(LabSpec((Node("n1"), Node("n2", joined=False)))))
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Node"] == ["n1"]


def test_names_fit_and_differ() -> None:
    long = "x" * 250
    names = {pod_namespace("id", key) for key in (f"a/{long}", f"a/{long}y", "a-b/c", "a/b-c")}
    assert len(names) == 4
    assert max(map(len, names)) < 255
    assert host_interface("a/x").startswith("azv")
    assert len(host_interface(f"a/{long}")) == 13
