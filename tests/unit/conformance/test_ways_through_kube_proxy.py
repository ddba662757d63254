# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kube-proxy makes of connections to Services, node by node (the kernel is held to the same by the cases)."""

from __future__ import annotations

import pytest
from conformance import suite
from conformance.flow import Flow
from conformance.kube_proxy import Leg, UnknownWayError, asked_at, ways
from lab.cluster import Cluster

CLUSTER = Cluster.of(suite.named("services").spec)
ONE, NEAR, FAR = "10.244.1.11", *(CLUSTER.pods[f"y/{name}"].ips[0] for name in ("near", "far"))
NODE_1, NODE_2, OUTSIDE = "10.240.0.10", "10.240.0.11", "198.51.100.10"


def flow(source: str, target: str) -> Flow:
    return Flow(source, target, 8001, "TCP", "ipv4")


@pytest.mark.parametrize(
    ("source", "target", "legs"),
    [
        ("y/near", "service x/one", [Leg("node-1", NEAR, ONE, 80)]),
        ("y/far", "service x/one", [Leg("node-2", FAR, ONE, 80), Leg("node-1", FAR, ONE, 80)]),
        ("node-1", "service x/one", []),
        ("node-2", "service x/one", [Leg("node-1", NODE_2, ONE, 80)]),
        ("x/one", "service x/one", [Leg("node-1", ONE, ONE, 80, marked=True)]),
        ("ext", "nodeport x/one via node-1", [Leg("node-1", OUTSIDE, ONE, 80, marked=True)]),
        (
            "ext",
            "nodeport x/one via node-2",
            [Leg("node-2", OUTSIDE, ONE, 80, marked=True), Leg("node-1", NODE_2, ONE, 80)],
        ),
        ("ext", "nodeport x/one-local via node-1", [Leg("node-1", OUTSIDE, ONE, 80)]),
        ("ext", "balancer x/one-local", [Leg("node-1", OUTSIDE, ONE, 80)]),
        (
            "y/far",
            "nodeport x/one via node-1",
            [Leg("node-2", FAR, NODE_1, 30001), Leg("node-1", FAR, ONE, 80, marked=True)],
        ),
        (
            "y/far",
            "balancer x/one",
            [Leg("node-2", FAR, ONE, 80, marked=True), Leg("node-1", NODE_2, ONE, 80)],
        ),
        ("y/far", "balancer x/one-local", [Leg("node-2", FAR, ONE, 80), Leg("node-1", FAR, ONE, 80)]),
    ],
)
def test_each_node_on_the_way_sees_what_kube_proxy_leaves(source: str, target: str, legs: list[Leg]) -> None:
    assert ways(CLUSTER, flow(source, target)) == (tuple(legs),)


def test_a_balancer_takes_one_of_several_ways() -> None:
    direct = (Leg("node-1", OUTSIDE, ONE, 80, marked=True),)
    by_the_other = (Leg("node-2", OUTSIDE, ONE, 80, marked=True), Leg("node-1", NODE_2, ONE, 80))
    assert set(ways(CLUSTER, flow("ext", "balancer x/one"))) == {direct, by_the_other}


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("ext", "service x/one", "means nothing outside"),
        ("ext", "nodeport x/one-local via node-2", "nobody answers"),
        ("y/near", "nodeport x/one-local via node-2", "may go past node-2"),
    ],
)
def test_a_way_that_nobody_can_tell_is_an_error(source: str, target: str, message: str) -> None:
    with pytest.raises(UnknownWayError, match=message):
        ways(CLUSTER, flow(source, target))


def test_the_client_itself_uses_the_services_address_and_port() -> None:
    assert asked_at(CLUSTER, flow("y/near", "nodeport x/one via node-2")) == (NODE_2, 30001)
    assert asked_at(CLUSTER, flow("y/near", "balancer x/one")) == (CLUSTER.services["x/one"].load_balancer_ips[0], 8001)
    assert asked_at(CLUSTER, flow("y/near", "service x/one")) == (CLUSTER.services["x/one"].cluster_ips[0], 8001)
    assert asked_at(CLUSTER, Flow("y/near", "x/one", 80, "TCP", "ipv4")) == (ONE, 80)
