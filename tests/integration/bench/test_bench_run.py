# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run over nodes in sync does on each: one task, one exchange; and that the benchmark sees it."""

from __future__ import annotations

import pytest
from bench.ansible import phases_of
from bench.fleet import fleet
from integration.run.playbooks import commands

pytestmark = pytest.mark.root


def test_a_run_in_the_steady_state_is_one_task_and_one_exchange_a_node(packets: None) -> None:
    with fleet(3) as nodes, nodes.connections() as control:
        before = {name: commands(nodes.lab, name) for name in nodes.lab.nodes}
        cost = nodes.enforce("ssh", control=control)
        after = {name: commands(nodes.lab, name) for name in nodes.lab.nodes}
    answers = [event for event in cost.events if event.get("host") and event["task"] == "npm.netpol.ruleset"]
    assert sorted(event["host"] for event in answers) == sorted(before)
    assert all(event["in_sync"] for event in answers)
    assert {name: after[name] - before[name] for name in before} == dict.fromkeys(before, 1)
    phases = phases_of(cost)
    assert (phases["exchanges a node"], phases["tasks a node"]) == (1, 1)
    assert phases["bytes a node"] <= 4096
    tasks = [event["task"].removeprefix("npm.netpol.") for event in cost.events if event["event"] == "task"]
    assert tasks == ["snapshot", "compile", "state", "ruleset", "state"], "nothing gathers facts"
    done = {event["task"] for event in cost.events if event["event"] == "ok"}
    assert "npm.netpol.state" not in done, "it is skipped"


def test_a_run_over_helper_pods_is_the_same_exchange(packets: None) -> None:
    with fleet(2) as nodes:
        cost = nodes.enforce("node_pod", forks=2)
        assert {name: commands(nodes.lab, name) for name in nodes.lab.nodes} == dict.fromkeys(nodes.lab.nodes, 0)
    answers = [event for event in cost.events if event.get("host") and event["task"] == "npm.netpol.ruleset"]
    assert [event["in_sync"] for event in answers] == [True, True]
    phases = phases_of(cost)
    assert (phases["exchanges a node"], phases["tasks a node"]) == (1, 1)
