# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person is told of a cluster: its problems in order, and how many pods and policies there are."""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.problem import Problem
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Cluster, ClusterNetworkPolicy, make
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from unit.policy.clusters import World, pod, policy

DNS = pod("kube-system/dns", "10.0.0.1", app="dns")
PROXY = pod("kube-system/proxy", "192.168.0.4", app="proxy", host_network=True)
WEB = pod("shop/web", "10.0.1.1", "fd00::1", app="web")
DB = pod("shop/db", "10.0.1.2", "fd00::2", app="db")
DENY = policy("shop/deny", "{}")


def test_problems_are_those_of_the_snapshot_and_our_own_in_order() -> None:
    before = Problem("Pod", "shop", "odd", "spec", "could not be read")
    snapshot = make(
        Cluster(),
        problems=[before],
        cluster_network_policies=[ClusterNetworkPolicy("b", {}), ClusterNetworkPolicy("a", {})],
    )
    problems = Compiler(snapshot).problems
    assert [problem.object for problem in problems] == [
        "ClusterNetworkPolicy a",
        "ClusterNetworkPolicy b",
        "Pod shop/odd",
    ]


def test_the_summary_counts() -> None:
    them = World.of(
        DNS,
        PROXY,
        WEB,
        DB,
        pod("shop/new", app="web"),
        DENY,
        policy("shop/out", "{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], x: 1}"),
    )
    summary = them.compiler.summary
    assert (summary.pods, summary.pods_isolated_ingress, summary.pods_isolated_egress) == (3, 2, 1)
    assert (summary.policies_enforced, summary.policies_refused) == (1, 1)
