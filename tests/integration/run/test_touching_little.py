# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run leaves alone: everything in check mode, a node in sync, every node where the run must stop."""

from __future__ import annotations

import pytest
from lab.lab import Lab
from lab.spec import Pod

from .playbooks import FIRST, SECOND, commands, netfilter, policy, run, visits

pytestmark = pytest.mark.root

WRITERS = ("ipset", *(f"ip{six}tables{variant}-restore" for six in ("", "6") for variant in ("", "-nft", "-legacy")))
STARTS = "/run/starts"
DENY_ALL = policy("deny-all", policyTypes=["Ingress"])


def networks(count: int) -> list[dict[str, object]]:
    return [{"ipBlock": {"cidr": f"172.16.{number}.0/24"}} for number in range(0, 2 * count, 2)]


def count_writes(lab: Lab, node: str) -> None:
    """From now on the node notes each start of a program that can write to netfilter."""
    for name in WRITERS:
        script = f'#!/bin/sh\necho {name} "$@" >>{STARTS}\nexec /usr/sbin/{name} "$@"\n'
        lab.nodes[node].write_tool(name, script)
    lab.nodes[node].run(f": >{STARTS}")


def writes(lab: Lab, node: str) -> list[str]:
    starts = lab.nodes[node].run(f"cat {STARTS}").stdout.splitlines()
    return [start for start in starts if start.split() != ["ipset", "save"]]


def test_a_node_in_sync_is_asked_once_and_not_written_to(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    for node in lab.nodes:
        count_writes(lab, node)
    assert run(lab, "enforce").code == 0
    assert writes(lab, FIRST), "the counter sees what writes"
    for node in lab.nodes:
        lab.nodes[node].run(f": >{STARTS}")
    before = {node: (commands(lab, node), netfilter(lab, node)) for node in lab.nodes}

    second = run(lab, "enforce", "--diff")
    assert second.code == 0
    assert second.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    for node in lab.nodes:
        assert second.recap(node)["changed"] == 0
        assert (commands(lab, node) - 1, netfilter(lab, node)) == before[node]
        assert writes(lab, node) == []


def test_check_mode_changes_nothing_and_says_what_would_change(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    assert run(lab, "enforce").code == 0
    lab.apply(policy("office", ingress=[{"from": networks(4)}], egress=[], policyTypes=["Ingress", "Egress"]))
    memory = "cd /run/npm-netpol && cat * && ls -l --full-time"
    before = {node: (netfilter(lab, node), lab.nodes[node].run(memory).stdout) for node in lab.nodes}

    checked = run(lab, "enforce", "--check", "--diff")
    assert checked.code == 0
    assert checked.summary[0] == "Nodes: 2 would change, 0 in sync"
    assert "(shop/deny-all, shop/office)" in checked.text
    assert f"shop/web-1 {lab.ip('shop/web-1')}: not isolated -> NPM-E-" in checked.text
    for node in lab.nodes:
        assert (netfilter(lab, node), lab.nodes[node].run(memory).stdout) == before[node]


def test_a_diff_names_members_by_policy_and_is_capped(lab: Lab) -> None:
    """An edited ipBlock makes another set (its networks are what defines it); a pod's coming changes members."""
    to_clients = [{"to": [{"podSelector": {"matchLabels": {"app": "client"}}}]}]
    lab.apply(policy("office", ingress=[{"from": networks(4)}]))
    lab.apply(policy("to-clients", egress=to_clients, policyTypes=["Egress"]))
    assert run(lab, "enforce").code == 0
    lab.apply(policy("office", ingress=[{"from": networks(60)[2:]}]))
    lab.relabel_pod("shop/client-2", {"app": "else"})
    lab.add_pod(Pod("shop", "client-3", FIRST, {"app": "client"}))

    capped = run(lab, "enforce", "--diff", "--check", "--limit", FIRST, variables={"npm_diff_limit": 12})
    assert "(shop/to-clients): 1 member missing, 1 member too many" in capped.text
    assert "    + 172.16.98.0/24" not in capped.text
    assert "more lines" in capped.text

    whole = run(lab, "enforce", "--diff", "--limit", SECOND)
    assert "(shop/office) is missing (58 members)" in whole.text
    assert "    + 172.16.98.0/24" in whole.text
    assert "    - 172.16.2.0/24" in whole.text
    for family in ("ipv4", "ipv6"):
        assert f"    + {lab.ip('shop/client-3', family)}\n" in whole.text
        assert f"    - {lab.ip('shop/client-2', family)}\n" in whole.text
    assert "more lines" not in whole.text


def test_nobody_comes_to_a_node_where_kube_system_would_be_cut_off(lab: Lab) -> None:
    lab.add_pod(Pod("kube-system", "dns-1", FIRST, {"k8s-app": "kube-dns"}))
    lab.apply(policy("deny-all", "kube-system", policyTypes=["Ingress"]))
    before = {node: (visits(lab, node), netfilter(lab, node)) for node in lab.nodes}
    stopped = run(lab, "enforce")
    assert stopped.code != 0
    assert stopped.summary[0].startswith("No node was touched: NetworkPolicy kube-system/deny-all: spec.ingress: ")
    assert {node: (visits(lab, node), netfilter(lab, node)) for node in lab.nodes} == before

    meant = run(lab, "enforce", variables={"npm_protected_namespaces": []})
    assert meant.code == 0
    assert not lab.reach("shop/client-1", "kube-system/dns-1").ok
    assert visits(lab, FIRST) > before[FIRST][0]
