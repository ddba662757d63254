# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""However much moves through an exec, and whoever does not read it: the server's memory stays what it was.

Without TLS: see :meth:`tools.exec_client.ExecClient.run`. kubectl's test has TLS with much of both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websocket
from lab.api import ApiProcess, Client
from running_pods import NODE, pod
from tools.exec_client import ExecClient

ALLOWED_KILOBYTES = 20_000
Exec = Callable[..., ExecClient]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiProcess]:
    with ApiProcess(tmp_path, "--run-pods") as process:
        process.client.load([NODE])
        Client.http(process.url, (tmp_path / "token").read_text()).create(pod())
        while process.client.get("pods", "helper", "default")["status"]["phase"] != "Running":
            pass
        yield process


@pytest.fixture
def connect(server: ApiProcess) -> Exec:
    token = (server.directory / "token").read_text()

    def made(*command: str, **options: str) -> ExecClient:
        return ExecClient(server.url, token, "default/helper", command, **options)

    return made


def peak(server: ApiProcess) -> int:
    """The most memory that the server has had, in kilobytes."""
    pid = json.loads((server.directory / "ready").read_text())["pid"]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def test_large_streams_both_ways(server: ApiProcess, connect: Exec) -> None:
    size = 100_000_000
    before = peak(server)
    outcome = connect("cat", stdin="true").run(bytes(size))
    assert outcome.exit_code == 0
    assert outcome.stdout == bytes(size)
    assert peak(server) - before < ALLOWED_KILOBYTES


def test_a_client_that_does_not_read(server: ApiProcess, connect: Exec) -> None:
    before = peak(server)
    session = connect("sh", "-c", "head -c 40000000 /dev/zero; echo done >&2")
    assert connect("sleep", "1").run().exit_code == 0
    assert peak(server) - before < ALLOWED_KILOBYTES
    outcome = session.read()
    assert (len(outcome.stdout), outcome.stderr) == (40_000_000, b"done\n")


def test_a_command_that_does_not_read(server: ApiProcess, connect: Exec) -> None:
    before = peak(server)
    session = connect("sleep", "1000", stdin="true")
    session._socket.settimeout(1)
    with pytest.raises(websocket.WebSocketTimeoutException):
        session.send(bytes(40_000_000))
    assert peak(server) - before < ALLOWED_KILOBYTES
    session.drop()
