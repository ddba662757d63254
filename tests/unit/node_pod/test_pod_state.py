# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""States of pods and nodes as the API gives them, and what we make of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import pod_state
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.pod_state import Phase


def pod(status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "npm-node-1", **metadata}, "status": status or {}}


def container(**state: Any) -> dict[str, Any]:
    return {
        "phase": "Pending",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{"name": "node", "state": state}],
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container(waiting={"reason": reason, "message": message})


@pytest.mark.parametrize(
    ("status", "phase", "reason"),
    [
        (None, Phase.UNSEEN, ""),
        ({"phase": "Pending"}, Phase.UNSEEN, ""),
        ({"phase": "Pending", "startTime": "2026-01-01T00:00:00Z"}, Phase.STARTING, ""),
        (waiting("ContainerCreating"), Phase.STARTING, "ContainerCreating"),
        (waiting("ErrImagePull", "timed\nout"), Phase.FAILING, "ErrImagePull: timed out"),
        (waiting("ImagePullBackOff", "not found"), Phase.FAILING, "ImagePullBackOff: not found"),
        (
            waiting("CreateContainerError", "context deadline exceeded"),
            Phase.FAILING,
            "CreateContainerError: context deadline exceeded",
        ),
        (waiting("ErrImageNeverPull"), Phase.HOPELESS, "ErrImageNeverPull"),
        (waiting("InvalidImageName"), Phase.HOPELESS, "InvalidImageName"),
        (container(running={"startedAt": "2026-01-01T00:00:00Z"}) | {"phase": "Running"}, Phase.RUNNING, ""),
        (container(terminated={"reason": "OOMKilled", "exitCode": 137}), Phase.ENDED, "OOMKilled"),
        (container(terminated={}), Phase.ENDED, "its container ended"),
        ({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}, Phase.ENDED, "Evicted: low on memory"),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, Phase.ENDED, "DeadlineExceeded"),
        ({"phase": "Failed", "reason": "OutOfmemory", "message": "m"}, Phase.ENDED, "OutOfmemory: m"),
        ({"phase": "Succeeded"}, Phase.ENDED, "its phase is Succeeded"),
    ],
)
def test_the_state_of_a_pod(status: dict[str, Any] | None, phase: Phase, reason: str) -> None:
    assert pod_state.of(pod(status)) == pod_state.PodState(phase, reason)


def test_a_pod_that_is_being_deleted_is_of_no_use() -> None:
    evicted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drain"}
    running = container(running={}) | {"phase": "Running", "conditions": [evicted]}
    deleted = pod(running, deletionTimestamp="2026-01-01T00:00:00Z")
    assert pod_state.of(deleted) == pod_state.PodState(Phase.ENDED, "EvictionByEvictionAPI: drain")
    plain = pod(container(running={}), deletionTimestamp="2026-01-01T00:00:00Z")
    assert pod_state.of(plain) == pod_state.PodState(Phase.ENDED, "it is being deleted")


def test_messages_are_cut() -> None:
    assert len(pod_state.of(pod(waiting("ErrImagePull", "x" * 5000))).reason) < 600


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ([{"type": "Ready", "status": "True"}], ""),
        ([{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped"}],
         "NodeStatusUnknown: Kubelet stopped"),
        ([{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "False"}],
         "its Ready condition is not True"),
        ([], ""),
    ],
)  # fmt: skip
def test_why_a_node_is_not_ready(conditions: list[dict[str, str]], words: str) -> None:
    assert pod_state.not_ready({"status": {"conditions": conditions}}) == words
