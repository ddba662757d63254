# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Without policies everything reaches everything, and the answers say truly who answered and whom they saw."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab.lab import Lab, wait_for
from lab.netns import LabError
from lab.probe import Probe
from lab.spec import Container, LabSpec, Node, Pod, Port

MakeLab = Callable[..., Lab]


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", "ICMP"])
@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_every_place_reaches_every_pod(lab: Lab, family: str, protocol: str) -> None:
    targets = ["shop/web-1", "shop/web-2", "other/client-2"]
    sources = ["shop/client-1", "shop/client-2", *lab.nodes, "ext", "ctl"]
    pairs = [(source, target) for source in sources for target in targets]
    answers = lab.probe([Probe(source, lab.ip(target, family), 8080, protocol) for source, target in pairs])
    for (source, target), answer in zip(pairs, answers, strict=True):
        assert answer.ok, f"{source} -> {target}: {answer}"
        assert answer.server == (lab.ip(target, family) if protocol == "ICMP" else target)
        if source not in lab.nodes or protocol == "ICMP":
            assert answer.source == lab.ip(source, family)


def test_a_pod_reaches_the_outside_with_its_own_address(lab: Lab) -> None:
    for family in ("ipv4", "ipv6"):
        answer = lab.reach("shop/client-1", "ext", family=family)
        assert (answer.server, answer.source) == ("ext", lab.ip("shop/client-1", family))


def test_a_host_network_pod_answers_on_its_nodes_address(lab: Lab) -> None:
    answer = lab.reach("shop/client-2", "kube-system/host-1", 9100)
    assert answer.server == "kube-system/host-1"
    assert lab.ips("kube-system/host-1") == lab.ips("aks-nodepool1-12345678-vmss000000")


@pytest.mark.parametrize("protocol", ["TCP", "SCTP"])
def test_a_port_where_nobody_listens_is_refused_and_not_silent(lab: Lab, protocol: str) -> None:
    assert lab.reach("shop/client-1", "shop/web-2", 81, protocol).reason == "refused"


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", "ICMP"])
def test_a_dropped_packet_is_a_timeout_and_a_rejected_one_is_not(lab: Lab, protocol: str) -> None:
    node = lab.nodes[lab.cluster.pods["shop/web-1"].node]
    rule = f"FORWARD -d {lab.ip('shop/web-1')} -j"
    node.run(f"iptables -I {rule} DROP")
    assert lab.reach("shop/client-2", "shop/web-1", protocol=protocol).reason == "timeout"
    assert lab.reach("shop/client-2", "shop/web-1", protocol=protocol, family="ipv6").ok
    node.run(f"iptables -R FORWARD 1 {rule.removeprefix('FORWARD ')} REJECT")
    assert lab.reach("shop/client-2", "shop/web-1", protocol=protocol).reason == "refused"


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_what_is_larger_than_a_packet_goes_in_fragments(lab: Lab, family: str) -> None:
    address = lab.ip("shop/web-2", family)
    probes = [Probe("shop/client-1", address, 8080, protocol, payload=3000) for protocol in ("UDP", "ICMP")]
    assert all(answer.ok for answer in lab.probe(probes))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_any_ip_protocol_can_be_spoken(make_lab: MakeLab, family: str) -> None:
    server, client = (Pod("x", name, "node-1", listen=(Port(253, "IP"),)) for name in ("server", "client"))
    with make_lab(LabSpec((Node("node-1"),), pods=(server, client))) as own:
        pairs = [("x/client", "x/server"), ("x/server", "x/client"), ("ext", "x/server"), ("x/client", "ext")]
        answers = own.probe([Probe(source, own.ip(target, family), 253, "IP") for source, target in pairs])
        assert [answer.server for answer in answers[:3]] == ["x/server", "x/client", "x/server"]
        assert answers[0].source == own.ip("x/client", family)
        assert not answers[3].ok, "nobody answers there"


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_forged_datagram_counts_when_it_arrives(lab: Lab, family: str) -> None:
    claimed, address = lab.ip("ctl", family), lab.ip("shop/web-1", family)
    probes = [Probe("ext", address, port, "UDP", claimed, forged=True) for port in (8080, 8081)]
    arrived, lost = lab.probe(probes)
    assert (arrived.ok, arrived.server, arrived.source) == (True, "shop/web-1", claimed)
    assert lost.reason == "timeout"


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_download_meets_a_small_mtu_on_its_way(make_lab: MakeLab, family: str) -> None:
    server, client = Pod("x", "server", "node-2"), Pod("x", "client", "node-1", mtu=1280)
    with make_lab(LabSpec((Node("node-1"), Node("node-2")), pods=(server, client))) as own:
        download = Probe("x/client", own.ip("x/server", family), 8080, "TCP", payload=1 << 17)
        tool, message = {
            "ipv4": ("iptables", "-p icmp --icmp-type fragmentation-needed"),
            "ipv6": ("ip6tables", "-p ipv6-icmp --icmpv6-type packet-too-big"),
        }[family]
        own.nodes["node-2"].run(f"{tool} -I FORWARD {message} -j DROP")
        assert own.probe([download])[0].reason == "silent"
        own.nodes["node-2"].run(f"{tool} -D FORWARD {message} -j DROP")
        assert own.probe([download])[0].ok


