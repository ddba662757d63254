# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services reach the pods that they select, with the client addresses that kube-proxy leaves, in all its modes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from lab.lab import Lab, unused_id
from lab.probe import Answer, Probe
from lab.spec import Container, Pod, Port, Service, ServicePort, small

FIRST, SECOND = "aks-nodepool1-12345678-vmss000000", "aks-nodepool1-12345678-vmss000001"
TRIES = 12


@pytest.fixture(scope="module", params=["iptables-nft", "iptables-legacy", "nftables"])
def served(packets: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    mode, _, variant = request.param.partition("-")
    spec = small(variant or "nft")
    spec = replace(spec, nodes=tuple(replace(node, proxy_mode=mode) for node in spec.nodes))
    with Lab.up(unused_id(), spec, api=None) as lab:
        yield lab


def ask(lab: Lab, source: str, address: str, port: int = 80, protocol: str = "TCP") -> list[Answer]:
    return lab.probe([Probe(source, address, port, protocol)] * TRIES)


def servers(answers: list[Answer]) -> set[str]:
    return {str(answer.server or answer.reason) for answer in answers}


@pytest.mark.parametrize("place", [0, 1], ids=["ipv4", "ipv6"])
def test_a_cluster_ip_spreads_over_both_nodes_and_keeps_the_client(served: Lab, place: int) -> None:
    answers = ask(served, "shop/client-1", served.service_ips("shop/web")[place])
    assert servers(answers) == {"shop/web-1", "shop/web-2"}
    assert {answer.source for answer in answers} == {served.ips("shop/client-1")[place]}


@pytest.mark.parametrize("place", [0, 1], ids=["ipv4", "ipv6"])
def test_policy_cluster_masquerades_as_the_node(served: Lab, place: int) -> None:
    nodes = {served.ips(FIRST)[place], served.ips(SECOND)[place]}
    answers = ask(served, "ext", served.load_balancer_ips("shop/web-cluster")[place])
    assert servers(answers) == {"shop/web-1", "shop/web-2"}
    assert {answer.source for answer in answers} <= nodes
    at_node = ask(served, "ext", served.ips(FIRST)[place], served.node_port("shop/web-cluster"))
    assert servers(at_node) == {"shop/web-1", "shop/web-2"}
    assert {answer.source for answer in at_node} == {served.ips(FIRST)[place]}


@pytest.mark.parametrize("place", [0, 1], ids=["ipv4", "ipv6"])
def test_policy_local_keeps_the_client_and_stays_on_the_node(served: Lab, place: int) -> None:
    answers = ask(served, "ext", served.load_balancer_ips("shop/web-local")[place])
    assert servers(answers) == {"shop/web-1", "shop/web-2"}
    assert {answer.source for answer in answers} == {served.ips("ext")[place]}
    for node, pod in ((FIRST, "shop/web-1"), (SECOND, "shop/web-2")):
        at_node = ask(served, "ext", served.ips(node)[place], served.node_port("shop/web-local"))
        assert servers(at_node) == {pod}
        assert {answer.source for answer in at_node} == {served.ips("ext")[place]}


@pytest.mark.parametrize("place", [0, 1], ids=["ipv4", "ipv6"])
def test_a_pod_is_led_past_the_balancer_as_kube_proxy_does(served: Lab, place: int) -> None:
    local = ask(served, "shop/client-1", served.load_balancer_ips("shop/web-local")[place])
    assert {answer.source for answer in local} == {served.ips("shop/client-1")[place]}
    cluster = ask(served, "shop/client-1", served.load_balancer_ips("shop/web-cluster")[place])
    assert {answer.source for answer in cluster} == {served.ips(FIRST)[place]}


def test_the_node_itself_reaches_a_cluster_ip(served: Lab) -> None:
    assert servers(ask(served, FIRST, served.service_ips("shop/web")[0])) == {"shop/web-1", "shop/web-2"}


def test_a_pod_reaches_itself_through_its_service(served: Lab) -> None:
    served.add_pod(Pod("shop", "alone", FIRST, {"app": "alone"}))
    service = served.add_service(Service("shop", "alone", {"app": "alone"}))
    for place, node_ip in enumerate(served.ips(FIRST)):
        answers = ask(served, "shop/alone", service.cluster_ips[place])
        assert servers(answers) == {"shop/alone"}
        assert {answer.source for answer in answers} == {node_ip}
    served.remove_service("shop/alone")
    served.remove_pod("shop/alone")


def test_endpoints_follow_labels_and_named_ports_resolve_in_each_pod(served: Lab) -> None:
    for name, number in (("a", 7001), ("b", 7002)):
        ports = (Container("app", (Port(number, "TCP", "named"), Port(number, "UDP", "named"), Port(number, "SCTP"))),)
        served.add_pod(Pod("other", name, SECOND, {"app": "named"}, ports))
    wanted = (
        ServicePort(80, "named", name="t"),
        ServicePort(81, "named", "UDP", "u"),
        ServicePort(82, 7001, "SCTP", "s"),
    )
    service = served.add_service(Service("other", "named", {"app": "named"}, wanted))
    address = service.cluster_ips[0]
    assert servers(ask(served, "other/client-1", address)) == {"other/a", "other/b"}
    assert servers(ask(served, "other/client-1", address, 81, "UDP")) == {"other/a", "other/b"}
    served.relabel_pod("other/b", {"app": "else"})
    assert servers(ask(served, "other/client-1", address)) == {"other/a"}
    assert servers(ask(served, "other/client-1", address, 82, "SCTP")) == {"other/a"}
    served.relabel_pod("other/a", {})
    assert servers(ask(served, "other/client-1", address)) == {"refused"}
    for name in ("a", "b"):
        served.remove_pod(f"other/{name}")
    served.remove_service("other/named")
    assert not served.reach("other/client-1", address, 80).ok


def test_local_without_a_local_endpoint_answers_strangers_nothing(served: Lab) -> None:
    served.relabel_pod("shop/web-2", {"app": "away"})
    at_node = ask(served, "ext", served.ip(SECOND), served.node_port("shop/web-local"))
    assert servers(at_node) == {"timeout"}
    assert servers(ask(served, "ext", served.load_balancer_ips("shop/web-local")[0])) == {"shop/web-1"}
    served.relabel_pod("shop/web-1", {"app": "away"})
    assert servers(ask(served, "ext", served.load_balancer_ips("shop/web-local")[0])) == {"timeout"}
    for key in ("shop/web-1", "shop/web-2"):
        served.relabel_pod(key, {"app": "web"})


def test_the_variant_is_recognised_by_the_chains_of_kubelet(served: Lab) -> None:
    node = served.nodes[FIRST]
    other = "nft" if node.spec.variant == "legacy" else "legacy"
    for tool in ("iptables", "ip6tables"):
        own = node.run(f"{tool}-{node.spec.variant}-save -t mangle").stdout
        assert ":KUBE-IPTABLES-HINT" in own
        assert ":KUBE-KUBELET-CANARY" in own
    if other == "nft":
        assert "KUBE" not in node.run("iptables-nft-save").stdout
    else:
        assert node.run("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names").stdout == ""


def test_kube_proxy_accepts_its_mark_in_forward(served: Lab) -> None:
    node = served.nodes[FIRST]
    text = node.run(f"iptables-{node.spec.variant}-save -t filter").stdout
    accepts = (
        '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT'
    )
    assert (accepts in text) == (node.spec.proxy_mode == "iptables")
