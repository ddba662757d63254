# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pods/exec over WebSocket: the protocols, streams, ends and refusals, to the official client and to one of our own."""

from __future__ import annotations

import json

import pytest
from kubernetes import client
from kubernetes.stream import stream
from lab.api import ApiServer, Identity, Rule
from running_pods import connected, executed, pod, started, wait_for
from tools.exec_client import V4, V5
from websocket import WebSocketBadStatusException

PING, PONG = 0x9, 0xA


@pytest.fixture(autouse=True)
def helper(running: ApiServer, core: client.CoreV1Api) -> None:
    started(core)


def test_the_official_client_speaks_v4(core: client.CoreV1Api) -> None:
    session = stream(
        core.connect_get_namespaced_pod_exec,
        "helper",
        "default",
        command=["sh", "-c", "read line; echo got $line; echo no >&2; exit 7"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    session.write_stdin("word\n")
    session.run_forever(timeout=20)
    assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("got word\n", "no\n", 7)


@pytest.mark.parametrize("protocol", [V4, V5])
@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_output_and_exit_code_are_exact(api: ApiServer, protocol: str, code: int) -> None:
    script = f"printf 'a\\0b\\377'; printf 'no' >&2; exit {code}"
    outcome = executed(api, "sh", "-c", script, protocols=[protocol])
    assert (outcome.stdout, outcome.stderr) == (b"a\0b\xff", b"no")
    assert (outcome.exit_code, outcome.close_code) == (code, 1000)


def test_a_status_is_as_real_servers_send_it(api: ApiServer) -> None:
    assert executed(api, "true").status == {"metadata": {}, "status": "Success"}
    five, four = (executed(api, "sh", "-c", "exit 5", protocols=[each]).status for each in (V5, V4))
    assert five["details"] == {"causes": [{"reason": "ExitCode", "message": "5"}]}
    assert five["message"] == "command terminated with non-zero exit code: command terminated with exit code 5"
    assert "exit code 5" in four["message"]
    assert (four["status"], four["reason"]) == ("Failure", "NonZeroExitCode")


def test_a_command_that_is_killed_has_the_code_of_its_signal(api: ApiServer) -> None:
    assert executed(api, "sh", "-c", "kill -9 $$").exit_code == 137


def test_a_command_that_is_not_there(api: ApiServer) -> None:
    status = executed(api, "nonesuch").status
    assert status["reason"] == "InternalError"
    assert status["code"] == 500
    assert 'exec: "nonesuch": executable file not found in $PATH' in status["message"]


def test_v5_ends_the_input(api: ApiServer) -> None:
    assert executed(api, "wc", "-c", data=b"x" * 100_000).stdout.strip() == b"100000"


def test_v4_cannot_end_the_input(api: ApiServer) -> None:
    session = connected(api, "wc", "-c", protocols=[V4], stdin="true")
    session.send(b"abc")
    session.end_input()  # means nothing there
    session.ping(b"still there?")
    frames = [session.frame() for _ in range(2)]
    assert frames == [(2, b"\x01"), (PONG, b"still there?")]
    session.close()


def test_without_stdin_there_is_none(api: ApiServer) -> None:
    assert connected(api, "wc", "-c").run(b"lost").stdout.strip() == b"0"


@pytest.mark.parametrize(
    ("offered", "minor", "spoken"),
    [
        ([V5, V4], 35, V5),
        ([V4, V5], 35, V5),
        ([V5, V4], 29, V4),
        ([V4], 35, V4),
        (["channel.k8s.io"], 35, "channel.k8s.io"),
        ([], 35, None),
    ],
)
def test_negotiation(api: ApiServer, offered: list[str], minor: int, spoken: str | None) -> None:
    api.features.minor = minor
    session = connected(api, "echo", "hi", protocols=offered)
    assert session.protocol == spoken
    outcome = session.read()
    assert outcome.stdout == b"hi\n"
    assert (outcome.status is None) == (spoken in {None, "channel.k8s.io"})


@pytest.mark.parametrize(("offered", "minor"), [(["v3.channel.k8s.io"], 35), ([V5], 29)])
def test_a_protocol_that_is_not_known_is_refused_with_403(api: ApiServer, offered: list[str], minor: int) -> None:
    api.features.minor = minor
    with pytest.raises(WebSocketBadStatusException) as caught:
        connected(api, "true", protocols=offered)
    assert caught.value.status_code == 403


def test_base64_protocol(api: ApiServer) -> None:
    session = connected(api, "head", "-c", "3", protocols=["v4.base64.channel.k8s.io"], stdin="true")
    session._socket.send("0YWJj")  # abc
    texts = []
    while not texts or texts[-1][:1] != "3":
        texts.append(session._socket.recv())
    assert texts[:2] == ["1", "1YWJj"]
    session.close()


def test_a_terminal(api: ApiServer) -> None:
    session = connected(api, "sh", "-c", "stty size; test -t 0 && echo yes >&2; stty size", stdin="true", tty="true")
    outcome = session.read()
    assert outcome.stdout.split() == [b"0", b"0", b"yes", b"0", b"0"]
    session = connected(api, "sh", "-c", "read x; stty size", stdin="true", tty="true")
    session.send(json.dumps({"Width": 80, "Height": 25}).encode(), channel=4)
    session.send(b"go\n")
    assert b"25 80" in session.read().stdout


def test_pings_both_ways(api: ApiServer) -> None:
    api.features.ping_seconds = 0.05
    session = connected(api, "sleep", "1000", stdin="true")
    session.ping(b"one")
    seen = {session.frame()[0] for _ in range(5)}
    assert {PING, PONG} <= seen
    session.drop()


def test_status_only_when_nobody_has_the_output_open_any_more(api: ApiServer) -> None:
    """As with real runtimes: what a command leaves behind with its output keeps the session open."""
    outcome = executed(api, "sh", "-c", "(sleep 0.3; echo late) & echo early")
    assert outcome.stdout == b"early\nlate\n"
    assert outcome.exit_code == 0


def test_a_client_that_goes_leaves_the_command_with_its_input_at_the_end(api: ApiServer, tmp_path: object) -> None:
    session = connected(api, "sh", "-c", f"cat >/dev/null; echo ended > {tmp_path}/trace", stdin="true")
    session.send(b"x")
    session.drop()
    assert executed(api, "sh", "-c", f"while ! test -s {tmp_path}/trace; do sleep 0.02; done").exit_code == 0


def test_fifty_at_once_and_ordinary_requests_beside_them(api: ApiServer, core: client.CoreV1Api) -> None:
    sessions = [connected(api, "sh", "-c", "read n; echo $n", stdin="true") for _ in range(50)]
    assert core.read_namespaced_pod("helper", "default").status.phase == "Running"
    for number, session in enumerate(sessions):
        session.send(b"%d\n" % number)
    assert [session.read().stdout for session in sessions] == [b"%d\n" % number for number in range(50)]


# Refusals


def refusal(api: ApiServer, **options: str) -> tuple[int, dict[str, object]]:
    with pytest.raises(WebSocketBadStatusException) as caught:
        connected(api, "true", **options)
    return caught.value.status_code, json.loads(caught.value.resp_body)


def test_a_pod_that_is_not_there(api: ApiServer) -> None:
    code, status = refusal(api, pod="default/other")
    assert (code, status["message"], status["reason"]) == (404, 'pods "other" not found', "NotFound")


def test_a_container_that_is_not_there(api: ApiServer) -> None:
    code, status = refusal(api, container="other")
    assert (code, status["message"]) == (400, "container other is not valid for pod helper")


def test_a_container_must_be_named_where_there_are_two(api: ApiServer, core: client.CoreV1Api) -> None:
    two = pod("two")
    two["spec"]["containers"].append(two["spec"]["containers"][0] | {"name": "side"})
    started(core, two)
    code, status = refusal(api, pod="default/two")
    assert (code, status["message"]) == (
        400,
        "a container name must be specified for pod two, choose one of: [main side]",
    )
    assert executed(api, "echo", "side", pod="default/two", container="side").stdout == b"side\n"


def test_no_upgrade_no_exec(core: client.CoreV1Api) -> None:
    with pytest.raises(client.ApiException) as caught:
        core.connect_post_namespaced_pod_exec("helper", "default", command=["true"])
    assert (caught.value.status, json.loads(caught.value.body)["message"]) == (400, "Upgrade request required")


def test_a_container_that_does_not_run(api: ApiServer, core: client.CoreV1Api) -> None:
    core.create_namespaced_pod("default", pod("done", container={"command": ["true"]}))
    wait_for(core, lambda each: each.status.phase == "Succeeded", "done")
    with pytest.raises(WebSocketBadStatusException) as caught:
        connected(api, "true", pod="default/done", protocols=[V4])
    assert (caught.value.status_code, caught.value.resp_body) == (500, b'container not found ("main")')
    status = executed(api, "true", pod="default/done").status
    assert status["message"] == ('Internal error occurred: unable to upgrade connection: container not found ("main")')


def test_a_node_that_is_not_ready_cannot_be_reached(api: ApiServer) -> None:
    api.store.patch("nodes", "n1", {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    with pytest.raises(WebSocketBadStatusException) as caught:
        connected(api, "true", protocols=[V4])
    reached = "dial tcp 10.240.0.10:10250: connect: connection refused"
    assert json.loads(caught.value.resp_body)["message"] == f"error dialing backend: {reached}"
    assert reached in executed(api, "true").status["message"]


# Rights

GET = Rule(("get",), ("pods/exec",), ("",))
SOMEONES = "someones-token"
CREATE = Rule(("create",), ("pods/exec",), ("",))


@pytest.mark.parametrize(
    ("rules", "minor", "missing"),
    [
        ((), 35, "get"),
        ((CREATE,), 35, "get"),
        ((GET,), 35, "create"),
        ((GET,), 34, None),
        ((GET, CREATE), 35, None),
    ],
)
def test_rights(api: ApiServer, rules: tuple[Rule, ...], minor: int, missing: str | None) -> None:
    api.features.minor = minor
    api.identities.add(Identity("someone", SOMEONES, rules=rules))
    if missing is None:
        assert connected(api, "echo", "hi", token=SOMEONES).read().stdout == b"hi\n"
        return
    code, status = refusal(api, token=SOMEONES)
    assert code == 403
    assert status["message"] == (
        f'pods "helper" is forbidden: User "someone" cannot {missing} resource "pods/exec" '
        'in API group "" in the namespace "default"'
    )


def test_the_log_has_the_request_but_not_the_command(api: ApiServer) -> None:
    executed(api, "echo", "s3cret")
    record = api.requests.all()[-1]
    assert (record.verb, record.resource, record.code) == ("get", "pods/exec", 101)
    assert dict(record.query) == {"stdin": "true"}
    assert "s3cret" not in json.dumps(record.to_json())


def test_the_server_ends_while_a_command_runs(api: ApiServer) -> None:
    session = connected(api, "sleep", "1000")
    api.stop()
    assert session.read().status is None
