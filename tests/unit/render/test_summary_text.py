"""The summary at the end of a run: every number is there, every reason is one line, no list is endless."""

from __future__ import annotations

from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.summary_text import (
    NodeResult,
    Outcome,
    RunResult,
    outcomes,
    summary,
)

LISTS = (
    "problems",
    "exposed_services",
    "nodes_missing_in_inventory",
    "inventory_without_node",
    "windows_nodes",
    "virtual_nodes",
)


def compiled(nodes: int = 0, left_out: int = 0, **lists: list[str]) -> dict[str, Any]:
    """A result of npm.netpol.compile."""
    return {
        "counts": {
            "nodes": nodes,
            "nodes_left_out": left_out,
            "pods": 12345,
            "pods_isolated_ingress": 67,
            "pods_isolated_egress": 8,
            "policies_enforced": 9,
            "policies_refused": 2,
            **{name: len(lists.get(name, ())) for name in LISTS},
        },
        **{name: lists.get(name, [])[:100] for name in LISTS},
    }


def test_a_run_without_us_has_no_summary() -> None:
    assert summary(RunResult()) == []


def test_every_outcome_is_counted_and_every_failure_has_its_reason() -> None:
    nodes = (
        NodeResult("a", Outcome.CHANGED),
        NodeResult("b", Outcome.UNCHANGED),
        NodeResult("c", Outcome.UNCHANGED, drift=("IPv4: our jump in FORWARD is missing",)),
        NodeResult("d", Outcome.FAILED, "kube-proxy runs\n  in IPVS mode"),
        NodeResult("e", Outcome.UNREACHABLE, "Failed to connect"),
        NodeResult("w", Outcome.LEFT_OUT, "its operating system is windows"),
    )
    assert summary(RunResult(nodes, compiled(nodes=5, left_out=1))) == [
        "Nodes: 3 converged (1 changed, 2 unchanged), 1 failed, 1 unreachable, 1 left out",
        "Failed (1):",
        "  d: kube-proxy runs in IPVS mode",
        "Unreachable (1):",
        "  e: Failed to connect",
        "Left out (1):",
        "  w: its operating system is windows",
        "Drift found and healed (1):",
        "  c: IPv4: our jump in FORWARD is missing",
        "Pods: 12,345; to be isolated: 67 for ingress, 8 for egress; so far on 3 of 5 nodes",
        "Policies: 9 to be enforced, 2 refused; so far on 3 of 5 nodes",
    ]


def test_nodes_that_were_not_visited_are_a_number_and_hold_what_they_are_to_hold() -> None:
    unchanged = tuple(NodeResult(f"n{number}", Outcome.NOT_VISITED) for number in range(1, 1098))
    nodes = (NodeResult("a", Outcome.CHANGED), NodeResult("w", Outcome.LEFT_OUT, "Windows"), *unchanged)
    lines = summary(RunResult(nodes, compiled(nodes=1098, left_out=1)))
    assert lines[:3] == [
        "Nodes: 1 converged (1 changed, 0 unchanged), 1 left out, 1,097 left out: unchanged since their last run",
        "Left out (1):",
        "  w: Windows",
    ]
    assert "Policies: 9 enforced, 2 refused" in lines
    checked = summary(RunResult((NodeResult("a", Outcome.NOT_VISITED),), compiled(nodes=1), check_mode=True))
    assert checked[0] == "Nodes: 0 would change, 0 in sync, 1 left out: unchanged since their last run"


def removed(host: str, outcome: Outcome, *, overtaken: bool = False) -> NodeResult:
    return NodeResult(host, outcome, removing=True, overtaken=overtaken)


def test_check_mode_and_removal_are_told_apart() -> None:
    enforced = (NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.UNCHANGED))
    cleaned = (removed("a", Outcome.CHANGED), removed("b", Outcome.UNCHANGED))
    first_lines = {
        (check, removing): summary(RunResult(nodes, check_mode=check))[0]
        for check in (False, True)
        for removing, nodes in ((False, enforced), (True, cleaned))
    }
    assert first_lines == {
        (False, False): "Nodes: 2 converged (1 changed, 1 unchanged)",
        (True, False): "Nodes: 1 would change, 1 in sync",
        (False, True): "Nodes: 1 cleaned, 1 had nothing of ours",
        (True, True): "Nodes: 1 would be cleaned, 1 had nothing of ours",
    }


def test_nodes_that_the_run_never_came_to_are_not_forgotten() -> None:
    nodes = (NodeResult("a", Outcome.FAILED, "no"),)
    (first, *_) = summary(RunResult(nodes, compiled(nodes=1200)))
    assert first.endswith("1 failed, 1,199 not reached, because the run ended early")


def test_a_run_that_ended_before_any_node_says_so_and_is_no_check_mode() -> None:
    early = "No node was touched. The run ended early: it was interrupted, or an error above ended it"
    assert summary(RunResult(ended_early=True)) == [early]
    assert summary(RunResult(compiled=compiled(nodes=5), ended_early=True)) == [
        early,
        "Pods: 12,345; to be isolated: 67 for ingress, 8 for egress; so far on 0 of 5 nodes",
        "Policies: 9 to be enforced, 2 refused; so far on 0 of 5 nodes",
    ]
    assert summary(RunResult(compiled=compiled(nodes=5)))[1:] == ["Policies: 9 to be enforced, 2 refused"]


