# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""npm_scope: changed. Nobody comes to a node that, as far as earlier runs know, holds what it is to hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab.lab import Lab

from .playbooks import FIRST, FROM_CLIENTS, SECOND, Output, netfilter, run, visits

pytestmark = pytest.mark.root


class Runs:
    """Runs of enforce.yml with one state, and which nodes each has visited."""

    def __init__(self, lab: Lab, state: Path) -> None:
        self.lab = lab
        self.state = state

    def enforce(self, *arguments: str, scope: str = "changed", **variables: Any) -> Output:
        output, visited = self.look(*arguments, scope=scope, **variables)
        assert output.code == 0, output.text
        self.visited = visited
        return output

    def look(self, *arguments: str, **variables: Any) -> tuple[Output, list[str]]:
        playbook = variables.pop("playbook", "enforce")
        given = {"npm_state_dir": str(self.state)} | {f"npm_{name}": value for name, value in variables.items()}
        before = {node: visits(self.lab, node) for node in self.lab.nodes}
        output = run(self.lab, playbook, *arguments, variables=given)
        return output, [node for node in self.lab.nodes if visits(self.lab, node) > before[node]]

    def changed(self, *arguments: str, **variables: Any) -> list[str]:
        """The nodes that a run with the scope ``changed`` visits."""
        self.enforce(*arguments, **variables)
        return self.visited

    def records(self) -> list[str]:
        return sorted(path.stem for path in self.state.glob("*/nodes/*.json"))


@pytest.fixture
def runs(lab: Lab, tmp_path: Path) -> Runs:
    """All nodes are enforced on, and known."""
    lab.apply(FROM_CLIENTS)
    runs = Runs(lab, tmp_path / "state")
    runs.enforce(scope="all")
    assert runs.visited == [FIRST, SECOND]
    assert runs.records() == [FIRST, SECOND]
    return runs


def test_nobody_comes_where_nothing_has_changed_in_check_mode_neither(runs: Runs) -> None:
    for arguments in (("-v",), ("-v", "--check", "--diff")):
        output = runs.enforce(*arguments)
        assert runs.visited == []
        assert output.text.count("left out: unchanged since its last run") == len(runs.lab.nodes)
        assert output.summary[0].endswith(", 2 left out: unchanged since their last run")
        assert output.recap(FIRST)["changed"] == 0
    runs.enforce(scope="all")
    assert runs.visited == [FIRST, SECOND]


def test_a_first_run_comes_to_all(lab: Lab, tmp_path: Path) -> None:
    lab.apply(FROM_CLIENTS)
    runs = Runs(lab, tmp_path / "state")
    assert runs.changed("--check") == [FIRST, SECOND]
    assert runs.records() == []
    assert runs.changed() == [FIRST, SECOND]
    assert runs.changed() == []


def test_only_the_nodes_that_carry_a_relabelled_pod_are_visited(runs: Runs) -> None:
    lab = runs.lab
    # A set of both nodes loses it.
    lab.relabel_pod("shop/client-2", {"app": "else"})
    output = runs.enforce()
    assert runs.visited == [FIRST, SECOND]
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    # Only its own node has it as a target.
    lab.relabel_pod("shop/web-2", {"app": "open"})
    output = runs.enforce("--diff")
    assert runs.visited == [SECOND]
    assert output.summary[0] == (
        "Nodes: 1 converged (1 changed, 0 unchanged), 1 left out: unchanged since their last run"
    )
    assert "Policies: 1 enforced, 0 refused" in output.summary
    assert lab.reach("other/client-1", "shop/web-2").ok
    # No policy asks for such a label.
    lab.relabel_pod("shop/web-1", {"app": "web", "color": "blue"})
    assert runs.changed() == []


def test_a_node_that_booted_or_is_another_machine_is_visited(runs: Runs) -> None:
    api = runs.lab.api
    api.patch("nodes", FIRST, "", {"status": {"nodeInfo": {"bootID": "the-next-boot"}}})
    assert api.get("nodes", FIRST)["status"]["nodeInfo"]["bootID"] == "the-next-boot"
    runs.lab.nodes[FIRST].boot("the-next-boot")
    assert runs.changed() == [FIRST]
    assert runs.changed() == []
    node = api.get("nodes", SECOND) | {"apiVersion": "v1", "kind": "Node"}
    api.delete(node)
    api.load([node | {"metadata": node["metadata"] | {"uid": "of-a-new-machine"}}])
    assert runs.changed() == [SECOND]
    assert runs.changed() == []


def test_options_that_decide_what_a_node_holds_count(runs: Runs) -> None:
    assert runs.changed("--limit", SECOND, hook="after_kube_services") == [SECOND]
    assert runs.changed() == [SECOND]
    assert runs.changed(lock_timeout=50) == []


def drop_the_record(runs: Runs) -> None:
    next(runs.state.glob(f"*/nodes/{FIRST}.json")).unlink()


def damage_the_record(runs: Runs) -> None:
    next(runs.state.glob(f"*/nodes/{FIRST}.json")).write_text("{")


