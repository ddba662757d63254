# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every way to fail, with the reason that the API gives; and a cut in the middle, which is never a success."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from integration.node_pod.reach import FIRST, NAMESPACE, SECOND, Reach
from integration.run.playbooks import Output
from lab.api import Fault, Identity, Rule
from lab.node import Node

pytestmark = pytest.mark.root

READER = Rule(("get", "list"), ("pods",))
POD_RIGHTS = Rule(("create", "get", "list", "watch", "delete"), ("pods",))
BEGAN = "/tmp/npm-netpol-began"  # noqa: S108 (of the node)


def told(output: Output) -> str:
    """What was said, however the lines were broken."""
    return " ".join(output.text.split())


def one(reach: Reach, command: str = "true") -> Output:
    return reach.play({"ansible.builtin.raw": command}, hosts=FIRST)


def refused(reach: Reach, *words: str) -> None:
    done = one(reach)
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert all(each in told(done) for each in words), done.text


def as_account(reach: Reach, *rules: Rule) -> None:
    """Runs have these rights only, in the namespace of the helper pods."""
    reach.lab.api.add_identity(Identity("limited", "limited-token", rules=rules))
    reach.variables["npm_kubernetes"] = {
        "host": f"https://{reach.lab.ip('ctl', 'ipv4')}:6443",
        "api_key": "limited-token",
        "ca_cert": str(reach.lab.directory / "api" / "ca.crt"),
    }


def label(reach: Reach, level: str) -> None:
    change = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}}
    reach.lab.api.patch("namespaces", NAMESPACE, "", change)


# Rights


def test_the_least_rights_do(reach: Reach) -> None:
    as_account(reach, POD_RIGHTS, Rule(("get", "create"), ("pods/exec",)))
    done = one(reach)
    assert done.code == 0, done.text


def test_no_right_to_make_pods(reach: Reach) -> None:
    as_account(reach, READER)
    refused(reach, "this account may not create helper pods", 'User "limited" cannot create resource "pods"')


@pytest.mark.parametrize("verbs", [(), ("get",)], ids=["none", "without-create"])
def test_no_right_to_run_commands(reach: Reach, verbs: tuple[str, ...]) -> None:
    as_account(reach, POD_RIGHTS, Rule(verbs, ("pods/exec",)))
    missing = "create" if verbs else "get"
    refused(reach, "no command may be run in the helper pod", f'User "limited" cannot {missing} resource "pods/exec"')


# Admission


def test_pod_security(reach: Reach) -> None:
    label(reach, "restricted")
    refused(
        reach, "the API does not admit the helper pod", 'violates PodSecurity "restricted:latest"', "host namespaces"
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [("webhook", 'admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy-'),
     ("quota", "exceeded quota: pods, requested: pods=1")],
)  # fmt: skip
def test_azure_policy_and_quota(reach: Reach, kind: str, words: str) -> None:
    reach.lab.api.add_fault(Fault(kind, resource="pods", verb="create"))
    refused(reach, "the API does not admit the helper pod", words)


def test_no_namespace(reach: Reach) -> None:
    reach.variables["npm_node_pod_namespace"] = "elsewhere"
    refused(reach, "there is no place for helper pods", 'namespaces "elsewhere" not found')
    # Ansible says it once as it happens, and once more for the host.
    assert told(one(reach)).count("there is no place for helper pods") == 2


# Starting


@pytest.mark.parametrize(("why", "words"), [("not-found", "not found"), ("unauthorized", "401 Unauthorized")])
def test_an_image_that_cannot_be_pulled(reach: Reach, why: str, words: str) -> None:
    reach.variables["npm_node_pod_start_timeout"] = 3
    reach.lab.api.settings(kubelet={"images": {"*busybox*": why}})
    refused(reach, "the helper pod did not start within 3 s: ", words, "npm_node_pod_image names another image")
    assert reach.pods() == []


def test_a_node_that_is_not_ready(reach: Reach) -> None:
    reach.lab.api.patch("nodes", FIRST, "", {"status": {"conditions": [not_ready()]}})
    refused(reach, f"the node {FIRST} is not ready: KubeletNotReady: container runtime is down")
    reach.lab.api.patch("nodes", FIRST, "", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})


def not_ready() -> dict[str, str]:
    return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down"}


def test_a_node_that_is_not_there(reach: Reach) -> None:
    reach.variables["npm_node_name"] = "aks-gone"
    refused(reach, "the cluster has no node aks-gone")


@pytest.mark.parametrize("name", ["", " ", None])
def test_a_name_that_says_nothing_is_the_hosts_own(reach: Reach, name: str | None) -> None:
    """Not a matter of the scheduler's, which would take any node."""
    done = reach.play(
        {"ansible.builtin.raw": "uname -n", "register": "said"},
        {"ansible.builtin.assert": {"that": "said.stdout | trim == inventory_hostname"}},
        hosts=SECOND,
        vars={"npm_node_name": name},
    )
    assert done.code == 0, done.text


# The middle


