# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""enforce.yml against the lab's API and nodes: who is touched, what is said, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab.lab import Lab

from .playbooks import FIRST, QUICK_SSH, ROOT, SECOND, inventory_with, ours, policy, run

pytestmark = pytest.mark.root

DENY_ALL = policy("deny-all", policyTypes=["Ingress"])
ALLOW_WEB = policy(
    "allow-web",
    podSelector={"matchLabels": {"app": "web"}},
    ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": 8080}]}],
)


def test_check_mode_then_a_run_then_nothing_to_do(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    lab.apply(ALLOW_WEB)

    checked = run(lab, "enforce", "--check", "--diff")
    assert checked.code == 0
    assert "chain NPM-INGRESS is missing" in checked.text
    assert checked.summary[:3] == [
        "Nodes: 2 would change, 0 in sync",
        "Pods: 6; to be isolated: 4 for ingress, 0 for egress",
        "Policies: 2 to be enforced, 0 refused",
    ]
    assert not ours(lab, FIRST)

    first = run(lab, "enforce")
    assert first.code == 0
    assert first.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    for family in ("ipv4", "ipv6"):
        assert lab.reach("shop/client-2", "shop/web-1", family=family).ok
        assert not lab.reach("other/client-2", "shop/web-1", family=family).ok
        assert lab.reach("shop/client-2", "other/client-1", family=family).ok

    second = run(lab, "enforce")
    assert second.code == 0
    assert second.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    assert second.recap(SECOND) == {
        "ok": 1,
        "changed": 0,
        "unreachable": 0,
        "failed": 0,
        "skipped": 0,
        "rescued": 0,
        "ignored": 0,
    }


def test_with_a_directory_for_state_the_second_run_reads_what_changed(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    # No resource of the lab needs more than a page but of this size.
    state = {"npm_state_dir": str(tmp_path / "state"), "npm_kubernetes": {"page_size": 1}}
    first = run(lab, "enforce", "-vv", variables=state)
    assert first.code == 0
    assert "the cluster was read in the mode full, changes: 0" in first.text
    assert "listed in full: nothing is kept of this cluster yet: " in first.text

    second = run(lab, "enforce", "-vv", variables=state)
    assert "the cluster was read in the mode incremental, changes: 0" in second.text
    assert second.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"

    lab.apply(ALLOW_WEB)
    third = run(lab, "enforce", "-vv", variables=state)
    assert "the cluster was read in the mode incremental, changes: 1" in third.text
    assert "listed in full" not in third.text
    assert lab.reach("shop/client-2", "shop/web-1").ok
    assert not lab.reach("other/client-2", "shop/web-1").ok

    # Nothing of it is seen by the nodes: whoever reads everything finds them in sync.
    assert run(lab, "enforce").summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"


def test_limit_touches_that_node_only_and_still_reads_the_cluster(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    output = run(lab, "enforce", "--limit", SECOND)
    assert output.code == 0
    assert output.summary[0] == "Nodes: 1 converged (1 changed, 0 unchanged)"
    assert not any("inventory" in line for line in output.summary)
    assert not ours(lab, FIRST)
    assert "NPM-INGRESS" in ours(lab, SECOND)


def test_an_unreachable_first_host_stops_nobody(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    lab.disconnect(FIRST)
    output = run(lab, "enforce", *QUICK_SSH)
    assert output.code != 0
    assert output.summary[0] == "Nodes: 1 converged (1 changed, 0 unchanged), 1 unreachable"
    assert output.summary[1] == "Unreachable (1):"
    assert output.summary[2].startswith(f"  {FIRST}: ")
    assert "NPM-INGRESS" in ours(lab, SECOND)


def test_a_node_that_fails_stops_nobody_and_is_named(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    lab.nodes[FIRST].remove_tool("ipset")
    output = run(lab, "enforce")
    assert output.code != 0
    assert output.summary[0] == "Nodes: 1 converged (1 changed, 0 unchanged), 1 failed"
    assert output.summary[1] == "Failed (1):"
    assert output.summary[2].startswith(f"  {FIRST}: ")
    assert "ipset" in output.summary[2]


def test_in_batches_the_nodes_converge_one_after_the_other(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    output = run(lab, "enforce", variables={"npm_serial": 1})
    assert output.code == 0
    assert output.text.count("PLAY [Converge the nodes]") == 2
    assert output.text.count("TASK [npm.netpol.enforce : Read the cluster]") == 1
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"


def test_a_first_batch_that_fails_whole_ends_the_run(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    lab.nodes[FIRST].remove_tool("ipset")
    output = run(lab, "enforce", variables={"npm_serial": [1, "100%"]})
    assert output.code != 0
    assert output.summary[0] == (
        "Nodes: 0 converged (0 changed, 0 unchanged), 1 failed, 1 not reached, because the run ended early"
    )
    assert not ours(lab, SECOND)


def test_a_run_that_an_error_ends_between_its_plays_says_so(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    output = run(lab, "enforce", variables={"npm_serial": "many"})
    assert output.code != 0
    assert output.summary[:3] == [
        "No node was touched. The run ended early: it was interrupted, or an error above ended it",
        "Pods: 6; to be isolated: 4 for ingress, 0 for egress; so far on 0 of 2 nodes",
        "Policies: 1 to be enforced, 0 refused; so far on 0 of 2 nodes",
    ]
    assert not ours(lab, FIRST)


def test_the_summary_of_a_playbook_with_two_runs_tells_what_each_node_was_last_given(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    playbook, nowhere = tmp_path / "site.yml", [str(tmp_path / "nowhere")]
    runs = [
        {"import_playbook": str(ROOT / "playbooks/remove.yml")},
        {"import_playbook": str(ROOT / "playbooks/enforce.yml")},
        {"import_playbook": str(ROOT / "playbooks/enforce.yml"), "vars": {"npm_template_path": nowhere}},
    ]
    playbook.write_text(json.dumps(runs[:2]))
    whole = run(lab, playbook)
    assert whole.code == 0, whole.text
    enforced = ["Nodes: 2 converged (2 changed, 0 unchanged)", "Pods: 6; isolated: 4 for ingress, 0 for egress"]
    assert whole.summary[:2] == enforced

    playbook.write_text(json.dumps(runs))
    stopped = run(lab, playbook)
    assert stopped.code != 0
    first, *others = stopped.summary
    assert first.startswith("The run ended early, after its visits to the nodes below: template_path: ")
    assert others[:2] == enforced


def test_any_strategy_does(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    output = run(lab, "enforce", env={"ANSIBLE_STRATEGY": "free"})
    assert output.code == 0
    assert output.text.count("TASK [npm.netpol.enforce : Read the cluster]") == 1
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"


def test_inventory_and_cluster_that_disagree_are_reported(lab: Lab, tmp_path: Path) -> None:
    windows = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "akswin000000", "labels": {"kubernetes.io/os": "windows"}},
    }
    lab.apply(windows)
    inventory = inventory_with(lab, tmp_path / "inventory.yml", {"gone": {}, "akswin000000": {}}, without=(FIRST,))
    try:
        output = run(lab, "enforce", "-i", str(inventory))
    finally:
        lab.delete(windows)
    assert output.code != 0
    lines = output.summary
    assert lines[0] == "Nodes: 1 converged (1 changed, 0 unchanged), 1 failed, 1 left out"
    assert lines[lines.index("Failed (1):") + 1].startswith("  gone: the cluster has no node of this name")
    assert lines[lines.index("Left out (1):") + 1].startswith("  akswin000000: its operating system is windows")
    missing = "Nodes of the cluster that the inventory lacks: nobody enforces for their pods (1):"
    assert lines[lines.index(missing) + 1] == f"  {FIRST}"
    assert lines[lines.index("Hosts of the inventory that the cluster lacks (1):") + 1] == "  gone"
    assert lines[lines.index("Windows nodes, which are left out (1):") + 1] == "  akswin000000"


def test_a_host_may_have_another_name_than_its_node(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    host = {"ansible_host": lab.ips(FIRST)[0], "npm_node_name": FIRST}
    inventory = inventory_with(lab, tmp_path / "inventory.yml", {"10-240-0-10": host}, without=(FIRST,))
    output = run(lab, "enforce", "-i", str(inventory))
    assert output.code == 0, output.text
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert not any("inventory" in line for line in output.summary)
    assert "NPM-INGRESS" in ours(lab, FIRST)


def test_a_name_that_only_the_play_knows_is_said_to_be_one(lab: Lab, tmp_path: Path) -> None:
    host = {"ansible_host": lab.ips(FIRST)[0], "k8s_name": FIRST}
    inventory = inventory_with(lab, tmp_path / "inventory.yml", {"10-240-0-10": host}, without=(FIRST, SECOND))
    play = tmp_path / "play.yml"
    names = "vars: {npm_node_name: '{{ k8s_name }}'}"
    play.write_text(f"- {{hosts: npm_nodes, gather_facts: false, {names}, roles: [npm.netpol.enforce]}}\n")
    output = run(lab, play, "-i", str(inventory))
    assert output.code != 0
    said = " ".join(output.text.split())
    assert f"this run has compiled nothing for the node {FIRST}: it was not among the hosts of the play, or " in said
    assert "npm_node_name is a variable of a play or of a role, and not of the host" in said


def test_a_protected_namespace_stops_the_run_before_any_node_is_touched(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    stopped = run(lab, "enforce", variables={"npm_protected_namespaces": ["shop"]})
    assert stopped.code != 0
    assert stopped.summary[0].startswith("No node was touched: ")
    assert "NetworkPolicy shop/deny-all" in stopped.summary[0]
    assert "netpol.npm/allow-in-protected-namespace" in stopped.summary[0]
    assert "Converge the nodes" not in stopped.text
    assert not ours(lab, FIRST)

    metadata = {**DENY_ALL["metadata"], "annotations": {"netpol.npm/allow-in-protected-namespace": "true"}}
    lab.apply({**DENY_ALL, "metadata": metadata})
    assert run(lab, "enforce", variables={"npm_protected_namespaces": ["shop"]}).code == 0
    assert "NPM-INGRESS" in ours(lab, FIRST)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for line in %}", "iptables.j2, line 1: Expected an expression"),
        ("*filter\nCOMMIT\n", "iptables.j2 leaves out the chain NPM-EGRESS"),
    ],
)
def test_a_wrong_template_stops_the_run_before_any_node_is_touched(
    lab: Lab, tmp_path: Path, template: str, message: str
) -> None:
    (tmp_path / "iptables.j2").write_text(template)
    output = run(lab, "enforce", variables={"npm_template_path": [str(tmp_path)]})
    assert output.code != 0
    assert output.summary[0].startswith("No node was touched: template ")
    assert message in output.summary[0]
    assert not ours(lab, FIRST)


def test_a_template_of_the_user_reaches_the_kernel(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    (tmp_path / "iptables.j2").write_text(
        '{% extends "enforce/iptables.j2" %}{% block denied %}'
        "-A {{ chain.name }} -m limit --limit 5/min -j NFLOG --nflog-group 100\n{{ super() }}{% endblock %}"
    )
    variables = {"npm_template_path": [str(tmp_path)]}
    assert run(lab, "enforce", variables=variables).code == 0
    assert "-j NFLOG --nflog-group 100" in ours(lab, FIRST)
    assert not lab.reach("other/client-2", "shop/web-1").ok
    again = run(lab, "enforce", variables=variables)
    assert again.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"


def test_converging_without_this_runs_compilation_is_refused(lab: Lab, tmp_path: Path) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text(
        "- hosts: npm_nodes\n  gather_facts: false\n  tasks:\n"
        "    - import_role: {name: npm.netpol.enforce, tasks_from: converge, rolespec_validate: false}\n"
    )
    output = run(lab, playbook)
    assert output.code != 0
    assert output.summary[0] == "Nodes: 0 converged (0 changed, 0 unchanged), 2 failed"
    assert "run is required" in output.summary[2]
    assert not ours(lab, FIRST)


def test_manifests_take_the_place_of_the_api(lab: Lab, tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "deny.yml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny-all, namespace: shop}\n"
        "spec: {podSelector: {}}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop}\n"
        f"spec: {{nodeName: {FIRST}}}\nstatus: {{phase: Running, podIPs: [{{ip: {lab.ip('shop/web-1')}}}]}}\n"
    )
    lab.api.clear_requests()
    # The API's cluster and these manifests are two: a node must be told to change hands.
    variables = {"npm_manifests": [str(manifests)], "npm_allow_other_cluster": True}
    output = run(lab, "enforce", "--limit", FIRST, variables=variables)
    assert output.code == 0, output.text
    assert "Pods: 1; isolated: 1 for ingress, 0 for egress" in output.summary
    assert lab.api.requests() == []
    assert not lab.reach("shop/client-2", "shop/web-1").ok
    assert run(lab, "remove").code == 0


def test_options_of_the_api_can_be_variables(lab: Lab, tmp_path: Path) -> None:
    unset = {"K8S_AUTH_KUBECONFIG": "", "KUBECONFIG": str(tmp_path / "none")}
    variables = {"npm_kubernetes": {"kubeconfig": str(lab.kubeconfig)}}
    assert run(lab, "enforce", "--check", env=unset, variables=variables).code == 0
    without = run(lab, "enforce", "--check", env=unset)
    assert without.code != 0
    assert without.summary[0].startswith("No node was touched: ")


def test_what_was_compiled_can_be_kept(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    kept = tmp_path / "run"
    variables = {"npm_run_directory": str(kept), "npm_snapshot_path": str(tmp_path / "snapshot.json")}
    assert run(lab, "enforce", "--check", variables=variables).code == 0
    assert sorted(path.name for path in (kept / "nodes").iterdir()) == [FIRST, SECOND]
    first = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert any(b"shop/web-1" in text for text in first.values())
    assert (tmp_path / "snapshot.json").stat().st_mode & 0o777 == 0o600
    assert run(lab, "enforce", "--check", variables=variables).code == 0
    again = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    nodes = {path: text for path, text in first.items() if kept / "nodes" in path.parents}
    assert {path: text for path, text in again.items() if path in nodes} == nodes


def test_the_role_does_both_steps_in_one_play(lab: Lab, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    playbook = tmp_path / "site.yml"
    playbook.write_text("- hosts: npm_nodes\n  gather_facts: false\n  roles: [npm.netpol.enforce]\n")
    output = run(lab, playbook)
    assert output.code == 0, output.text
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert "NPM-INGRESS" in ours(lab, SECOND)


def test_remove_leaves_nothing_of_ours_and_is_idempotent(lab: Lab) -> None:
    lab.apply(DENY_ALL)
    assert run(lab, "enforce").code == 0
    checked = run(lab, "remove", "--check")
    assert checked.summary == ["Nodes: 2 would be cleaned, 0 had nothing of ours"]
    assert "NPM-INGRESS" in ours(lab, FIRST)
    assert run(lab, "remove").summary == ["Nodes: 2 cleaned, 0 had nothing of ours"]
    assert not ours(lab, FIRST)
    assert not ours(lab, SECOND)
    again = run(lab, "remove")
    assert again.code == 0
    assert again.summary == ["Nodes: 0 cleaned, 2 had nothing of ours"]


def test_the_collections_own_playbook_is_the_same(lab: Lab, tmp_path: Path) -> None:
    output = run(lab, ROOT / "collections/ansible_collections/npm/netpol/playbooks/enforce.yml", "--check")
    assert output.code == 0
    assert output.summary[0] == "Nodes: 2 would change, 0 in sync"