def test_netfilter_sees_the_ports_of_sctp(lab: Lab) -> None:
    node = lab.nodes[lab.cluster.pods["shop/web-1"].node]
    node.run("iptables -I FORWARD -p sctp -m multiport --dports 8080 -j DROP")
    assert not lab.reach("shop/client-2", "shop/web-1", 8080, "SCTP").ok
    assert lab.reach("shop/client-2", "shop/web-1", 8080, "TCP").ok
    node.run("iptables -R FORWARD 1 -p sctp -m multiport --dports 8081 -j DROP")
    assert lab.reach("shop/client-2", "shop/web-1", 8080, "SCTP").ok


def test_conntrack_follows_sctp_to_established(lab: Lab) -> None:
    node = lab.nodes[lab.cluster.pods["shop/web-1"].node]
    node.run("iptables -I FORWARD -p sctp -j DROP")
    node.run("iptables -I FORWARD -p sctp -m conntrack --ctstate ESTABLISHED -j ACCEPT")
    assert not lab.reach("shop/client-2", "shop/web-1", 8080, "SCTP").ok
    node.run("iptables -I FORWARD -p sctp -m conntrack --ctstate NEW -j ACCEPT")
    assert lab.reach("shop/client-2", "shop/web-1", 8080, "SCTP").ok


def test_thousands_of_probes_answer_in_their_order(lab: Lab) -> None:
    targets = ["shop/web-1", "shop/web-2", "other/client-1", "other/client-2"] * 500
    answers = lab.probe([Probe("shop/client-1", lab.ip(target)) for target in targets])
    assert [answer.server for answer in answers] == targets


def test_pods_come_change_and_go(lab: Lab) -> None:
    node = "aks-nodepool1-12345678-vmss000001"
    new = lab.add_pod(Pod("shop", "new", node, {"app": "new"}))
    assert lab.reach("shop/web-1", "shop/new").server == "shop/new"
    assert lab.reach("shop/new", "shop/web-1", family="ipv6").server == "shop/web-1"

    ports = (Container("app", (Port(9090),)),)
    lab.replace_pod(Pod("shop", "new", node, {"app": "new"}, ports))
    assert lab.ips("shop/new") == new.ips
    assert lab.reach("shop/web-1", "shop/new").reason == "refused"
    assert lab.reach("shop/web-1", "shop/new", 9090).ok

    lab.remove_pod("shop/new")
    assert not lab.reach("shop/web-1", new.ips[0], 9090).ok
    # The next pod of the node takes over the address.
    assert lab.add_pod(Pod("shop", "next", node)).ips == new.ips
    assert lab.reach("shop/web-1", new.ips[0]).server == "shop/next"


def test_a_pod_that_has_ended_keeps_its_address_and_answers_nothing(lab: Lab) -> None:
    pod = lab.cluster.pods["shop/web-2"]
    ended = lab.replace_pod(Pod(pod.namespace, pod.name, pod.node, pod.labels, phase="Succeeded"))
    assert ended.ips == pod.ips
    assert not lab.reach("shop/client-1", ended.ips[0]).ok
    with pytest.raises(LabError, match="shop/web-2 has no network: it is Succeeded"):
        lab.namespace("shop/web-2")


def test_a_node_whose_cable_is_out_is_out_of_reach_and_comes_back(lab: Lab) -> None:
    node = "aks-nodepool1-12345678-vmss000001"
    lab.disconnect(node)
    assert not lab.reach("shop/web-1", "shop/web-2").ok
    assert lab.ssh(node, "true", timeout=30).returncode == 255
    lab.connect(node)
    wait_for(lambda: lab.reach("shop/web-1", "shop/web-2").ok, "the node's pods")
    assert lab.ssh(node, "true").returncode == 0