def meanwhile(node: Node, do: Callable[[], Any]) -> threading.Thread:
    """Do something when a command of :data:`LONG` has begun."""

    def wait() -> None:
        until = time.monotonic() + 60
        while node.run(["/run/lab/bin/test", "-e", BEGAN], check=False).returncode and time.monotonic() < until:
            time.sleep(0.05)
        do()

    node.run(["/run/lab/bin/rm", "-f", BEGAN])
    thread = threading.Thread(target=wait)
    thread.start()
    return thread


LONG = f"echo once >>{BEGAN}; sleep 60; echo ended"


def began(reach: Reach) -> int:
    """How often the command began on the node."""
    return len(reach.lab.nodes[FIRST].run(f"cat {BEGAN}; rm {BEGAN}").stdout.split())


def delete(reach: Reach) -> None:
    """As somebody who drains the node, or cleans up."""
    reach.lab.api.delete({"apiVersion": "v1", "kind": "Pod"} | reach.pods()[0])


def test_an_evicted_pod(reach: Reach) -> None:
    thread = meanwhile(
        reach.lab.nodes[FIRST], lambda: reach.lab.api.evict(NAMESPACE, reach.pods()[0]["metadata"]["name"])
    )
    done = one(reach, LONG)
    thread.join()
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert "nothing is known of it" in told(done)
    assert "the helper pod was ended: Evicted" in told(done)
    assert began(reach) == 1


def test_a_deleted_pod(reach: Reach) -> None:
    thread = meanwhile(reach.lab.nodes[FIRST], lambda: delete(reach))
    done = one(reach, LONG)
    thread.join()
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert "nothing is known of it" in told(done)
    assert began(reach) == 1


@pytest.mark.full
def test_a_node_that_is_lost_while_the_api_answers_pings(reach: Reach) -> None:
    """As the cluster has it some time after a node's last word; the API server's connection to it breaks much later."""

    def lose() -> None:
        name = reach.pods()[0]["metadata"]["name"]
        unready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        reach.lab.api.patch("pods", name, NAMESPACE, unready)

    thread = meanwhile(reach.lab.nodes[FIRST], lose)
    done = one(reach, LONG)
    thread.join()
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert "nothing is heard of the helper pod's node any more" in told(done)
    assert began(reach) == 1


def test_a_pod_that_ended_between_two_commands_gives_way_to_another(reach: Reach) -> None:
    thread = meanwhile(reach.lab.nodes[FIRST], lambda: delete(reach))
    done = reach.play(
        {"ansible.builtin.raw": f"echo once >{BEGAN}"},
        {"ansible.builtin.pause": {"seconds": 4}},
        {"ansible.builtin.raw": "true"},
        hosts=FIRST,
    )
    thread.join()
    assert done.code == 0, done.text
    assert began(reach) == 1
    assert reach.created() == 2


@pytest.mark.parametrize("minor", [35, 28], ids=["v5", "v4"])
@pytest.mark.parametrize("kind", ["exec-cut", "exec-close", "exec-reset"])
def test_a_cut_is_never_a_success(reach: Reach, kind: str, minor: int) -> None:
    reach.lab.api.settings(minor=minor)
    reach.lab.api.add_fault(Fault(kind, resource="pods/exec", after_bytes=20_000))
    # As much as its pipe holds: so it comes to its end, while nobody hears of it.
    command = f"echo once >>{BEGAN}; seq 1 10000"
    done = one(reach, command)
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert "nothing is known of it" in told(done)
    reach.lab.api.clear_faults()
    assert began(reach) == 1
    assert len(reach.execs()) == 1


@pytest.mark.parametrize("minor", [35, 28], ids=["v5", "v4"])
def test_an_input_that_is_cut_does_nothing(reach: Reach, minor: int, tmp_path: Any) -> None:
    """The module's program must not run as the half of it that has arrived."""
    reach.lab.api.settings(minor=minor)
    reach.lab.api.add_fault(Fault("exec-reset", resource="pods/exec", after_bytes=500_000))
    (tmp_path / "sent").write_bytes(b"x" * 1_000_000)
    target = "/tmp/npm-netpol-cut"  # noqa: S108 (of the node)
    script = f"cat >{target}; echo whole >>{target}"
    reach.lab.nodes[FIRST].run(["/run/lab/bin/rm", "-f", target])
    (result,) = reach.drive(["send", script, str(tmp_path / "sent")])
    assert result.startswith("AnsibleConnectionFailure: ")
    assert "whole" not in reach.lab.nodes[FIRST].run(f"tail -c 6 {target} 2>/dev/null; true").stdout


def test_a_server_that_stalls(reach: Reach) -> None:
    reach.variables |= {"npm_node_pod_silence": 3}
    reach.lab.api.add_fault(Fault("exec-stall", resource="pods/exec", after_bytes=50_000))
    done = one(reach, "seq 1 100000")
    assert done.recap(FIRST)["unreachable"] == 1, done.text
    assert "nothing was heard for 3 s" in told(done)


def test_what_fails_in_passing_before_a_command_is_tried_again(reach: Reach) -> None:
    reach.lab.api.add_fault(Fault("status", resource="pods/exec", code=500, times=2))
    reach.lab.api.add_fault(Fault("hangup", resource="pods", verb="create", times=1))
    done = one(reach, f"echo once >>{BEGAN}")
    assert done.code == 0, done.text
    assert began(reach) == 1
    assert reach.created() == 1
