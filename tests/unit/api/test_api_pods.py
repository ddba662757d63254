# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of pods that clients create, in every way that it can go."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes import client, watch
from lab.api import ApiServer
from running_pods import NODE, connected, executed, pod, started, wait_for

READY = NODE["status"]["conditions"]
UNKNOWN = [{"type": "Ready", "status": "Unknown"}]


def set_node(api: ApiServer, conditions: object) -> None:
    api.store.patch("nodes", "n1", {"status": {"conditions": conditions}})


def state(found: client.V1Pod) -> client.V1ContainerState:
    return found.status.container_statuses[0].state


def test_from_pending_to_running(running: ApiServer, core: client.CoreV1Api) -> None:
    created = core.create_namespaced_pod("default", pod(hostNetwork=True))
    assert created.status.phase == "Pending"
    assert created.spec.service_account_name == "default"
    seen = []
    events = watch.Watch().stream(core.list_namespaced_pod, "default", resource_version="0", timeout_seconds=20)
    for event in events:
        seen.append((event["type"], event["object"].status.phase))
        if event["object"].status.phase == "Running":
            break
    assert seen[0][0] == "ADDED"
    assert [phase for _, phase in seen[:-1]] == ["Pending"] * (len(seen) - 1)
    found = core.read_namespaced_pod("helper", "default")
    assert (found.status.host_ip, found.status.pod_ip) == ("10.240.0.10", "10.240.0.10")
    assert found.status.container_statuses[0].ready
    assert state(found).running.started_at


def test_what_the_lab_writes_itself_does_not_run(running: ApiServer, core: client.CoreV1Api) -> None:
    running.store.create(pod("written") | {"metadata": {"name": "written", "namespace": "default"}})
    started(core)
    assert core.read_namespaced_pod("written", "default").status is None
    core.delete_namespaced_pod("written", "default")
    with pytest.raises(client.ApiException, match="404"):
        core.read_namespaced_pod("written", "default")


def test_start_takes_its_time(running: ApiServer, core: client.CoreV1Api) -> None:
    running.kubelets.settings.change({"start_delay": 1000})
    core.create_namespaced_pod("default", pod())
    found = wait_for(core, lambda each: each.status.container_statuses)
    assert (found.status.phase, state(found).waiting.reason) == ("Pending", "ContainerCreating")


@pytest.mark.parametrize(
    ("script", "phase", "reason"), [("exit 0", "Succeeded", "Completed"), ("exit 3", "Failed", "Error")]
)
def test_its_command_ends(running: ApiServer, core: client.CoreV1Api, script: str, phase: str, reason: str) -> None:
    core.create_namespaced_pod("default", pod(container={"command": ["sh", "-c", script]}))
    found = wait_for(core, lambda each: each.status.phase == phase)
    assert (state(found).terminated.reason, state(found).terminated.exit_code) == (reason, int(script[-1]))


def test_a_command_that_ends_although_it_should_not(running: ApiServer, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod(container={"command": ["true"]}, restartPolicy="Always"))
    wait_for(
        core,
        lambda each: (
            each.status.container_statuses and (waiting := state(each).waiting) and waiting.reason == "CrashLoopBackOff"
        ),
    )


def test_a_command_that_is_not_there(running: ApiServer, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod(container={"command": ["nonesuch"]}))
    found = wait_for(core, lambda each: each.status.phase == "Failed")
    assert state(found).terminated.reason == "StartError"
    assert "executable file not found" in state(found).terminated.message


def test_an_image_that_cannot_be_pulled(running: ApiServer, core: client.CoreV1Api) -> None:
    running.kubelets.settings.change({"images": {"registry.invalid/*": "not-found"}})
    core.create_namespaced_pod("default", pod())

    def waits(reason: str) -> client.V1Pod:
        return wait_for(
            core,
            lambda each: (
                each.status.container_statuses
                and (waiting := state(each).waiting) is not None
                and waiting.reason == reason
            ),
        )

    assert "registry.invalid/tools:1: not found" in state(waits("ErrImagePull")).waiting.message
    backing_off = waits("ImagePullBackOff")
    assert state(backing_off).waiting.message.startswith('Back-off pulling image "registry.invalid/tools:1"')
    assert backing_off.status.phase == "Pending"
    running.kubelets.settings.change({"images": {}})
    wait_for(core, lambda each: each.status.phase == "Running")


def test_a_node_that_is_not_ready_starts_nothing_and_ends_nothing(running: ApiServer, core: client.CoreV1Api) -> None:
    set_node(running, UNKNOWN)
    core.create_namespaced_pod("default", pod())
    core.create_namespaced_pod("default", pod("other", terminationGracePeriodSeconds=1))
    set_node(running, READY)
    wait_for(core, lambda each: each.status.phase == "Running", "other")
    set_node(running, UNKNOWN)
    core.delete_namespaced_pod("other", "default")
    assert core.read_namespaced_pod("other", "default").metadata.deletion_timestamp
    set_node(running, READY)
    with pytest.raises(client.ApiException, match="404"):
        wait_for(core, lambda _: False, "other")


