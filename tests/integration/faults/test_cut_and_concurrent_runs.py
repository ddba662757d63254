# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections that are lost in the middle of a change, and two runs at once: a node is old or new, and gets there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.run.playbooks import ANSIBLE_PLAYBOOK, FIRST, QUICK_SSH, ROOT, SECOND, Output, commands, policy, run
from lab.lab import Lab, wait_for
from lab.node import Node

pytestmark = pytest.mark.root

HELD, GO = "/run/held", "/run/go"
# The first start that writes waits to be let go; whatever else there is to run, runs.
SLOW_IPSET = f"""#!/bin/sh
case "$*" in *restore*)
    if mkdir {HELD} 2>/dev/null; then
        cat >/run/held/input
        while [ ! -e {GO} ]; do sleep 0.05; done
        exec /usr/sbin/ipset "$@" </run/held/input
    fi ;;
esac
exec /usr/sbin/ipset "$@"
"""
OLD = policy("deny-others", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}])
NEW = policy("deny-others", ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"x": "y"}}}]}])
FLOWS = [("shop/client-2", "shop/web-1"), ("other/client-2", "shop/web-1"), ("shop/web-2", "shop/web-1")]
OLD_OUTCOME, NEW_OUTCOME = [True, False, False], [False, True, False]


@pytest.fixture
def changing(lab: Lab) -> Iterator[Lab]:
    """FIRST enforces OLD; the API already says NEW, and FIRST will stop in front of its first write to the kernel."""
    lab.relabel_pod("other/client-2", {"app": "client", "x": "y"})
    lab.apply(OLD)
    assert run(lab, "enforce").code == 0
    assert outcome(lab) == OLD_OUTCOME
    lab.apply(NEW)
    node = lab.nodes[FIRST]
    node.write_tool("ipset", SLOW_IPSET)
    yield lab
    node.run(f"touch {GO}")
    wait_until_idle(node)
    node.run(f"rm -rf {HELD} {GO}")


def outcome(lab: Lab) -> list[bool]:
    return [lab.reach(source, target).ok for source, target in FLOWS]


def wait_until_held(node: Node) -> None:
    wait_for(lambda: node.run(f"test -e {HELD}/input", check=False).returncode == 0, "the first write", 60)


def wait_until_idle(node: Node) -> None:
    """No script of ours runs any more: it holds the lock to its end."""
    node.run("flock -w 30 /run/npm-netpol/lock true")


def cut(node: Node) -> None:
    """End every session of the user on the node, as a lost machine in between does."""
    found = (
        node.run("pgrep -u azureuser -x sshd", check=False).stdout.split()
        or node.run("pgrep -f 'sshd: azureuser'").stdout.split()
    )
    assert found
    node.run(["/run/lab/bin/kill", "-9", *found])


