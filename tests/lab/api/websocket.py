# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server's end of a WebSocket over a socket that does not block: wsproto's codec, with what is still to be sent."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from typing import Any

from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Request, TextMessage
from wsproto.extensions import Extension

_BLOCK = 65536


class WebSocket:
    """``fileno()`` is the socket's; poll it for writing while ``unsent`` is not 0, and for reading always."""

    def __init__(self, connection: Any, headers: Iterable[tuple[str, str]], path: str, subprotocol: str) -> None:
        """Accepts the upgrade that a request with these headers asks for."""
        self._socket = connection
        self._socket.setblocking(False)
        self._codec = WSConnection(ConnectionType.SERVER)
        self._codec.initiate_upgrade_connection(
            [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers], path
        )
        self._unsent = bytearray()
        for event in self._codec.events():
            if isinstance(event, Request):
                self._send(AcceptConnection(subprotocol=subprotocol or None, extensions=_NO_EXTENSIONS))
        self.ended = False

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def send(self, data: bytes | str) -> None:
        self._send(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    def ping(self) -> None:
        self._send(Ping())

    def close(self) -> None:
        """Say that the connection ends; the other end's answer sets ``ended``."""
        if self._codec.state is ConnectionState.OPEN:
            self._send(CloseConnection(1000))

    def flush(self) -> None:
        """Send what the socket takes. OSError when the other end is gone."""
        while self._unsent:
            try:
                sent = self._socket.send(bytes(self._unsent[:_BLOCK]))
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]

    def receive(self) -> Iterator[BytesMessage | TextMessage]:
        """Parts of messages, as they come. Pings are answered. OSError when the other end is gone."""
        for block in self._blocks():
            self._codec.receive_data(block)
            for event in self._codec.events():
                if isinstance(event, BytesMessage | TextMessage):
                    yield event
                elif isinstance(event, Ping) and self._codec.state is ConnectionState.OPEN:
                    self._send(event.response())
                elif isinstance(event, CloseConnection):
                    if self._codec.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
                        self._send(event.response())
                    self.ended = True
                    return

    def _blocks(self) -> Iterator[bytes]:
        """One block of the socket, and what TLS has of it already, which polling does not tell."""
        while True:
            try:
                data = self._socket.recv(_BLOCK)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not data:
                self.ended = True
                return
            yield data
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                return

    def _send(self, event: Event) -> None:
        self._unsent += self._codec.send(event)


_NO_EXTENSIONS: list[Extension] = []