def test_a_node_that_does_not_exist(running: ApiServer, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod(nodeName="nonesuch"))
    started(core, pod("other"))
    found = core.read_namespaced_pod("helper", "default")
    assert (found.status.phase, found.status.container_statuses) == ("Pending", None)


def test_the_scheduler(running: ApiServer, core: client.CoreV1Api) -> None:
    assert started(core, pod(nodeName=None, nodeSelector={"disk": "fast"})).spec.node_name == "n1"
    core.create_namespaced_pod("default", pod("other", nodeName=None, nodeSelector={"disk": "slow"}))
    found = wait_for(core, lambda each: each.status.conditions, "other")
    condition = found.status.conditions[0]
    assert (found.status.phase, condition.type, condition.reason) == ("Pending", "PodScheduled", "Unschedulable")
    assert "0/1 nodes are available" in condition.message
    core.delete_namespaced_pod("other", "default")
    with pytest.raises(client.ApiException, match="404"):
        core.read_namespaced_pod("other", "default")


# Its ends


def test_deletion_gives_it_time(running: ApiServer, core: client.CoreV1Api, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"trap 'echo TERM > {trace}; exit' TERM; echo ready > {trace}; while :; do sleep 0.05; done"
    started(core, pod(container={"command": ["sh", "-c", script]}, terminationGracePeriodSeconds=20))
    while not trace.exists():
        pass
    answer = core.delete_namespaced_pod("helper", "default")
    assert answer.metadata.deletion_grace_period_seconds == 20
    with pytest.raises(client.ApiException, match="404"):
        wait_for(core, lambda _: False)
    assert trace.read_text() == "TERM\n"


def test_who_does_not_listen_is_killed_after_the_time_of_grace(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core, pod(container={"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]}))
    core.delete_namespaced_pod("helper", "default", grace_period_seconds=1)
    with pytest.raises(client.ApiException, match="404"):
        wait_for(core, lambda _: False)


def test_grace_0_takes_the_object_at_once(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core)
    session = connected(running, "sleep", "1000")
    core.delete_namespaced_pod("helper", "default", grace_period_seconds=0)
    with pytest.raises(client.ApiException, match="404"):
        core.read_namespaced_pod("helper", "default")
    assert session.read().exit_code == 137
    # The name is free at once.
    started(core)
    assert executed(running, "echo", "new").stdout == b"new\n"


def test_a_collection_of_them_has_its_time_too(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core, pod(container={"command": ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"]}))
    core.delete_collection_namespaced_pod("default", grace_period_seconds=2)
    assert core.read_namespaced_pod("helper", "default").metadata.deletion_grace_period_seconds == 2
    with pytest.raises(client.ApiException, match="404"):
        wait_for(core, lambda _: False)


def test_the_deadline(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core, pod(activeDeadlineSeconds=1))
    session = connected(running, "sh", "-c", "echo begun; sleep 1000")
    outcome = session.read()
    assert (outcome.stdout, outcome.exit_code) == (b"begun\n", 137)
    found = wait_for(core, lambda each: each.status.phase == "Failed")
    assert found.status.reason == "DeadlineExceeded"
    assert found.status.message == "Pod was active on the node longer than the specified deadline"
    core.delete_namespaced_pod("helper", "default", grace_period_seconds=5)
    with pytest.raises(client.ApiException, match="404"):
        wait_for(core, lambda _: False)


def test_eviction_kills_all_that_runs_in_it(running: ApiServer, core: client.CoreV1Api, tmp_path: Path) -> None:
    started(core)
    # A daemon too: it has its own session, and nobody waits for it.
    daemon = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    left = executed(
        running,
        "sh",
        "-c",
        f"setsid sh -c '{daemon}' >/dev/null 2>&1 & while ! test -s {tmp_path}/pid; do sleep 0.02; done",
    )
    assert left.exit_code == 0
    session = connected(running, "sleep", "1000")
    running.kubelets.evict("default", "helper")
    assert session.read().exit_code == 137
    found = wait_for(core, lambda each: each.status.phase == "Failed")
    assert found.status.reason == "Evicted"
    assert found.status.message.startswith("The node was low on resource: memory")
    assert state(found).terminated.exit_code == 137
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_the_namespace_takes_it_along(running: ApiServer, core: client.CoreV1Api, tmp_path: Path) -> None:
    core.create_namespace({"metadata": {"name": "tools"}})
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    core.create_namespaced_pod("tools", pod(container={"command": ["sh", "-c", script]}))
    started(core)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        pass
    core.delete_namespace("tools")
    while Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists():
        pass
