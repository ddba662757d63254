# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark's inputs amount to, and what depends on no clock: rules and sets by the cluster's size."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.gather import Gathering
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Family
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from bench.layouts import azure_npm, kube_router
from bench.policies import NODE, policies, snapshot
from bench.realistic_pods import namespaces, pod
from bench.workload import FULL, SMALL, workload


def counts(count: int, local_pods: int) -> Counter[str]:
    """Rules and sets of the node's restore files, by what a line begins with."""
    rendered = render.render(
        Compiler(snapshot(policies(count, local_pods))).ruleset(NODE), render.environment(loader())
    )
    text = rendered.ipset + rendered.iptables + rendered.ip6tables
    return Counter(line.split()[0] for line in text.splitlines() if line.startswith(("-A", "create", "add")))


def test_a_node_holds_the_same_whatever_the_policies_of_the_cluster() -> None:
    few, many = counts(100, 30), counts(10_000, 30)
    assert few == many
    assert few["-A"] > 30


def test_the_peers_layouts_grow_with_the_cluster() -> None:
    """Else the comparison would be with something else than they are."""
    few, many = policies(100, 30), policies(1000, 30)
    for layout in (azure_npm, kube_router):
        assert layout(many).rules > 4 * layout(few).rules
        assert layout(many).sets > 4 * layout(few).sets


def test_realistic_pods_are_of_the_size_they_say_and_nothing_is_wrong_with_them() -> None:
    gathering = Gathering()
    for each in namespaces():
        gathering.add("Namespace", each)
    for number in range(50):
        assert 9_000 < len(json.dumps(pod(number))) < 13_000
        gathering.add("Pod", pod(number))
    assert gathering.problems == []
    assert gathering.missing_namespaces() == {}
    addresses = {
        pod(number, generation)["status"]["podIP"] for number in range(0, 150_000, 997) for generation in (0, 1)
    }
    assert len(addresses) == 2 * len(range(0, 150_000, 997))


@pytest.mark.parametrize("layout", [azure_npm, kube_router])
def test_a_layout_refers_to_what_it_makes(layout: object) -> None:
    made = layout(policies(20, 5))  # type: ignore[operator]
    sets = {line.split()[1] for line in made.ipset.splitlines() if line.startswith("create ")}
    words = [line.split() for line in made.iptables.splitlines()]
    matched = {line[at + 1] for line in words for at, word in enumerate(line) if word == "--match-set"}
    assert matched <= sets
    chains = {line[0][1:] for line in words if line[0].startswith(":")}
    targets = {line[line.index("-j") + 1] for line in words if "-j" in line}
    assert targets - chains <= {"ACCEPT", "DROP", "MARK", "REJECT", "RETURN"}


def test_the_full_node_is_as_large_as_it_says() -> None:
    ruleset = Compiler(workload(NODE).snapshot()).ruleset(NODE)
    held = ruleset.family(Family.IPV4)
    assert len(held.sets) == 500
    assert sum(len(each.members) for each in held.sets) == 150_000
    rules = sum(len(chain.rules) + 1 for chain in held.chains) + len(held.ingress) + len(held.egress)
    assert rules == 2000


def test_the_same_seed_gives_the_same_cluster_and_churn_its_share() -> None:
    start = workload(NODE, SMALL)
    assert start == workload(NODE, SMALL)
    churned = start.churned(0.01)
    moved = [old for old, new in zip(start.peers, churned.peers, strict=True) if old != new]
    assert len(moved) == SMALL.peers // 100
    addresses = [pod.ips for pod in churned.peers]
    assert len(set(addresses)) == len(addresses)
    assert len(workload(NODE, FULL).churned(0.01).peers) == FULL.peers
