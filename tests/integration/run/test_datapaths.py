# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes of every kind in one run: those whose pods our rules would miss fail with the reason, the others enforce."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.lab import Lab, unused_id
from lab.spec import LabSpec, Node, Pod

from .playbooks import ours, policy, run

pytestmark = pytest.mark.root

PLAIN, LEGACY, IPVS, CILIUM, BRIDGED, UNDECIDED = NODES = ("plain", "legacy", "ipvs", "cilium", "bridged", "undecided")
SPEC = LabSpec(
    nodes=(
        Node(PLAIN),
        # kube-proxy brings its own programs along; what the plain name runs tells nothing.
        Node(LEGACY, variant="legacy", alternative="nft"),
        Node(IPVS, proxy_mode="ipvs"),
        Node(CILIUM, foreign=("cilium",)),
        Node(BRIDGED, foreign=("cbr0",)),
        Node(UNDECIDED),
    ),
    pods=tuple(Pod("shop", f"web-{node}", node, {"app": "web"}) for node in NODES),
)


@pytest.fixture(scope="module")
def mixed(packets: None) -> Iterator[Lab]:
    with Lab.up(unused_id(), SPEC) as lab:
        bridged = lab.nodes[BRIDGED]
        bridged.run("ip link add pod0 type veth peer name pod1 && ip link set pod0 master cbr0")
        hint = "*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n"
        lab.nodes[UNDECIDED].run("iptables-legacy-restore --noflush", input=hint)
        lab.apply(policy("deny-all", policyTypes=["Ingress"]))
        yield lab


def legacy_rules(lab: Lab, node: str) -> str:
    return str(lab.nodes[node].run("cat /proc/net/ip_tables_names; iptables-legacy-save -t filter").stdout)


def test_nodes_that_cannot_be_enforced_fail_with_the_reason_and_the_others_go_on(mixed: Lab) -> None:
    output = run(mixed, "enforce")
    assert output.code != 0
    lines = output.summary
    assert lines[0] == "Nodes: 2 converged (2 changed, 0 unchanged), 4 failed"
    reasons = {line.split(":")[0].strip(): line for line in lines[2:6]}
    assert "kube-proxy runs in IPVS mode" in reasons[IPVS]
    assert "a Cilium datapath is active" in reasons[CILIUM]
    assert "net.bridge.bridge-nf-call-iptables is not 1" in reasons[BRIDGED]
    assert all("set npm_datapath_check to false" in reasons[node] for node in (IPVS, CILIUM, BRIDGED))
    assert "both iptables variants" in reasons[UNDECIDED]
    assert "set npm_variant for this node" in reasons[UNDECIDED]
    for node in (IPVS, CILIUM, BRIDGED, UNDECIDED):
        assert not ours(mixed, node)

    assert not mixed.reach(f"shop/web-{IPVS}", f"shop/web-{PLAIN}").ok
    assert not mixed.reach(f"shop/web-{IPVS}", f"shop/web-{LEGACY}").ok
    assert mixed.reach(f"shop/web-{PLAIN}", f"shop/web-{IPVS}").ok
    assert "NPM-INGRESS" in legacy_rules(mixed, LEGACY)
    assert "NPM-" not in mixed.nodes[LEGACY].run("iptables-nft-save").stdout

    nodes = {"npm_datapath_check": False, "npm_variant": "nft"}
    forced = run(mixed, "enforce", "--limit", f"all:!{LEGACY}", variables=nodes)
    assert forced.code == 0
    assert forced.summary[0] == "Nodes: 5 converged (4 changed, 1 unchanged)"
    for node in (IPVS, UNDECIDED):
        assert not mixed.reach(f"shop/web-{PLAIN}", f"shop/web-{node}").ok
