# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""That the ways to a node which are measured beside each other do what they are measured at."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bench import kubernetes_core
from bench.ways import CLIENT, COLD, KUBECTL, OURS, WARM, Plan, facts, helper_pods, ways
from integration.run.playbooks import FIRST
from lab.access import namespace_of_helper_pods
from lab.lab import Lab, LabError

pytestmark = pytest.mark.root

_REMOTE = "/dev/shm/npm-netpol-test"  # noqa: S108 (of the node)


@pytest.fixture(autouse=True)
def _nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> Path:
        raise kubernetes_core.UnavailableError("not for tests")

    monkeypatch.setattr(kubernetes_core, "collections_path", unavailable)


def test_every_way_runs_commands_and_moves_files(lab: Lab, tmp_path: Path) -> None:
    local, back = tmp_path / "sent", tmp_path / "back"
    local.write_bytes(os.urandom(300_001))
    lab.apply(namespace_of_helper_pods())
    with helper_pods(lab, FIRST) as pods:
        there = dict(ways(lab, FIRST, pods.names[FIRST]))
        assert there.pop(KUBECTL) == "not for tests"
        assert list(there) == [COLD, WARM, OURS, CLIENT]
        for name, plan in there.items():
            assert isinstance(plan, Plan)
            files = (["put", str(local), _REMOTE], ["fetch", _REMOTE, str(back)])
            commands, scripts, *moved = facts(lab, plan, ["command", 2], ["script", 1], *files)
            assert (len(commands), len(scripts)) == (2, 1)
            assert back.read_bytes() == local.read_bytes(), name
            assert all(0 < each["before"] <= each["after"] for each in moved), name
            back.unlink()
            lab.nodes[FIRST].run(["/run/lab/bin/rm", _REMOTE])
            # Only what stays for all of them is left.
            assert {pod["metadata"]["name"] for pod in lab.api.list("pods", "npm-netpol-nodes")} == {pods.names[FIRST]}


def test_what_fails_gives_no_figure(lab: Lab, tmp_path: Path) -> None:
    lab.apply(namespace_of_helper_pods())
    words = "/nowhere.* (not found|No such file)|cannot read /nowhere|cat ended with 1"
    with helper_pods(lab, FIRST) as pods:
        for plan in ways(lab, FIRST, pods.names[FIRST]).values():
            if isinstance(plan, Plan):
                with pytest.raises(LabError, match=words):
                    facts(lab, plan, ["fetch", "/nowhere", str(tmp_path / "back")])
