# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""remove.yml takes exactly what is ours, of both variants and families, and leaves all else as it was, to the byte."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.lab import Lab, unused_id
from lab.spec import small

from .playbooks import FIRST, SECOND, commands, netfilter, policy, run

pytestmark = pytest.mark.root

# Names that nearly are ours, and rules before and behind our jump.
FOREIGN_SETS = """create npmx hash:ip family inet
add npmx 192.0.2.1
create azure-npm-4-web hash:net family inet
"""
FOREIGN_RULES = """*filter
:AZURE-NPM - [0:0]
:NPM_OTHER - [0:0]
-A AZURE-NPM -m comment --comment "NPM-FORWARD is not mine" -j RETURN
-A NPM_OTHER -j ACCEPT
-I FORWARD 1 -m comment --comment "drops: may stand first" -s 192.0.2.9 -j DROP
-A FORWARD -m set --match-set npmx src -j AZURE-NPM
-A FORWARD -j NPM_OTHER
COMMIT
"""
# What an earlier version of us, or another variant's, would have left.
STALE = """*filter
:NPM-FORWARD - [0:0]
:NPM-INGRESS - [0:0]
-A FORWARD -j NPM-FORWARD
-A NPM-FORWARD -j NPM-INGRESS
COMMIT
"""


@pytest.fixture(scope="module", params=["nft", "legacy"])
def crowded(packets: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Nodes with other programs' sets and rules; on SECOND, there are rules of both variants."""
    with Lab.up(unused_id(), small(request.param)) as lab:
        for node in lab.nodes.values():
            node.run("ipset restore", input=FOREIGN_SETS)
            node.run(f"iptables-{node.spec.variant}-restore --noflush", input=FOREIGN_RULES)
        for tool in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"):
            lab.nodes[SECOND].run(f"{tool} -I FORWARD -p tcp --dport 9 -j DROP")
        yield lab


def test_nothing_of_ours_stays_and_nothing_else_goes(crowded: Lab) -> None:
    lab = crowded
    before = {node: netfilter(lab, node) for node in lab.nodes}
    assert ("legacy filter" in before[FIRST]) is (lab.nodes[FIRST].spec.variant == "legacy")
    lab.apply(policy("deny-all", policyTypes=["Ingress", "Egress"], ingress=[{"from": [{"podSelector": {}}]}]))
    assert run(lab, "enforce", variables={"npm_accept": True}).code == 0
    assert not lab.reach("other/client-1", "shop/web-2").ok
    for node in lab.nodes:
        assert "npm-6-" in netfilter(lab, node)
    for tool in ("iptables", "ip6tables"):
        other = "nft" if lab.nodes[SECOND].spec.variant == "legacy" else "legacy"
        lab.nodes[SECOND].run(f"{tool}-{other}-restore --noflush", input=STALE)

    lab.api.clear_requests()
    removed = run(lab, "remove", "--diff")
    assert removed.code == 0
    assert removed.summary == ["Nodes: 2 cleaned, 0 had nothing of ours"]
    assert "our jump in FORWARD is to go" in removed.text
    assert lab.api.requests() == []
    assert {node: netfilter(lab, node) for node in lab.nodes} == before
    for node in lab.nodes.values():
        assert node.run("ls -A /run/npm-netpol").stdout.split() in ([], ["lock"])
    assert lab.reach("other/client-1", "shop/web-2").ok

    asked = {node: commands(lab, node) for node in lab.nodes}
    again = run(lab, "remove")
    assert again.code == 0
    assert again.summary == ["Nodes: 0 cleaned, 2 had nothing of ours"]
    assert {node: commands(lab, node) - 1 for node in lab.nodes} == asked
    assert {node: netfilter(lab, node) for node in lab.nodes} == before