def be_of_other_code(runs: Runs) -> None:
    path = next(runs.state.glob(f"*/nodes/{FIRST}.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "another"}))


def test_a_record_that_is_doubtful_is_none(runs: Runs) -> None:
    for harm in (drop_the_record, damage_the_record, be_of_other_code):
        harm(runs)
        assert runs.changed() == [FIRST], harm.__name__
    assert runs.changed() == []


def test_a_node_that_failed_is_visited_until_it_succeeds(runs: Runs) -> None:
    lab = runs.lab
    lab.nodes[FIRST].write_tool("iptables-nft-restore", "#!/bin/sh\ncat >/dev/null\necho no >&2\nexit 1\n")
    lab.relabel_pod("shop/web-1", {"app": "open"})
    failed, visited = runs.look(scope="changed")
    assert visited == [FIRST]
    assert failed.summary[0] == (
        "Nodes: 0 converged (0 changed, 0 unchanged), 1 failed, 1 left out: unchanged since their last run"
    )
    assert runs.records() == [SECOND]
    # What the last successful run had put there is wanted again, but nobody knows what is there now.
    lab.relabel_pod("shop/web-1", {"app": "web"})
    lab.nodes[FIRST].restore_tools()
    assert runs.changed() == [FIRST]
    assert runs.records() == [FIRST, SECOND]


def test_a_node_that_was_unreachable_when_all_were_asked_is_visited(runs: Runs) -> None:
    runs.lab.disconnect(FIRST)
    quick = ("-e", "ansible_ssh_retries=0", "-e", "ansible_ssh_timeout=3")
    output, _visited = runs.look(*quick, scope="all")
    assert ", 1 unreachable" in output.summary[0]
    assert runs.records() == [SECOND]
    runs.lab.connect(FIRST)
    assert runs.changed() == [FIRST]


def test_drift_is_for_the_run_over_all(runs: Runs) -> None:
    clean = netfilter(runs.lab, FIRST)
    runs.lab.nodes[FIRST].run("iptables-nft -D FORWARD 1")
    hurt = netfilter(runs.lab, FIRST)
    assert hurt != clean
    assert runs.changed() == []
    assert netfilter(runs.lab, FIRST) == hurt
    assert "Drift found and healed (1):" in runs.enforce(scope="all").summary


def test_what_is_removed_is_forgotten(runs: Runs) -> None:
    removed, visited = runs.look("--limit", FIRST, playbook="remove")
    assert removed.code == 0
    assert visited == [FIRST]
    assert runs.records() == [SECOND]
    assert runs.changed() == [FIRST]
    checked, _visited = runs.look("--check", playbook="remove")
    assert checked.code == 0
    assert runs.records() == [FIRST, SECOND]


def test_a_node_that_may_have_been_another_clusters_is_forgotten_there(runs: Runs) -> None:
    other = runs.state / "uid-of-another-cluster" / "nodes" / f"{FIRST}.json"
    other.parent.mkdir(parents=True)
    for playbook, variables, stays in (
        ("enforce", {"scope": "all"}, True),
        ("enforce", {"scope": "all", "allow_other_cluster": True}, False),
        ("remove", {}, False),
    ):
        other.write_text("{}")
        output, _visited = runs.look("--limit", FIRST, playbook=playbook, **variables)
        assert output.code == 0
        assert other.exists() is stays


def test_a_node_with_something_left_to_do_is_visited_again(runs: Runs) -> None:
    node = runs.lab.nodes[FIRST]
    held = next(name for name in node.run("ipset list -n").stdout.split() if name.startswith("npm-4-"))
    node.run(f"iptables-nft -A OUTPUT -m set --match-set {held} dst -j RETURN")
    runs.lab.delete(FROM_CLIENTS)
    output = runs.enforce()
    assert runs.visited == [FIRST, SECOND]
    assert "stays, because a rule or a program that is not ours uses it" in " ".join(output.text.split())
    assert runs.records() == [SECOND]
    assert runs.changed() == [FIRST]


def test_a_record_that_cannot_be_written_is_a_warning_and_the_node_is_enforced(lab: Lab, tmp_path: Path) -> None:
    lab.apply(FROM_CLIENTS)
    runs = Runs(lab, tmp_path / "state")
    runs.state.write_text("a file in the place of the directory")
    output = runs.enforce()
    assert runs.visited == [FIRST, SECOND]
    assert f"{FIRST}.json cannot be written: " in " ".join(output.text.split())
    assert not lab.reach("other/client-1", "shop/web-2").ok
    assert runs.changed() == [FIRST, SECOND]


def test_a_scope_that_cannot_be_is_refused_before_any_node(lab: Lab, tmp_path: Path) -> None:
    for state, scope, message in (
        ("", "changed", "npm_scope is changed, but neither npm_state_dir nor npm_state_configmap is set"),
        (str(tmp_path), "some", "value of scope must be one of: all, changed, got: some"),
    ):
        output, visited = Runs(lab, tmp_path).look(scope=scope, state_dir=state)
        assert output.code != 0
        assert message in " ".join(output.text.split())
        assert visited == []