def test_attempts_without_pause_meet_a_short_gap(lab: Lab) -> None:
    node = lab.nodes[lab.cluster.pods["shop/web-1"].node]
    allowed = Probe("shop/client-2", lab.ip("shop/web-1"))
    denied = Probe("shop/client-2", lab.ip("shop/web-1", "ipv6"))
    node.run(f"ip6tables -I FORWARD -d {denied.address} -j DROP")
    with lab.continuous([allowed, denied], interval=0.002) as attempts:
        # Each stretch lasts as long as the agent is busy with other probes, however slow the machine is.
        lab.probe([allowed] * 100)
        node.run(f"iptables -I FORWARD -d {allowed.address} -j DROP")
        lab.probe([allowed] * 20, timeout=0.05, tries=1)
        node.run("iptables -D FORWARD 1; ip6tables -D FORWARD 1")
        lab.probe([denied] * 20)
        node.run(f"ip6tables -I FORWARD -d {denied.address} -j DROP")
        lab.probe([denied] * 20)
        attempts.stop()
        cut = [each for each in attempts.of(allowed) if not each.clean]
        leaked = [each for each in attempts.of(denied) if each.answer.ok]
        good = [each for each in attempts.of(allowed) if each.clean]
        held = [each for each in attempts.of(denied) if not each.answer.ok]
    assert cut, "the gap in what is allowed went unseen"
    assert leaked, "the gap in what is denied went unseen"
    assert good, "all of what is allowed seems cut"
    assert held, "all of what is denied seems let through"


def test_lasting_flows_report_a_stall_and_go_on(lab: Lab) -> None:
    node = lab.nodes[lab.cluster.pods["shop/web-1"].node]
    probes = [Probe("ext", lab.ip("shop/web-1"), 8080, protocol) for protocol in ("TCP", "UDP")]
    with lab.flows(probes) as flows:
        node.run(f"iptables -I FORWARD -d {lab.ip('shop/web-1')} -j DROP; sleep 0.5; iptables -D FORWARD 1; sleep 0.5")
        download, exchange = flows.stop()
    assert exchange.longest_silence > 0.4
    assert exchange.lost > 10
    assert download.received > 0
    assert download.error == exchange.error == ""


def test_undisturbed_flows_have_no_stall(lab: Lab) -> None:
    probes = [Probe("shop/client-2", lab.ip("shop/web-1", "ipv6"), 8080, protocol) for protocol in ("TCP", "UDP")]
    with lab.flows(probes) as flows:
        lab.run_in("ctl", ["sleep", "0.5"])
        download, exchange = flows.stop()
    assert exchange.lost <= 2
    assert download.received > 10_000


def test_lasting_flows_tell_whether_they_still_get_data(lab: Lab) -> None:
    address = lab.ip("shop/web-2")
    node = lab.nodes[lab.cluster.pods["shop/client-1"].node]
    flow, other = Probe("shop/client-1", address, 8080, "TCP"), Probe("shop/client-1", address, 8080, "UDP")
    unanswered = Probe("shop/client-1", lab.ip("ext"), 9, "UDP")
    with lab.flows([flow, other]) as answered, lab.flows([unanswered], answered=False) as silent:
        assert answered.go_on() == [True, True]
        node.run(f"iptables -I FORWARD -d {address} -p udp -j DROP")
        assert answered.go_on() == [True, False]
        assert silent.go_on() == [False]


def test_a_flow_that_nobody_answers_is_an_error(lab: Lab) -> None:
    with pytest.raises(LabError, match="flow: Connection refused"):
        lab.flows([Probe("shop/client-1", lab.ip("shop/web-1"), 81)])


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_single_stack_lab_has_one_family(make_lab: MakeLab, family: str) -> None:
    spec = LabSpec((Node("n1"), Node("n2")), pods=(Pod("a", "x", "n1"), Pod("a", "y", "n2")), families=(family,))
    lab = make_lab(spec, api=None)
    assert len(lab.ips("a/x")) == len(lab.ips("n1")) == 1
    assert lab.reach("a/x", "a/y", family=family).server == "a/y"
    assert lab.ssh("n2", "hostname").stdout == "n2\n"