def test_a_run_that_ended_in_the_middle_tells_done_begun_and_not_reached_apart() -> None:
    nodes = (
        NodeResult("a", Outcome.CHANGED),
        NodeResult("b", Outcome.FAILED, "no"),
        NodeResult("c", Outcome.CUT_OFF),
        NodeResult("d", Outcome.CUT_OFF),
    )
    assert summary(RunResult(nodes, compiled(nodes=5), ended_early=True)) == [
        "The run ended early: it was interrupted, or an error above ended it",
        "Nodes: 1 converged (1 changed, 0 unchanged), 1 failed, 2 cut off, 1 not reached, because the run ended early",
        "Failed (1):",
        "  b: no",
        "Cut off in a visit, of which the next run finds out what came (2):",
        "  c",
        "  d",
        "Pods: 12,345; to be isolated: 67 for ingress, 8 for egress; so far on 1 of 5 nodes",
        "Policies: 9 to be enforced, 2 refused; so far on 1 of 5 nodes",
    ]


def test_a_removal_or_check_mode_that_ended_in_the_middle_keeps_its_words() -> None:
    removing = summary(RunResult((removed("a", Outcome.CHANGED), removed("b", Outcome.CUT_OFF)), ended_early=True))
    assert removing[1] == "Nodes: 1 cleaned, 0 had nothing of ours, 1 cut off"
    nodes = (NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.CUT_OFF))
    checking = summary(RunResult(nodes, compiled(nodes=2), ended_early=True, check_mode=True))
    assert checking[1] == "Nodes: 1 would change, 0 in sync, 1 cut off"
    assert checking[-1] == "Policies: 9 to be enforced, 2 refused"


def test_a_run_that_was_stopped_says_why_first() -> None:
    assert summary(RunResult(stopped="the API at\nhttps://10.0.0.1 answered 401")) == [
        "No node was touched: the API at https://10.0.0.1 answered 401"
    ]
    assert summary(RunResult(stopped="Task failed: no node was touched: no template")) == [
        "No node was touched: no template"
    ]


def test_a_run_that_was_stopped_after_another_one_takes_nothing_back() -> None:
    nodes = (NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.CHANGED))
    stopped = "the cluster could not be read, and no node was touched: 401"
    assert summary(RunResult(nodes, compiled(nodes=2), stopped=stopped)) == [
        "The run ended early, after its visits to the nodes below: the cluster could not be read: 401",
        "Nodes: 2 converged (2 changed, 0 unchanged)",
        "Pods: 12,345; isolated: 67 for ingress, 8 for egress",
        "Policies: 9 enforced, 2 refused",
    ]


def test_a_removal_on_the_way_to_enforcing_is_not_taken_for_it() -> None:
    cleaned = tuple(removed(host, Outcome.CHANGED, overtaken=True) for host in "bcd")
    nodes = (NodeResult("a", Outcome.CHANGED), *cleaned)
    assert summary(RunResult(nodes, compiled(nodes=4))) == [
        "Nodes: 1 converged (1 changed, 0 unchanged), 3 cleaned, 0 had nothing of ours, "
        "3 not reached, because the run ended early",
        "Pods: 12,345; to be isolated: 67 for ingress, 8 for egress; so far on 1 of 4 nodes",
        "Policies: 9 to be enforced, 2 refused; so far on 1 of 4 nodes",
    ]


def test_a_removal_after_enforcing_leaves_nothing_in_force() -> None:
    nodes = tuple(removed(host, Outcome.CHANGED) for host in "ab")
    first, *others = summary(RunResult(nodes, compiled(nodes=2)))
    assert first == "Nodes: 2 cleaned, 0 had nothing of ours"
    assert "Policies: 9 to be enforced, 2 refused; so far on 0 of 2 nodes" in others


def test_every_list_of_the_compilation_is_shown_and_cut() -> None:
    lists = {name: [f"{name} {number:03}" for number in range(130)] for name in LISTS}
    lines = summary(RunResult(compiled=compiled(**lists)))
    for name in LISTS:
        start = lines.index(f"  {name} 000")
        assert lines[start - 1].endswith(" (130):")
        assert lines[start + 19] == f"  {name} 019"
        assert lines[start + 20] == "  … and 110 more"
    assert len(lines) == 2 + len(LISTS) * 22


def test_a_reason_is_one_line_of_bounded_length() -> None:
    lines = summary(RunResult((NodeResult("a", Outcome.FAILED, "long " * 1000),)))
    assert len(lines) == 3
    assert len(lines[2]) < 450
    assert lines[2].endswith("…")


def test_the_last_result_of_a_host_counts() -> None:
    results = [NodeResult("b", Outcome.FAILED), NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.CHANGED)]
    assert outcomes(results) == (NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.CHANGED))


def test_policies_are_enforced_only_where_every_node_holds_them() -> None:
    good = (NodeResult("a", Outcome.CHANGED), NodeResult("b", Outcome.UNCHANGED))
    enforced = "Policies: 9 enforced, 2 refused"
    assert enforced in summary(RunResult(good, compiled(nodes=2)))
    assert enforced not in summary(RunResult(good, compiled(nodes=3)))
    assert enforced not in summary(RunResult(good, compiled(nodes=2), check_mode=True))


def test_a_run_without_hosts_says_so() -> None:
    assert any("no host in the group npm_nodes" in line for line in summary(RunResult(nobody=True)))