@contextlib.contextmanager
def enforcing(lab: Lab, log: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """enforce.yml in the background, in a session of its own; it has ended at the end."""
    # Who starts the tests in the background has a shell that lets them ignore Ctrl-C, and what they start as well.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, ANSIBLE_PLAYBOOK, str(ROOT / "playbooks/enforce.yml"), *arguments]
    with log.open("w") as output:
        options = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        child = lab.popen_in("ctl", command, start_new_session=True, **options)
        try:
            yield child
            child.wait(120)
        finally:
            if child.poll() is None:
                child.kill()
                child.wait(10)


def test_a_session_that_is_cut_leaves_the_old_rules_and_the_script_ends_its_work(changing: Lab, tmp_path: Path) -> None:
    node, log = changing.nodes[FIRST], tmp_path / "log"
    with enforcing(changing, log, *QUICK_SSH) as child:
        wait_until_held(node)
        cut(node)
        child.wait(120)
    assert child.returncode != 0
    text = log.read_text()
    assert "Nodes: 1 converged (1 changed, 0 unchanged), 1 unreachable" in text
    assert outcome(changing) == OLD_OUTCOME
    node.run(f"touch {GO}")
    wait_until_idle(node)
    assert outcome(changing) == NEW_OUTCOME
    after = run(changing, "enforce")
    assert after.code == 0
    assert after.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    assert outcome(changing) == NEW_OUTCOME


def test_a_run_that_is_interrupted_says_what_it_has_and_has_not_done(changing: Lab, tmp_path: Path) -> None:
    node, log = changing.nodes[FIRST], tmp_path / "log"
    with enforcing(changing, log, "-e", "npm_serial=1") as child:
        wait_until_held(node)
        # As a Ctrl-C on a terminal: all of its processes.
        os.killpg(child.pid, signal.SIGINT)
        child.wait(30)
    assert child.returncode != 0
    assert Output(child.returncode, log.read_text()).summary[:6] == [
        "The run ended early: it was interrupted, or an error above ended it",
        "Nodes: 0 converged (0 changed, 0 unchanged), 1 cut off, 1 not reached, because the run ended early",
        "Cut off in a visit, of which the next run finds out what came (1):",
        f"  {FIRST}",
        "Pods: 6; to be isolated: 4 for ingress, 0 for egress; so far on 0 of 2 nodes",
        "Policies: 1 to be enforced, 0 refused; so far on 0 of 2 nodes",
    ]
    node.run(f"touch {GO}")
    wait_until_idle(node)
    after = run(changing, "enforce")
    assert after.summary[0].startswith("Nodes: 2 converged")
    assert outcome(changing) == NEW_OUTCOME


def test_a_run_enforces_what_it_compiled_whatever_another_one_writes_to_the_same_places(
    changing: Lab, tmp_path: Path
) -> None:
    node, log = changing.nodes[FIRST], tmp_path / "log"
    places = {"npm_run_directory": str(tmp_path / "run"), "npm_snapshot_path": str(tmp_path / "snapshot.json")}
    to_second = [(source, "shop/web-2") for source in ("shop/client-2", "other/client-2")]
    with enforcing(changing, log, "-e", json.dumps(places | {"npm_serial": 1})) as child:
        wait_until_held(node)
        changing.apply(OLD)
        assert run(changing, "enforce", "--check", "--limit", SECOND, variables=places).code == 0
        assert [path.name for path in (tmp_path / "run/nodes").iterdir()] == [SECOND]
        node.run(f"touch {GO}")
        child.wait(120)
    assert child.returncode == 0, log.read_text()
    assert outcome(changing) == NEW_OUTCOME
    assert [changing.reach(*flow).ok for flow in to_second] == [False, True]


def test_a_script_that_is_ended_too_leaves_the_old_rules_and_the_next_run_converges(
    changing: Lab, tmp_path: Path
) -> None:
    node, log = changing.nodes[FIRST], tmp_path / "log"
    with enforcing(changing, log, *QUICK_SSH) as child:
        wait_until_held(node)
        (script,) = node.run("pgrep -f '^sh /tmp/[^ ]*/script '").stdout.split()
        cut(node)
        node.run(["/run/lab/bin/kill", "-9", script, *node.run(f"pgrep -P {script}").stdout.split()])
        child.wait(120)
    assert child.returncode != 0
    assert outcome(changing) == OLD_OUTCOME
    node.run(f"touch {GO}")
    after = run(changing, "enforce")
    assert after.code == 0
    assert after.summary[0] == "Nodes: 2 converged (1 changed, 1 unchanged)"
    assert outcome(changing) == NEW_OUTCOME


def test_ssh_comes_back_after_a_cut_and_the_run_succeeds(changing: Lab, tmp_path: Path) -> None:
    node, log = changing.nodes[FIRST], tmp_path / "log"
    with enforcing(changing, log, "--limit", FIRST) as child:
        wait_until_held(node)
        before = commands(changing, FIRST)
        cut(node)
        wait_for(lambda: commands(changing, FIRST) > before, "ssh to try again", 30)
        node.run(f"touch {GO}")
        child.wait(120)
    assert child.returncode == 0, log.read_text()
    assert "Nodes: 1 converged (1 changed, 0 unchanged)" in log.read_text()
    assert outcome(changing) == NEW_OUTCOME


def test_two_runs_at_once_write_to_a_node_once(changing: Lab, tmp_path: Path) -> None:
    node, logs = changing.nodes[FIRST], (tmp_path / "one", tmp_path / "two")
    switch = "iptables-nft-restore"
    node.write_tool(switch, f'#!/bin/sh\necho >>/run/switches\nexec /usr/sbin/{switch} "$@"\n')
    with enforcing(changing, logs[0], "--limit", FIRST) as one:
        wait_until_held(node)
        before = commands(changing, FIRST)
        with enforcing(changing, logs[1], "--limit", FIRST) as two:
            # Look, apply: the second waits for the lock.
            wait_for(lambda: commands(changing, FIRST) - before == 2, "the second run to wait for the lock", 60)
            assert one.poll() is None
            assert two.poll() is None
            node.run(f"touch {GO}")
    texts = [log.read_text() for log in logs]
    assert (one.returncode, two.returncode) == (0, 0), texts
    assert node.run("wc -l </run/switches").stdout.split() == ["1"]
    node.run("rm /run/switches")
    assert outcome(changing) == NEW_OUTCOME
    after = run(changing, "enforce", "--limit", FIRST)
    assert after.summary[0] == "Nodes: 1 converged (0 changed, 1 unchanged)"
