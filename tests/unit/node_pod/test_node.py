# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A way to a node that breaks: what is tried again, what never is, and what becomes of the pod."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import node as node_module
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.channels import Patience
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.errors import NodePodError
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.node import Limits, Node
from exec_server import ExecServer, Peer


@dataclass
class Pods:
    """Stands in for the helper pod, whose own tests are elsewhere: pod after pod, each time one is doubted."""

    doubted: list[str] = field(default_factory=list)
    end: str = ""

    def ensure(self) -> str:
        return f"pod-{len(self.doubted) + 1}"

    def path(self, name: str, subresource: str) -> str:
        return f"/{name}/{subresource}"

    def doubt(self, name: str) -> None:
        self.doubted.append(name)

    def fate(self, name: str) -> str:
        return self.end


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module.time, "sleep", lambda seconds: None)


def run(behave: Callable[[Peer], None], pods: Pods, retries: int = 3) -> tuple[int, list[str]]:
    """The exit code, and the paths that were asked for."""
    with ExecServer(behave) as server:
        client = ApiClient(lambda: auth.connect({"host": server.url}, {}), retries=5)
        node = Node(client, pods, Limits("/bin", retries, 2.0, Patience()), lambda message: None)  # type: ignore[arg-type]
        try:
            code = node.run("true", write=bytearray().extend, complain=bytearray().extend)
        finally:
            client.close()
            paths = [peer.request[0].split()[1].partition("?")[0] for peer in server.peers]
        return code, paths


def test_what_broke_before_the_command_began_is_tried_again_with_the_next_pod() -> None:
    runs = 0

    def behave(peer: Peer) -> None:
        nonlocal runs
        if "/pod-1/" in peer.request[0]:
            peer.answer("404 Not Found", {"Content-Length": "0", "Connection": "close"})
            return
        peer.accept()
        if "/pod-2/" in peer.request[0]:
            return
        peer.ready()
        word = peer.word()
        runs += 1
        peer.end(word, 4)

    pods = Pods()
    assert run(behave, pods) == (4, ["/pod-1/exec", "/pod-2/exec", "/pod-3/exec"])
    assert pods.doubted == ["pod-1", "pod-2"]
    assert runs == 1


def test_patience_ends() -> None:
    pods = Pods()
    with pytest.raises(NodePodError, match=r"the connection broke off \(tried 3 times\)"):
        run(lambda peer: peer.accept(), pods, retries=2)
    assert len(pods.doubted) == 3


def test_a_command_that_began_is_never_run_again() -> None:
    runs = 0

    def behave(peer: Peer) -> None:
        nonlocal runs
        peer.accept()
        peer.ready()
        peer.word()
        runs += 1

    pods = Pods(end="the helper pod was ended: Evicted: low on memory")
    with pytest.raises(
        NodePodError, match=r"nothing is known of it: .*; the helper pod was ended: Evicted: low on memory$"
    ):
        run(behave, pods)
    assert runs == 1
    assert pods.doubted == ["pod-1"]


def killed(peer: Peer) -> None:
    peer.accept()
    peer.ready()
    peer.end(peer.word(), 137)


def test_a_command_that_was_killed_with_its_pod_has_no_result() -> None:
    pods = Pods(end="the helper pod was ended: Evicted: low on memory")
    words = "killed with its pod, so nothing is known of it: the helper pod was ended: Evicted: low on memory$"
    with pytest.raises(NodePodError, match=words):
        run(killed, pods)
    assert pods.doubted == ["pod-1"]


def test_a_command_that_was_killed_in_a_pod_that_lives_has_its_exit_code() -> None:
    pods = Pods()
    assert run(killed, pods) == (137, ["/pod-1/exec"])
    assert pods.doubted == []


def test_a_right_that_is_missing_is_not_asked_for_again() -> None:
    asked = 0

    def behave(peer: Peer) -> None:
        nonlocal asked
        asked += 1
        body = b'{"message": "cannot create resource pods/exec"}'
        peer.answer("403 Forbidden", {"Content-Length": str(len(body)), "Content-Type": "application/json"}, body)

    with pytest.raises(NodePodError, match="no command may be run in the helper pod: cannot create resource pods/exec"):
        run(behave, Pods())
    assert asked == 1
