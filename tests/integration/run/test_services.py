# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services under a run's rules, and the settings about them, with packets, in each mode of kube-proxy that enforces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from lab.lab import Lab, unused_id
from lab.netns import ip_batch
from lab.probe import Probe
from lab.spec import small

from .playbooks import FIRST, SECOND, policy, run

pytestmark = pytest.mark.root

AZURE = "168.63.129.16"
# A Service spreads its connections by chance: this many meet both backends.
TRIES = 24


@pytest.fixture(
    scope="module", params=["iptables-nft", pytest.param("iptables-legacy", marks=pytest.mark.full), "nftables-nft"]
)
def served(packets: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Every pod of shop is isolated. The outside host also has the address of Azure's probes and wire server."""
    mode, _, variant = request.param.partition("-")
    spec = small(variant)
    spec = replace(spec, nodes=tuple(replace(node, proxy_mode=mode) for node in spec.nodes))
    with Lab.up(unused_id(), spec) as lab:
        ip_batch([f"address add {AZURE}/32 dev eth0"], lab.namespace("ext"))
        ip_batch([f"route add {AZURE}/32 dev ext"], lab.namespace("fab"))
        lab.prober.serve("wire server", "ext", [AZURE], [(80, "TCP"), (443, "TCP")])
        lab.apply(policy("deny-all", policyTypes=["Ingress"]))
        yield lab


def enforce(lab: Lab, **variables: Any) -> list[str]:
    output = run(lab, "enforce", variables=variables)
    assert output.code == 0, output.text
    return output.summary


def outcomes(lab: Lab, address: str, port: int = 80, from_address: str = "") -> set[str]:
    answers = lab.probe([Probe("ext", address, port, "TCP", from_address)] * TRIES)
    return {str(answer.server or answer.reason) for answer in answers}


def test_a_load_balancer_is_no_way_past_the_policies(served: Lab) -> None:
    lines = enforce(served)
    title = "Services that hide their clients' addresses from the policies of their pods (1):"
    reported = lines[lines.index(title) + 1]
    assert reported.startswith("  Service shop/web-cluster: spec.externalTrafficPolicy: is Cluster")
    assert "2 of 2 backends are isolated for ingress" in reported
    for place, node_ip in enumerate(served.ips(FIRST)):
        for service in ("shop/web-cluster", "shop/web-local"):
            assert outcomes(served, served.load_balancer_ips(service)[place]) == {"timeout"}
        assert outcomes(served, node_ip, served.node_port("shop/web-cluster")) == {"timeout"}


def test_azure_npms_place_lets_masqueraded_clients_in(served: Lab) -> None:
    """kube-proxy's iptables mode accepts its mark ahead of us, where the backend is on the node that was asked: on
    another node, that node's address is judged. Its nftables mode has no such rule."""
    node_port = served.ip(FIRST), served.node_port("shop/web-cluster")
    enforce(served, npm_hook="after_kube_services")
    in_nftables = served.nodes[FIRST].spec.proxy_mode == "nftables"
    assert outcomes(served, *node_port) == ({"timeout"} if in_nftables else {"shop/web-1", "timeout"})
    assert not served.reach("shop/client-1", "shop/web-2").ok
    enforce(served)
    assert outcomes(served, *node_port) == {"timeout"}


def test_a_source_that_is_always_allowed_reaches_backends_of_services_only(served: Lab) -> None:
    address = served.load_balancer_ips("shop/web-local")[0]
    enforce(served)
    assert outcomes(served, address, from_address=AZURE) == {"timeout"}
    enforce(served, npm_always_allowed_sources=[f"{AZURE}/32"])
    assert outcomes(served, address, from_address=AZURE) == {"shop/web-1", "shop/web-2"}
    assert outcomes(served, address) == {"timeout"}
    assert outcomes(served, served.ip("shop/client-1"), 8080, AZURE) == {"timeout"}


def test_where_forward_drops_what_nobody_accepts(served: Lab) -> None:
    for node in served.nodes.values():
        for tool in ("iptables", "ip6tables"):
            node.run(f"{tool}-{node.spec.variant} -P FORWARD DROP")
    enforce(served)
    assert not served.reach("shop/client-1", "other/client-2").ok
    enforce(served, npm_accept=True)
    for family in ("ipv4", "ipv6"):
        assert served.reach("shop/client-1", "other/client-2", family=family).ok
        assert not served.reach("other/client-2", "shop/web-1", family=family).ok
    # The node's own rules, which stand before our accepting one, keep their effect.
    wire_server = served.probe([Probe("shop/client-1", AZURE, port) for port in (443, 80)])
    assert [answer.ok for answer in wire_server] == [True, False]
    assert enforce(served, npm_accept=True)[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    assert "NPM-ACCEPT" in served.nodes[SECOND].run(f"iptables-{served.nodes[SECOND].spec.variant}-save").stdout
