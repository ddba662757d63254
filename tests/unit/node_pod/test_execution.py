# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An exec with a server that does as it likes: what counts as an end, what may be tried again, and what is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import execution
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.channels import Patience
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.errors import NodePodError, NotStartedError
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.execution import Execution
from exec_server import STDERR, STDOUT, ExecServer, Peer, frame

SUCCESS = {"status": "Success"}
FAILED = {"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with exit code 1"}


def exit_code(code: int) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    message = f"command terminated with exit code {code}"
    return {"status": "Failure", "reason": "NonZeroExitCode", "message": message, "details": {"causes": causes}}


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_GRACE", 0.5)


Serve = Callable[[Callable[[Peer], None]], ExecServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[ExecServer] = []

    def start(behave: Callable[[Peer], None]) -> ExecServer:
        made.append(ExecServer(behave))
        return made[-1]

    yield start
    for each in made:
        each.__exit__()


PATIENT = Patience()


def run(
    server: ExecServer, patience: Patience = PATIENT, timeout: float = 5.0, *, asked_before: bool = False, **more: Any
) -> tuple[int, str, str]:
    """``asked_before``: there is a connection that an earlier request has left."""
    out, err = bytearray(), bytearray()
    with ApiClient(lambda: auth.connect({"host": server.url, "api_key": "s3cret"}, {}), retries=0) as client:
        if asked_before:
            client.get("/pod")
        started = Execution.open(client, "/exec", timeout, patience)
        try:
            code = started.run("true", "/bin", write=out.extend, complain=err.extend, **more)
        finally:
            started.close()
    return code, out.decode(), err.decode()


def ended_in_order(peer: Peer) -> None:
    peer.accept()
    peer.ready()
    word = peer.word()
    peer.send(STDOUT, b"out")
    peer.send(STDERR, b"err")
    peer.end(word, 7)


def test_the_end_is_our_word_and_no_status_is_needed(serve: Serve) -> None:
    assert run(serve(ended_in_order)) == (7, "out", "err")


def test_what_comes_with_the_handshake_is_not_lost(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept("v4.channel.k8s.io", first=frame(2, STDOUT + b"npm.netpol: ready\n"))
        peer.end(peer.word())

    assert run(serve(behave)) == (0, "", "")


def test_a_status_of_success_is_no_end(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        peer.word()
        peer.send(STDOUT, b"the first half")
        peer.say(SUCCESS)
        peer.close()

    with pytest.raises(
        NodePodError, match=r"end was not seen.*the server closed the connection \(code 1000\)"
    ) as error:
        run(serve(behave))
    assert not isinstance(error.value, NotStartedError)


def test_a_status_without_a_close_is_not_waited_for_forever(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        peer.word()
        peer.say(SUCCESS)
        peer.receive()
        peer.receive()

    with pytest.raises(NodePodError, match="the server says that it ended"):
        run(serve(behave))


@pytest.mark.parametrize("which", [STDOUT, STDERR])
def test_one_outputs_end_is_not_both(serve: Serve, which: bytes) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        peer.send(which, f"{peer.word()} 000\n".encode())

    with pytest.raises(NodePodError, match=r"end was not seen.*the connection broke off"):
        run(serve(behave))


def test_ends_that_differ_are_none(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        word = peer.word()
        peer.send(STDOUT, f"{word} 000\n".encode())
        peer.send(STDERR, f"{word} 001\n".encode())
        peer.receive()

    with pytest.raises(NodePodError, match=r"different codes \(0 and 1\)"):
        run(serve(behave))


def test_before_the_command_began_a_cut_may_be_tried_again(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()

    server = serve(behave)
    with pytest.raises(NotStartedError, match="does not reach the node: the connection broke off"):
        run(server)
    assert server.peers[0].frames == []


def test_a_program_that_ends_at_once_says_why_and_is_not_tried_again(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.send(STDERR, b"nsenter: Operation not permitted\n")
        peer.say(FAILED)
        peer.close()

    with pytest.raises(NodePodError, match="exit code 1; the node says: nsenter: Operation not permitted") as error:
        run(serve(behave))
    assert not isinstance(error.value, NotStartedError)


def test_a_kubelet_that_is_not_reached_may_be_tried_again(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.say({"status": "Failure", "reason": "InternalError", "message": "error dialing backend: no agent"})
        peer.close(1011)

    with pytest.raises(NotStartedError, match="the API says: error dialing backend: no agent"):
        run(serve(behave))


@pytest.mark.parametrize(
    ("status", "again"),
    [
        (SUCCESS, True),
        (exit_code(137), True),
        (exit_code(143), True),
        (exit_code(1), False),
        (exit_code(127), False),
        (exit_code(1) | {"details": "odd"}, False),
    ],
)
def test_a_program_that_ended_before_it_was_ready(serve: Serve, status: dict[str, Any], again: bool) -> None:
    """What a signal ended, or a cut, was not the program's own matter; and nothing has been run."""

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.say(status)
        peer.close()

    with pytest.raises(NodePodError, match="the helper pod does not reach the node") as error:
        run(serve(behave))
    assert isinstance(error.value, NotStartedError) == again


def test_a_program_that_does_not_start_is_not_waited_for(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.receive()

    with pytest.raises(NotStartedError, match=r"did not start within 0\.3 s"):
        run(serve(behave), timeout=0.3)


@pytest.mark.parametrize(
    ("status", "body", "words", "again"),
    [
        (
            "403 Forbidden",
            '{"message": "pods is forbidden: no"}',
            "no command may be run.*pods is forbidden: no",
            False,
        ),
        ("404 Not Found", '{"message": "pods x not found"}', "pods x not found", True),
        ("401 Unauthorized", "{}", "does not accept the credentials", False),
        ("503 Service Unavailable", "{}", "503 Service Unavailable", True),
        ("200 OK", "<html>", "200 OK", False),
    ],
)
def test_a_refusal_of_the_handshake(serve: Serve, status: str, body: str, words: str, again: bool) -> None:
    def behave(peer: Peer) -> None:
        peer.answer(status, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body.encode())

    with pytest.raises(NodePodError, match=words) as error:
        run(serve(behave))
    assert isinstance(error.value, NotStartedError) == again


def test_an_answer_that_is_no_websockets(serve: Serve) -> None:
    with pytest.raises(NodePodError, match="did not answer as a WebSocket server"):
        run(serve(lambda peer: peer.accept(key="another")))
    with pytest.raises(NodePodError, match="speaks neither v5"):
        run(serve(lambda peer: peer.accept("channel.k8s.io")))


def test_fragments_and_pings(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.connection.sendall(frame(2, STDOUT + b"npm.netpol: ", final=False) + frame(9, b"are you there?"))
        assert peer.receive() == (10, b"are you there?")
        peer.connection.sendall(frame(0, b"ready\n"))
        for each in frame(2, STDERR + b"x" * 300):
            peer.connection.sendall(bytes((each,)))
        peer.end(peer.word())

    server = serve(behave)
    assert run(server) == (0, "", "x" * 300)


def test_silence_is_a_loss_and_signs_of_life_are_none(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        peer.word()
        for _ in range(3):
            assert peer.receive()[0] == 9
            peer.connection.sendall(frame(10, b""))
        while True:
            peer.receive()

    server = serve(behave)
    with pytest.raises(NodePodError, match=r"nothing was heard for 0\.4 s"):
        run(server, Patience(ping=0.1, silence=0.4))
    assert [opcode for opcode, _ in server.peers[0].frames].count(9) >= 3


def test_a_node_that_is_lost_ends_what_pings_would_keep_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server answers them by itself."""
    monkeypatch.setattr(execution, "_QUIET", 0.3)
    looks = iter(["", "nothing is heard of the helper pod's node any more"])

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        peer.word()
        while peer.receive()[0] == 9:
            peer.connection.sendall(frame(10, b""))

    with pytest.raises(NodePodError, match=r"end was not seen.*nothing is heard of the helper pod's node any more"):
        run(serve(behave), Patience(ping=0.1, silence=5.0), loss=lambda: next(looks))


def test_nobody_looks_after_a_node_whose_command_says_something(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_QUIET", 5.0)

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        word = peer.word()
        for _ in range(5):
            time.sleep(1.2)
            peer.send(STDOUT, b".")
        peer.end(word)

    assert run(serve(behave), loss=lambda: "looked") == (0, ".....", "")


def test_a_server_that_takes_no_input_does_not_keep_its_output(serve: Serve) -> None:
    """Both sides full: whoever writes only, or reads only, waits forever."""
    heard = threading.Event()

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        word = peer.word()
        for _ in range(200):
            peer.send(STDOUT, b"o" * 100_000)
        heard.set()
        peer.end(word)
        while True:
            peer.receive()

    code, out, _ = run(serve(behave), data=(b"i" * 100_000 for _ in range(400)))
    assert heard.is_set()
    assert (code, len(out)) == (0, 20_000_000)


def test_input_waits_for_its_gate(serve: Serve) -> None:
    told: list[bytes] = []

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.ready()
        word = peer.word()
        peer.send(STDERR, b"password: ")
        told.append(peer.receive()[1])
        peer.send(STDOUT, b"welcome\n")
        while told[-1][1:] != b"0\n":
            told.append(peer.receive()[1])
        peer.end(word)

    answered = False

    def gate(out: bytes, err: bytes) -> tuple[bytes, bool]:
        nonlocal answered
        if out:
            return b"", True
        now = b"s3cret\n" if err and not answered else b""
        answered = answered or bool(err)
        return now, False

    code, out, _ = run(serve(behave), data=[b"data"], gate=gate)
    assert (code, out) == (0, "welcome\n")
    assert b"".join(each[1:] for each in told) == b"7\ns3cret\n4\ndata0\n"


def test_secrets_are_in_no_message(serve: Serve) -> None:
    def behave(peer: Peer) -> None:
        body = b'{"message": "the token s3cret is not good"}'
        peer.answer("403 Forbidden", {"Content-Type": "application/json", "Content-Length": str(len(body))}, body)

    with pytest.raises(NodePodError) as error:
        run(serve(behave))
    assert "s3cret" not in str(error.value)


def gives_up_what_it_keeps(then: Callable[[Peer], None]) -> Callable[[Peer], None]:
    """The first connection is good for one request: the next one on it finds it closed. Others are served."""

    def behave(peer: Peer) -> None:
        if not peer.request[0].startswith("GET /pod "):
            then(peer)
            return
        peer.answer("200 OK", {"Content-Type": "application/json", "Content-Length": "2"}, b"{}")
        assert peer.connection.recv(65536).startswith(b"GET /exec?")

    return behave


def test_a_connection_that_the_server_gave_up_meanwhile_is_replaced(serve: Serve) -> None:
    server = serve(gives_up_what_it_keeps(ended_in_order))
    assert run(server, asked_before=True) == (7, "out", "err")
    assert len(server.peers) == 2


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_fresh_connection_that_breaks_is_not_tried_again(serve: Serve, asked_before: bool) -> None:
    server = serve(gives_up_what_it_keeps(lambda _: None))
    with pytest.raises(NotStartedError, match="the connection broke off before the answer was complete"):
        run(server, asked_before=asked_before)
    assert len(server.peers) == 1 + asked_before
