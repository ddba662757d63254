# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab leaves nothing behind, however it ends, and labs beside each other do not meet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import cleanup, netns
from lab.lab import Lab, remove, unused_id, wait_for
from lab.netns import LabError
from lab.spec import LabSpec, Node, Pod

TESTS = Path(__file__).parents[2]
SPEC = LabSpec((Node("n1"), Node("n2")), pods=(Pod("a", "x", "n1"), Pod("a", "y", "n2")))
OWNER = """
import sys
from lab.lab import Lab
from lab.spec import LabSpec, Node, Pod
lab = Lab.up(sys.argv[1], LabSpec((Node("n1"),), pods=(Pod("a", "x", "n1"),)), api=None, keep=sys.argv[2] == "keep")
print("up", flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.usefixtures("packets")


@pytest.fixture
def lab_id() -> str:
    return unused_id()


def traces(lab_id: str) -> list[str]:
    """Whatever there is of the lab: namespaces, files, processes.

    Processes by their command line: their namespace may have lost its name.
    """
    found = netns.existing(netns.prefix(lab_id))
    found += [str(path) for path in [cleanup.DIRECTORY / lab_id] if path.exists()]
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        marks = (f"{cleanup.DIRECTORY}/{lab_id}/", netns.prefix(lab_id))
        if any(mark in word for word in words for mark in marks) or words[-2:-1] == [lab_id]:
            found.append(f"process {entry.name}: {' '.join(words)}")
    return found


def root_network() -> str:
    commands = (["ip", "-o", "address"], ["ip", "route"], ["ip", "-6", "route"], ["nft", "list", "ruleset"])
    texts = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in commands]
    sysctls = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter")
    return "\n".join([*texts, *((Path("/proc/sys") / name).read_text() for name in sysctls)])


def test_down_leaves_nothing_and_the_root_namespace_is_untouched(lab_id: str) -> None:
    before = root_network()
    with Lab.up(lab_id, SPEC, api=None) as lab:
        assert lab.ssh("n1", "sudo -n true").returncode == 0
        assert lab.reach("a/x", "a/y").ok
        assert len(traces(lab_id)) > len(lab.nodes) + len(lab.cluster.pods)
        assert root_network() == before
    assert traces(lab_id) == []
    assert root_network() == before


@pytest.mark.parametrize("how", ["keep", "watched"])
def test_kill_9_of_the_owner(lab_id: str, how: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, lab_id, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        os.kill(owner.pid, signal.SIGKILL)
    if how == "watched":
        wait_for(lambda: traces(lab_id) == [], "the watchdog to remove the lab")
    else:
        # Nobody watches: it stays, until the next one of that id.
        assert Lab.attach(lab_id).reach("n1", "a/x").ok
        with Lab.up(lab_id, SPEC, api=None) as lab:
            assert lab.reach("a/x", "a/y").ok
    assert traces(lab_id) == []


def test_kill_9_while_it_is_being_built(lab_id: str) -> None:
    for moment in ("ctl", "node-n1", "pod-a.x"):
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, lab_id, "keep"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS
        )
        with owner:
            wait_for(lambda name=moment: netns.path(f"{netns.prefix(lab_id)}{name}").exists(), f"namespace {moment}")
            os.kill(owner.pid, signal.SIGKILL)
        remove(lab_id)
        assert traces(lab_id) == [], moment


def test_a_lab_that_cannot_be_built_leaves_nothing(lab_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LabError("no wires today")

    monkeypatch.setattr("lab.network.add_pods", fail)
    with pytest.raises(LabError, match="no wires today"):
        Lab.up(lab_id, SPEC, api=None)
    assert traces(lab_id) == []


def test_down_ends_what_still_runs_in_a_pod_and_in_a_node(lab_id: str) -> None:
    lab = Lab.up(lab_id, SPEC, api=None)
    in_pod = lab.popen_in("a/x", ["sleep", "1000"])
    in_node = lab.popen_in("n1", ["sleep", "1000"])
    lab.down()
    assert in_pod.wait(5) == in_node.wait(5) == -signal.SIGKILL
    lab.down()
    assert traces(lab_id) == []


def test_a_pod_that_goes_takes_its_processes_and_its_namespace(lab_id: str) -> None:
    with Lab.up(lab_id, SPEC, api=None) as lab:
        process = lab.popen_in("a/x", ["sleep", "1000"])
        assert process.pid in netns.processes([lab.namespace("a/x")])
        lab.remove_pod("a/x")
        assert process.wait(5) == -signal.SIGKILL
        assert netns.existing(f"{netns.prefix(lab_id)}pod-") == [netns.pod_namespace(lab_id, "a/y")]
        assert "azv" not in lab.nodes["n1"].run("ip link").stdout


def test_two_labs_beside_each_other_have_the_same_addresses_and_do_not_meet() -> None:
    with Lab.up(unused_id(), SPEC, api=None) as one, Lab.up(unused_id(), SPEC, api=None) as other:
        assert one.ips("a/y") == other.ips("a/y")
        other.nodes["n2"].run(f"iptables -I FORWARD -d {other.ip('a/y')} -j DROP")
        assert one.reach("a/x", "a/y").ok
        assert not other.reach("a/x", "a/y").ok
        other.down()
        assert one.reach("a/x", "a/y").ok
        assert one.ssh("n2", "hostname").stdout == "n2\n"
        assert traces(other.id) == []
    assert traces(one.id) == []


def test_attach_sees_the_lab_as_it_is_now(lab_id: str) -> None:
    with Lab.up(lab_id, SPEC, api=None) as lab:
        lab.add_pod(Pod("a", "z", "n1", {"app": "z"}))
        again = Lab.attach(lab_id)
        assert again.cluster == lab.cluster
        assert again.reach("a/z", "a/y").server == "a/y"
    with pytest.raises(LabError, match=r"no lab .* is up"):
        Lab.attach(lab_id)


@pytest.mark.parametrize("wrong", ["", "UPPER", "toolong", "a-b", "../x"])
def test_ids_are_checked(wrong: str) -> None:
    with pytest.raises(LabError, match="lab id"):
        remove(wrong)
