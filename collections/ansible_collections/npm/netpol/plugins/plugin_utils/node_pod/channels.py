# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The streams of an exec on one WebSocket, as Kubernetes lays them there (v4 and v5.channel.k8s.io).

One thread reads and writes, neither side ever waits for the other, and what is held in memory is bounded: a server
that takes no input must not keep its output from being read.
"""

from __future__ import annotations

import selectors
import ssl
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from ..cluster.transport import Upgraded
from . import websocket

STDIN, STDOUT, STDERR, STATUS = range(4)
# The newest first: the server takes the first that it knows. Both speak of a command's end by a Status object. v5 can
# end the standard input, which our program on the node does not need: it is told lengths.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")

_READ = 1 << 16
# How much may arrive before we look after our own sending.
_AT_ONCE = 1 << 20
_MOST_UNSENT = 1 << 17
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds: how often to say that we are there, and how long to hear nothing before the server is lost."""

    ping: float = 15.0
    silence: float = 120.0


class LostError(Exception):
    """The connection is of no use any more; why, in words."""


class Channels:
    """An open exec."""

    def __init__(self, upgraded: Upgraded, patience: Patience) -> None:
        self._upgraded = upgraded
        self._socket = upgraded.socket
        self._patience = patience
        self._reader = websocket.Reader()
        self._unsent: deque[memoryview] = deque()
        self._waiting = 0
        self._heard = self._pinged = time.monotonic()
        self._first = upgraded.received
        self._closed = ""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)

    def close(self) -> None:
        """Leave without a word: the command's end was seen, or nothing more can be hoped for."""
        self._selector.close()
        self._upgraded.close()

    @property
    def has_room(self) -> bool:
        """Whether more may be given to :meth:`send`."""
        return self._waiting < _MOST_UNSENT

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def send(self, channel: int, data: bytes) -> None:
        """Send, with the next :meth:`exchange`."""
        self._queue(websocket.encode(websocket.BINARY, bytes((channel,)) + data))

    def exchange(self, longest: float) -> list[tuple[int, bytes]]:
        """What has arrived, after waiting (at most ``longest`` seconds) until something could be sent or read.

        Raises :class:`LostError` when nothing can arrive any more.
        """
        self._wait(longest)
        self._send_some()
        arrived = [each for each in self._receive_some() if each[1]]
        if not arrived and self._closed:
            raise LostError(self._closed)
        self._be_patient()
        return arrived

    def _wait(self, longest: float) -> None:
        if self._first or self._closed or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        self._selector.modify(self._socket, events)
        self._selector.select(max(0.0, min(longest, self._pinged + self._patience.ping - time.monotonic())))

    def _be_patient(self) -> None:
        now = time.monotonic()
        if now - self._heard > self._patience.silence:
            raise LostError(f"nothing was heard for {self._patience.silence:g} s, not even answers to pings")
        if now - self._pinged >= self._patience.ping:
            self._pinged = now
            self._queue(websocket.encode(websocket.PING, b""))

    def _queue(self, frame: bytes) -> None:
        self._unsent.append(memoryview(frame))
        self._waiting += len(frame)

    def _send_some(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent[0])
                self._waiting -= sent
                self._unsent[0] = self._unsent[0][sent:]
                if not self._unsent[0]:
                    self._unsent.popleft()
        except _NOT_YET:
            pass
        except OSError as error:
            # What the server said before may still be there to be read: it tells more.
            self._unsent.clear()
            self._waiting = 0
            self._closed = self._closed or f"the connection broke off: {_words(error)}"

    def _receive_some(self) -> Iterator[tuple[int, bytes]]:
        for data in self._arriving():
            self._heard = time.monotonic()
            try:
                for message in self._reader.feed(data):
                    if message.opcode in (websocket.BINARY, websocket.TEXT):
                        yield message.data[0] if message.data else STDIN, message.data[1:]
                    elif message.opcode == websocket.PING:
                        self._queue(websocket.encode(websocket.PONG, message.data))
                    elif message.opcode == websocket.CLOSE:
                        self._closed = _close_words(message.data)
                        return
            except websocket.WebSocketError as error:
                raise LostError(f"the server does not speak the protocol: {error}") from error

    def _arriving(self) -> Iterator[bytes]:
        if self._first:
            first, self._first = self._first, b""
            yield first
        taken = 0
        while taken < _AT_ONCE:
            try:
                data = self._socket.recv(_READ)
            except _NOT_YET:
                return
            except OSError as error:
                self._closed = self._closed or f"the connection broke off: {_words(error)}"
                return
            if not data:
                self._closed = self._closed or "the connection broke off"
                return
            taken += len(data)
            yield data


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def _close_words(data: bytes) -> str:
    code = int.from_bytes(data[:2], "big")
    reason = " ".join(data[2:].decode("utf-8", "replace").split())[:200]
    said = f": {reason}" if reason else ""
    return f"the server closed the connection (code {code}{said})" if data else "the server closed the connection"
