# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server that answers an exec as a test says, byte by byte: for what a well-behaved one never does."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import program

STDOUT, STDERR, STATUS = b"\1", b"\2", b"\3"
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(opcode: int, data: bytes, *, final: bool = True) -> bytes:
    """As a server writes it: not masked."""
    first, length = (0x80 if final else 0) | opcode, len(data)
    if length < 126:
        return bytes((first, length)) + data
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big") + data
    return bytes((first, 127)) + length.to_bytes(8, "big") + data


@dataclass
class Peer:
    """One client that has asked for an exec."""

    connection: socket.socket
    request: list[str]
    _input: bytes = b""
    frames: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.partition(":") for line in self.request[1:])
        return {name.lower(): value.strip() for name, _, value in pairs}

    def answer(self, status: str, headers: dict[str, str], body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def accept(self, protocol: str = "v5.channel.k8s.io", key: str = "", first: bytes = b"") -> None:
        """``first``: what the server says in the same breath."""
        digest = hashlib.sha1(f"{key or self.headers['sec-websocket-key']}{_GUID}".encode()).digest()  # noqa: S324
        accepted = {"Upgrade": "websocket", "Connection": "Upgrade"}
        accepted["Sec-WebSocket-Accept"] = base64.b64encode(digest).decode()
        self.answer("101 Switching Protocols", accepted | {"Sec-WebSocket-Protocol": protocol}, first)

    def send(self, channel: bytes, data: bytes) -> None:
        self.connection.sendall(frame(2, channel + data))

    def ready(self) -> None:
        self.send(STDOUT, program.READY)

    def say(self, status: dict[str, Any]) -> None:
        self.send(STATUS, json.dumps(status).encode())

    def close(self, code: int = 1000, reason: str = "") -> None:
        self.connection.sendall(frame(8, code.to_bytes(2, "big") + reason.encode()))

    def receive(self) -> tuple[int, bytes]:
        """The next frame of the client: opcode and data. EOFError at its end."""
        head = self._take(2)
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(self._take(2), "big")
        elif length == 127:
            length = int.from_bytes(self._take(8), "big")
        assert head[1] & 0x80, "clients mask"
        mask, data = self._take(4), self._take(length)
        self.frames.append((head[0] & 0x0F, bytes(each ^ mask[at % 4] for at, each in enumerate(data))))
        return self.frames[-1]

    def word(self) -> str:
        """What the command's end is known by: the first word of its request."""
        opcode, data = self.receive()
        while opcode != 2:
            opcode, data = self.receive()
        return data[1:].split()[0].decode()

    def end(self, word: str, code: int = 0) -> None:
        for channel in (STDOUT, STDERR):
            self.send(channel, f"{word} {code:03d}\n".encode())

    def _take(self, count: int) -> bytes:
        while len(self._input) < count:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._input += data
        taken, self._input = self._input[:count], self._input[count:]
        return taken


class ExecServer:
    """Gives each connection to ``behave``, in a thread, and closes it then. ``peers``: all that came."""

    def __init__(self, behave: Callable[[Peer], None]) -> None:
        self._behave = behave
        self.peers: list[Peer] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> ExecServer:
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()
        for peer in self.peers:
            peer.connection.close()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        text = b""
        while b"\r\n\r\n" not in text:
            data = connection.recv(65536)
            if not data:
                return
            text += data
        head, _, rest = text.partition(b"\r\n\r\n")
        peer = Peer(connection, head.decode().split("\r\n"), rest)
        self.peers.append(peer)
        try:
            self._behave(peer)
        except (EOFError, OSError):
            pass
        finally:
            connection.close()
