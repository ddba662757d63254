# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole product through the Kubernetes API alone: enforce, again, drift, remove; and how many pods that took."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from integration.node_pod.reach import FIRST, SECOND, Reach
from integration.run.playbooks import ANSIBLE_PLAYBOOK, ours, policy, visits

pytestmark = pytest.mark.root


@pytest.mark.parametrize("minor", [35, 28], ids=["v5", "v4"])
def test_a_run_and_the_next(reach: Reach, minor: int) -> None:
    reach.lab.api.settings(minor=minor)
    reach.lab.apply(policy("deny"))
    before = {node: visits(reach.lab, node) for node in (FIRST, SECOND)}
    first = reach.playbook("enforce")
    assert first.code == 0, first.text
    assert [first.recap(node)["changed"] for node in (FIRST, SECOND)] == [1, 1]
    assert all("NPM-FORWARD" in ours(reach.lab, node) for node in (FIRST, SECOND))
    assert reach.is_clear()

    reach.lab.api.clear_requests()
    second = reach.playbook("enforce")
    assert [second.recap(node)["changed"] for node in (FIRST, SECOND)] == [0, 0]
    # One exchange with each node, one exec for it.
    assert (reach.created(), len(reach.execs())) == (2, 2)

    assert reach.playbook("remove").code == 0
    assert [ours(reach.lab, node) for node in (FIRST, SECOND)] == ["", ""]
    assert {node: visits(reach.lab, node) for node in (FIRST, SECOND)} == before, "nobody came over SSH"


def test_plays_and_forks_share_the_pods_of_a_run(reach: Reach) -> None:
    tasks = [{"ansible.builtin.raw": "true"}, {"ansible.builtin.raw": "hostname"}]
    delegated = {"ansible.builtin.raw": f'test "$(uname -n)" = {SECOND}', "delegate_to": SECOND}
    others = {"hosts": FIRST, "gather_facts": False, "tasks": [delegated]}
    play = {"hosts": "npm_nodes", "gather_facts": False, "tasks": tasks}
    done = reach.plays(play, others, play | {"strategy": "ansible.builtin.free"}, arguments=("--forks", "5"))
    assert done.code == 0, done.text
    assert reach.created() == 2
    assert len(reach.execs()) == 9
    assert reach.is_clear()


def test_a_reset_takes_the_pod_away(reach: Reach) -> None:
    done = reach.play(
        {"ansible.builtin.raw": "true"}, {"ansible.builtin.meta": "reset_connection"}, {"ansible.builtin.raw": "true"}
    )
    assert done.code == 0, done.text
    assert reach.created() == 4


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_interrupted_leaves_no_pod(reach: Reach, how: signal.Signals, tmp_path: Path) -> None:
    mark = "/tmp/npm-netpol-test-began"  # noqa: S108 (of the node)
    play = tmp_path / "long.yml"
    play.write_text(f"- hosts: {FIRST}\n  gather_facts: false\n  tasks: [{{raw: 'echo >{mark}; sleep 60'}}]\n")
    # Who starts the tests in the background has a shell that lets them ignore Ctrl-C, and what they start as well.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, ANSIBLE_PLAYBOOK, "-i", str(reach.inventory), str(play)]
    # In a session of its own, so that a signal meets it as a Ctrl-C on a terminal does: all of its processes.
    run = reach.lab.popen_in("ctl", command, start_new_session=True, stdout=sys.stderr, stderr=sys.stderr)
    until = time.monotonic() + 60
    while reach.lab.nodes[FIRST].run(["/run/lab/bin/test", "-e", mark], check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.1)
    reach.lab.nodes[FIRST].run(["/run/lab/bin/rm", mark])
    assert len(reach.pods()) == 1
    os.killpg(run.pid, how)
    run.wait(30)
    assert reach.is_clear()
