# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions that end as they do when something breaks on the way, and admission that says no."""

from __future__ import annotations

import json

import pytest
from kubernetes import client
from lab.api import ApiServer, Fault
from running_pods import connected, executed, pod, started
from tools.exec_client import V4, V5
from websocket import WebSocketBadStatusException, WebSocketConnectionClosedException, WebSocketTimeoutException

MUCH = ("sh", "-c", "head -c 500000 /dev/zero; exit 3")


@pytest.fixture(autouse=True)
def helper(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core)


def test_a_cut_behind_the_server_looks_like_success_with_v5(api: ApiServer) -> None:
    api.faults.add(Fault("exec-cut", after_bytes=100_001))
    outcome = connected(api, *MUCH, protocols=[V5]).read()
    assert (len(outcome.stdout), outcome.status["status"], outcome.close_code) == (100_001, "Success", 1000)


def test_a_cut_behind_the_server_is_an_end_without_a_word_with_v4(api: ApiServer) -> None:
    api.faults.add(Fault("exec-cut", after_bytes=100_001))
    outcome = connected(api, *MUCH, protocols=[V4]).read()
    assert (len(outcome.stdout), outcome.status, outcome.close_code) == (100_001, None, None)
    assert isinstance(outcome.error, WebSocketConnectionClosedException)


def test_a_cut_after_the_last_byte_takes_the_status(api: ApiServer) -> None:
    api.faults.add(Fault("exec-cut", after_bytes=1_000_000))
    outcome = connected(api, *MUCH).read()
    assert (len(outcome.stdout), outcome.exit_code) == (500_000, 0)


def test_a_cut_while_input_flows(api: ApiServer, tmp_path: object) -> None:
    api.faults.add(Fault("exec-reset", after_bytes=100_000))
    outcome = executed(api, "sh", "-c", f"cat > {tmp_path}/file; echo ended > {tmp_path}/trace", data=bytes(50_000_000))
    assert outcome.error is not None
    # The command is not killed: it sees the end of its input, as if that were all.
    script = f"while ! test -s {tmp_path}/trace; do sleep 0.02; done; wc -c < {tmp_path}/file"
    assert 0 < int(executed(api, "sh", "-c", script).stdout) < 50_000_000


def test_a_proper_close_without_a_status(api: ApiServer) -> None:
    api.faults.add(Fault("exec-close", after_bytes=10))
    outcome = connected(api, *MUCH).read()
    assert (len(outcome.stdout), outcome.status, outcome.close_code) == (10, None, 1000)


def test_a_reset(api: ApiServer) -> None:
    api.faults.add(Fault("exec-reset", after_bytes=10))
    outcome = connected(api, *MUCH).read()
    assert outcome.status is None
    assert isinstance(outcome.error, ConnectionResetError | WebSocketConnectionClosedException)


def test_a_stall_ends_with_the_client_or_after_its_time(api: ApiServer) -> None:
    api.faults.add(Fault("exec-stall", after_bytes=10, times=1))
    session = connected(api, *MUCH)
    session._socket.settimeout(0.5)
    session.ping(b"there?")
    outcome = session.read()
    assert len(outcome.stdout) == 10
    assert isinstance(outcome.error, WebSocketTimeoutException)
    session.drop()
    api.faults.clear()
    api.faults.add(Fault("exec-stall", after_bytes=10, seconds=0.2))
    assert connected(api, *MUCH).read().exit_code == 3


def test_which_one_is_hit(api: ApiServer) -> None:
    number = api.faults.add(Fault("exec-cut", skip=1, times=1))
    assert [executed(api, "sh", "-c", "exit 3").exit_code for _ in range(3)] == [3, 0, 3]
    assert api.faults.hits(number) == 1


@pytest.mark.parametrize("code", [403, 404, 410, 500])
def test_an_upgrade_that_is_refused(api: ApiServer, code: int) -> None:
    api.faults.add(Fault("status", resource="pods/exec", code=code, message="not now"))
    with pytest.raises(WebSocketBadStatusException) as caught:
        connected(api, "true")
    assert (caught.value.status_code, json.loads(caught.value.resp_body)["message"]) == (code, "not now")


def test_no_answer_at_all(api: ApiServer) -> None:
    api.faults.add(Fault("hangup", resource="pods/exec"))
    with pytest.raises((ConnectionError, WebSocketConnectionClosedException, WebSocketBadStatusException)):
        connected(api, "true")


# Admission


def denied(core: client.CoreV1Api, document: dict[str, object]) -> dict[str, object]:
    with pytest.raises(client.ApiException) as caught:
        core.create_namespaced_pod("default", document)
    assert caught.value.status == 403
    return json.loads(caught.value.body)


PRIVILEGED = pod(
    "denied",
    container={"securityContext": {"privileged": True}},
    hostPID=True,
    hostNetwork=True,
    volumes=[{"name": "host", "hostPath": {"path": "/"}}],
)


def enforce(api: ApiServer, level: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    api.store.patch("namespaces", "default", {"metadata": {"labels": labels}})


def test_pod_security_baseline(api: ApiServer, core: client.CoreV1Api) -> None:
    enforce(api, "baseline")
    status = denied(core, PRIVILEGED)
    assert status["message"] == (
        'pods "denied" is forbidden: violates PodSecurity "baseline:latest": '
        "host namespaces (hostNetwork=true, hostPID=true), "
        'privileged (container "main" must not set securityContext.privileged=true), '
        'hostPath volumes (volume "host")'
    )
    assert (status["reason"], status["details"]) == ("Forbidden", {"name": "denied", "kind": "pods"})
    core.create_namespaced_pod("default", pod("allowed"))


def test_pod_security_restricted(api: ApiServer, core: client.CoreV1Api) -> None:
    enforce(api, "restricted")
    message = str(denied(core, pod("denied"))["message"])
    for part in (
        'violates PodSecurity "restricted:latest"',
        'allowPrivilegeEscalation != false (container "main" must set securityContext.allowPrivilegeEscalation=false)',
        'unrestricted capabilities (container "main" must set securityContext.capabilities.drop=["ALL"])',
        'runAsNonRoot != true (pod or container "main" must set securityContext.runAsNonRoot=true)',
        'seccompProfile (pod or container "main" must set securityContext.seccompProfile.type to',
    ):
        assert part in message


def test_pod_security_privileged(api: ApiServer, core: client.CoreV1Api) -> None:
    enforce(api, "privileged")
    core.create_namespaced_pod("default", PRIVILEGED)


def test_a_webhook_and_a_quota(api: ApiServer, core: client.CoreV1Api) -> None:
    number = api.faults.add(Fault("webhook"))
    message = str(denied(core, PRIVILEGED)["message"])
    assert message.startswith('admission webhook "validation.gatekeeper.sh" denied the request: [azurepolicy-')
    assert message.endswith('Privileged container is not allowed: main, securityContext: {"privileged": true}')
    with pytest.raises(WebSocketBadStatusException, match="403"):
        connected(api, "true")
    api.faults.clear(number)
    api.faults.add(Fault("quota"))
    assert denied(core, PRIVILEGED)["message"] == (
        'pods "denied" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=10, limited: pods=10'
    )
