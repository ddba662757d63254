# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Nodes and snapshots that a run must refuse: each with the reason and what to do about it, and nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from integration.run.playbooks import FIRST, SECOND, Output, inventory_with, netfilter, ours, policy, run
from lab.lab import Lab

pytestmark = pytest.mark.root

DENY_ALL = policy("deny-all", policyTypes=["Ingress"])
REPLAY = """
- hosts: npm_nodes
  gather_facts: false
  tasks:
    - npm.netpol.compile:
        snapshot: "{{ snapshot }}"
      run_once: true
      delegate_to: localhost
      register: npm_run
    - import_role: {name: npm.netpol.enforce, tasks_from: converge, rolespec_validate: false}
"""


def failures(output: Output) -> dict[str, str]:
    """The reason that the summary gives for each node that failed."""
    lines = output.summary
    start = next(number for number, line in enumerate(lines, 1) if line.startswith("Failed ("))
    named = (line.strip().partition(": ") for line in lines[start:] if line.startswith("  aks-"))
    return {host: reason for host, _, reason in named}


def host(lab: Lab, node: str, **variables: Any) -> dict[str, Any]:
    return {"ansible_host": lab.ips(node)[0], **variables}


def test_ways_to_root_that_do_not_work(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    hosts = {
        FIRST: host(lab, FIRST, ansible_become=False),
        SECOND: host(lab, SECOND, ansible_become_method="su"),
    }
    output = run(lab, "enforce", "-i", str(inventory_with(lab, tmp_path / "inventory.yml", hosts)))
    assert output.code != 0
    reasons = failures(output)
    assert reasons[FIRST] == "the script does not run as root: set ansible_become to true for this node"
    assert reasons[SECOND].startswith("become_method su cannot carry a script's standard input: use sudo")
    assert not ours(lab, FIRST)
    assert not ours(lab, SECOND)


def test_programs_that_are_missing_are_named(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    lab.nodes[FIRST].remove_tool("ipset")
    for tool in [each.name for each in lab.nodes[SECOND].bin.iterdir() if "tables" in each.name]:
        lab.nodes[SECOND].remove_tool(tool)
    output = run(lab, "enforce")
    assert output.code != 0
    assert failures(output) == {
        FIRST: "the program ipset is missing on this node",
        SECOND: "the program iptables is missing on this node",
    }


def test_an_older_snapshot_does_not_take_the_place_of_a_newer_one(lab: Lab, tmp_path: Path) -> None:
    replay, old = tmp_path / "replay.yml", tmp_path / "old.json"
    replay.write_text(REPLAY)
    lab.apply(DENY_ALL)
    assert run(lab, "enforce", variables={"npm_snapshot_path": str(old)}).code == 0
    lab.delete(DENY_ALL)
    assert run(lab, "enforce").code == 0
    assert lab.reach("shop/client-1", "shop/web-2").ok
    before = {node: netfilter(lab, node) for node in lab.nodes}

    refused = run(lab, replay, variables={"snapshot": str(old)})
    assert refused.code != 0
    for reason in failures(refused).values():
        assert reason.startswith("the node enforces a newer snapshot (resourceVersion ")
        assert reason.endswith("Set npm_allow_older to true to go back.")
    assert {node: netfilter(lab, node) for node in lab.nodes} == before

    back = run(lab, replay, variables={"snapshot": str(old), "npm_allow_older": True})
    assert back.code == 0
    assert back.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert not lab.reach("shop/client-1", "shop/web-2").ok
    forth = run(lab, "enforce")
    assert forth.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert lab.reach("shop/client-1", "shop/web-2").ok
    assert run(lab, "remove").code == 0


def test_another_clusters_snapshot_is_refused(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    assert run(lab, "enforce").code == 0
    before = {node: netfilter(lab, node) for node in lab.nodes}
    other = tmp_path / "other.yml"
    metadata = {"name": "kube-system", "uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "999999999"}
    other.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))

    refused = run(lab, "enforce", variables={"npm_manifests": [str(other)]})
    assert refused.code != 0
    assert set(failures(refused)) == set(lab.nodes)
    for reason in failures(refused).values():
        assert reason.startswith("the node enforces the policies of cluster ")
        assert "this snapshot is of cluster 11111111-2222-3333-4444-555555555555" in reason
        assert reason.endswith("Set npm_allow_other_cluster to true to take the node over.")
    assert {node: netfilter(lab, node) for node in lab.nodes} == before
    # The node must not remember a cluster that the next test does not have.
    assert run(lab, "remove").code == 0
