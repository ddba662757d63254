# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client of pods/exec over WebSocket for tests, apart from all else that speaks it: frames by websocket-client."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import websocket

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_BLOCK = 64 * 1024
_TIMEOUT_SECONDS = 30


@dataclass(slots=True)
class Outcome:
    """What came before the connection ended; ``close_code`` None: without a WebSocket's close frame."""

    output: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray(), 3: bytearray()})
    close_code: int | None = None
    error: BaseException | None = None

    @property
    def stdout(self) -> bytes:
        return bytes(self.output[1])

    @property
    def stderr(self) -> bytes:
        return bytes(self.output[2])

    @property
    def status(self) -> Any:
        """The Status of the error channel; None: nothing came."""
        return json.loads(self.output[3]) if self.output[3] else None

    @property
    def exit_code(self) -> int:
        status = self.status
        if status["status"] == "Success":
            return 0
        assert status["reason"] == "NonZeroExitCode", status
        return int(next(cause["message"] for cause in status["details"]["causes"] if cause["reason"] == "ExitCode"))


class ExecClient:
    """One exec. websocket.WebSocketBadStatusException when the server refuses."""

    def __init__(
        self,
        url: str,
        token: str,
        pod: str,
        command: Sequence[str],
        *,
        ca_file: Path | None = None,
        protocols: Sequence[str] = (V5, V4),
        **options: str,
    ) -> None:
        """``pod``: namespace/name. ``options``: of the query, such as ``stdin="true"``."""
        namespace, name = pod.split("/")
        query = urlencode([*(("command", part) for part in command), *options.items()])
        self._socket = websocket.create_connection(
            f"{url.replace('http', 'ws', 1)}/api/v1/namespaces/{namespace}/pods/{name}/exec?{query}",
            timeout=_TIMEOUT_SECONDS,
            header=[f"Authorization: Bearer {token}"],
            subprotocols=list(protocols) or None,
            sslopt={"ca_certs": str(ca_file)} if ca_file else {},
            enable_multithread=True,
        )

    @property
    def protocol(self) -> str | None:
        protocol: str | None = self._socket.getsubprotocol()
        return protocol

    def send(self, data: bytes, channel: int = 0) -> None:
        for start in range(0, len(data), _BLOCK):
            self._socket.send_binary(bytes([channel]) + data[start : start + _BLOCK])

    def end_input(self) -> None:
        self._socket.send_binary(bytes([255, 0]))

    def ping(self, text: bytes) -> None:
        self._socket.ping(text)

    def frame(self) -> tuple[int, bytes]:
        """The next frame, a control frame too: opcode and payload."""
        frame = self._socket.recv_frame()
        return int(frame.opcode), bytes(frame.data)

    def close(self) -> None:
        self._socket.close()

    def drop(self) -> None:
        """End the TCP connection without a word."""
        self._socket.shutdown()

    def read(self, until: Callable[[Outcome], bool] = lambda _: False) -> Outcome:
        """To the end, or until enough has come. Pings are answered by websocket-client."""
        outcome = Outcome()
        try:
            while not until(outcome):
                opcode, data = self._socket.recv_data()
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    outcome.close_code = int.from_bytes(data[:2], "big") if data else 1005
                    break
                outcome.output[data[0]] += data[1:]
        except (OSError, websocket.WebSocketException) as error:
            outcome.error = error
        return outcome

    def run(self, data: bytes = b"", *, end: bool = True) -> Outcome:
        """Send all input, then read all output.

        Without TLS at the same time. With TLS a connection is nothing for two threads (OpenSSL's objects are not
        safe for them), so the command must take its input before it says much.
        """
        if isinstance(self._socket.sock, ssl.SSLSocket):
            self._feed(data, end)
            outcome = self.read()
        else:
            sender = threading.Thread(target=self._feed, args=(data, end), daemon=True)
            sender.start()
            outcome = self.read()
            sender.join(_TIMEOUT_SECONDS)
        self.drop()
        return outcome

    def _feed(self, data: bytes, end: bool) -> None:
        try:
            self.send(data)
            if end:
                self.end_input()
        except (OSError, websocket.WebSocketException):
            return  # the reading side sees why
