# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kube-proxy's text: every chain that is jumped to exists, what has gone is deleted, and the order is fixed."""

from __future__ import annotations

import re
from dataclasses import replace

from lab import kube_proxy, kube_proxy_nft
from lab.cluster import Cluster
from lab.services import PortRule, port_rules
from lab.spec import small

NODE = small().nodes[0].name


def rules(*leave_out: str) -> list[PortRule]:
    spec = small()
    services = tuple(service for service in spec.services if service.name not in leave_out)
    return port_rules(Cluster.of(replace(spec, services=services)), NODE, "ipv4")


def nat(text: str) -> str:
    return text.split("*nat\n")[1]


def test_every_chain_that_is_used_is_declared() -> None:
    text = nat(kube_proxy.synchronise(rules(), "ipv4", frozenset()))
    declared = set(re.findall(r"^:(\S+)", text, re.MULTILINE))
    used = set(re.findall(r"^-A (\S+)", text, re.MULTILINE)) | set(re.findall(r"-j (KUBE-\S+)", text))
    assert used <= declared
    assert {name for name in declared if re.match("KUBE-(SVC|SEP|EXT|SVL)-", name)} == kube_proxy.chains(rules())


def test_chains_of_services_that_have_gone_are_emptied_then_deleted() -> None:
    stale = kube_proxy.chains(rules()) - kube_proxy.chains(rules("web"))
    assert stale
    text = nat(kube_proxy.synchronise(rules("web"), "ipv4", stale))
    for name in stale:
        assert f":{name} - [0:0]\n" in text
        assert text.index(f"-X {name}\n") > text.rindex("-A ")


def test_node_ports_come_last_in_the_services_chain() -> None:
    text = nat(kube_proxy.synchronise(rules(), "ipv4", frozenset()))
    last = [line for line in text.splitlines() if line.startswith("-A KUBE-SERVICES")][-1]
    assert last.endswith("-j KUBE-NODEPORTS")


def test_only_policy_cluster_masquerades_strangers() -> None:
    text = kube_proxy.synchronise(rules(), "ipv4", frozenset())
    masked = re.findall(r'-A (KUBE-EXT-\S+) -m comment --comment "(\S+) masquerade traffic for external', text)
    assert [name for _, name in masked] == ["shop/web-cluster"]


def test_the_same_services_give_the_same_text() -> None:
    assert kube_proxy.synchronise(rules(), "ipv4", frozenset()) == kube_proxy.synchronise(rules(), "ipv4", frozenset())
    assert kube_proxy_nft.script(rules(), "ipv4") == kube_proxy_nft.script(rules(), "ipv4")


def test_only_ipv4_has_the_wire_server() -> None:
    assert "168.63.129.16/32" in kube_proxy.kubelet_chains("ipv4")
    assert "168.63" not in kube_proxy.kubelet_chains("ipv6")
    assert "127.0.0.0" not in kube_proxy.kubelet_chains("ipv6")
