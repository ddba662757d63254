# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""pods/exec: what a request asks for, and the session between its WebSocket and the command, with bounded memory."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import channels
from .channels import Protocol
from .faults import Fault
from .requests import Request
from .streams import Streams

if TYPE_CHECKING:
    from lab.kubelet.container import Container, Process

    from .websocket import WebSocket

_BUFFER = 256 * 1024
_LOOK_AROUND_SECONDS = 0.25
_FINISH_SECONDS = 10.0
_TRUE = {"1", "t", "T", "TRUE", "true", "True"}


class _CutError(Exception):
    """A fault ends the connection; ``reset``: as TCP does when a host fails."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """Output is always sent, as by real servers, whose defaults overrule what the request says."""

    command: tuple[str, ...]
    container: str
    stdin: bool
    tty: bool

    @classmethod
    def of(cls, request: Request) -> ExecOptions:
        command = tuple(value for name, value in request.pairs if name == "command")
        query = request.query
        return cls(command, query.get("container", ""), query.get("stdin") in _TRUE, query.get("tty") in _TRUE)


@dataclass(frozen=True, slots=True)
class Exec:
    """An exec that was granted. ``failure``: why there is no container, as the kubelet says it."""

    options: ExecOptions
    protocol: Protocol
    container: Container | None
    failure: str = ""


class Session:
    """One exec, in the thread of its caller.

    While the command does not read, nor is read from the WebSocket (pings and the client's end neither, as with real
    servers); while the client does not read, the command's output is left in its pipe. ``cut`` ends the connection
    without a word, by a TCP reset when its argument says so.
    """

    def __init__(
        self,
        request: Exec,
        websocket: WebSocket,
        stopping: threading.Event,
        *,
        ping_seconds: float,
        fault: Fault | None,
        cut: Callable[[bool], None],
    ) -> None:
        self._request = request
        self._protocol = request.protocol
        self._websocket = websocket
        self._stopping = stopping
        self._fault = fault
        self._cut = cut
        self._ping_seconds = ping_seconds
        self._next_ping = time.monotonic() + ping_seconds
        self._moved = 0
        self._streams = Streams(request.options.command, stdin=request.options.stdin, tty=request.options.tty)
        self._incoming = _Incoming(request.protocol)

    def run(self) -> None:
        """Until the command has ended: it may outlive the connection."""
        # As real servers: by it a client sees that the connection stands.
        self._send(channels.STDOUT, b"")
        container = self._request.container
        try:
            if container is None:
                self._finish(channels.internal_failure(self._request.failure))
                return
            try:
                process = self._streams.start(container)
            except RuntimeError as error:  # it ended just now
                self._finish(channels.internal_error(self._protocol, str(error)))
                return
            try:
                self._converse(process)
            except _CutError as error:
                self._cut(error.reset)
            finally:
                self._streams.abandon()
                _wait(process, self._stopping)
                process.close()
        except (ConnectionError, TimeoutError):
            return
        finally:
            self._streams.close()

    def _converse(self, process: Process) -> None:
        while True:
            self._meet_fault()
            result = process.poll()
            if result is not None and not self._streams.outputs:
                self._fault_now()
                if result.error:
                    self._finish(channels.internal_error(self._protocol, result.error))
                else:
                    status = channels.exit_status(self._protocol, self._request.options.command, result.code)
                    self._finish(status)
                return
            if self._websocket.ended or self._stopping.is_set():
                self._websocket.flush()
                return
            self._move(process, ended=result is not None)

    def _move(self, process: Process, *, ended: bool) -> None:
        """Wait until something can move, and move it."""
        streams, websocket = self._streams, self._websocket
        poll = select.poll()
        reading = len(streams.backlog) < _BUFFER
        poll.register(websocket, (select.POLLIN if reading else 0) | (select.POLLOUT if websocket.unsent else 0))
        if websocket.unsent < _BUFFER:
            for descriptor in streams.outputs:
                poll.register(descriptor, select.POLLIN)
        if streams.wants_input:
            poll.register(streams.input, select.POLLOUT | (select.POLLIN if streams.input in streams.outputs else 0))
        if not ended:
            poll.register(process, select.POLLIN)
        self._move_ready(dict(poll.poll(1000 * _LOOK_AROUND_SECONDS)), reading=reading)
        if time.monotonic() >= self._next_ping and not websocket.unsent:
            websocket.ping()
            self._next_ping = time.monotonic() + self._ping_seconds
        websocket.flush()

    def _move_ready(self, ready: dict[int, int], *, reading: bool) -> None:
        streams = self._streams
        for descriptor, channel in list(streams.outputs.items()):
            if ready.get(descriptor, 0) & ~select.POLLOUT:
                data = streams.read(descriptor)
                if data:
                    self._send_output(channel, data)
        if streams.wants_input and ready.get(streams.input, 0) & ~select.POLLIN:
            streams.write()
        if reading and ready.get(self._websocket.fileno(), 0) & ~select.POLLOUT:
            self._receive()

    def _receive(self) -> None:
        for message in self._websocket.receive():
            for channel, data in self._incoming.parts(message):
                if channel == channels.STDIN:
                    self._moved += len(data)
                    self._streams.feed(data)
                elif channel == channels.RESIZE:
                    self._streams.resize(data)
                elif channel == channels.CLOSE and data == bytes([channels.STDIN]):
                    self._streams.end_input()

    def _send_output(self, channel: int, data: bytes) -> None:
        fault = self._fault
        if fault and self._moved + len(data) >= fault.after_bytes:
            data = data[: max(0, fault.after_bytes - self._moved)]
        self._moved += len(data)
        if data:
            self._send(channel, data)
        self._meet_fault()

    def _send(self, channel: int, data: bytes) -> None:
        self._websocket.send(self._protocol.encode(channel, data))

    def _finish(self, status: dict[str, Any]) -> None:
        """Say how it ended, and wait for the client to close: a reset would take what it has not read yet."""
        if body := self._protocol.status(status):
            self._send(channels.ERROR, body)
        self._websocket.close()
        self._drain(until_closed=True)

    def _drain(self, *, until_closed: bool) -> None:
        deadline = time.monotonic() + _FINISH_SECONDS
        websocket = self._websocket
        while (websocket.unsent or (until_closed and not websocket.ended)) and not self._stopping.is_set():
            poll = select.poll()
            poll.register(websocket, select.POLLIN | (select.POLLOUT if websocket.unsent else 0))
            before = websocket.unsent
            if poll.poll(1000 * _LOOK_AROUND_SECONDS):
                for _ in websocket.receive():
                    pass
                websocket.flush()
            if websocket.unsent < before:
                deadline = time.monotonic() + _FINISH_SECONDS
            if websocket.ended or time.monotonic() > deadline:
                return

    # Faults

    def _meet_fault(self) -> None:
        if self._fault and self._moved >= self._fault.after_bytes:
            self._fault_now()

    def _fault_now(self) -> None:
        fault, self._fault = self._fault, None
        if fault is None:
            return
        if fault.kind == "exec-stall":
            self._stall(fault.seconds)
            return
        if fault.kind == "exec-cut" and self._protocol.closes_channels:
            # The API server takes the end of its connection to the kubelet for the end of a command.
            self._finish(channels.SUCCESS)
        elif fault.kind == "exec-close":
            self._websocket.close()
            self._drain(until_closed=True)
        else:
            self._drain(until_closed=False)
        raise _CutError(reset=fault.kind == "exec-reset")

    def _stall(self, seconds: float) -> None:
        """Neither read nor write, not even pongs; 0 seconds: until the client gives up."""
        self._drain(until_closed=False)
        deadline = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._websocket, select.POLLRDHUP)
        while not self._stopping.is_set() and (not seconds or time.monotonic() < deadline):
            if poll.poll(1000 * _LOOK_AROUND_SECONDS):
                raise _CutError(reset=False)


class _Incoming:
    """Parts of messages as they come, each with its channel, which only the first part of a message says."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._channel: int | None = None
        self._text = ""

    def parts(self, message: Any) -> list[tuple[int, bytes]]:
        if self._protocol.is_text:
            return self._decoded(message)
        data = bytes(message.data) if isinstance(message.data, bytes | bytearray) else message.data.encode()
        if self._channel is None and data:
            self._channel, data = data[0], data[1:]
        channel = self._channel
        if message.message_finished:
            self._channel = None
        return [] if channel is None or not data else [(channel, data)]

    def _decoded(self, message: Any) -> list[tuple[int, bytes]]:
        self._text += message.data if isinstance(message.data, str) else message.data.decode()
        if not message.message_finished:
            return []
        text, self._text = self._text, ""
        return [(int(text[0]), channels.decoded(text[1:]))] if text else []


def _wait(process: Process, stopping: threading.Event) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    while process.poll() is None and not stopping.is_set():
        poll.poll(1000 * _LOOK_AROUND_SECONDS)
