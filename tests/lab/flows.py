# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows that last: a TCP (or SCTP) download and a steady UDP exchange, with the longest silence of each."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from .answering import CHUNK, PACE
from .connections import connect
from .patience import patience
from .sockets import LONGEST_MESSAGE, Target, make_socket

_START_PATIENCE = 5.0
# So many pieces of data, each sent after a pause, cannot all have been under way.
_ENOUGH = 20


class _Flow:
    """``received`` are bytes of a download, datagrams of an exchange."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.received = 0
        self.sent = 0
        self.longest_silence = 0.0
        self.error = ""
        self._arrivals = 0
        self._arrived = asyncio.Event()
        self._last = time.monotonic()
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, answered: bool) -> None:
        """Returns when the first data has come. Raises OSError when none does; ``answered`` False: does not wait."""
        made = make_socket(self.target)
        loop = asyncio.get_running_loop()
        try:
            async with patience(_START_PATIENCE):
                await connect(made, self.target)
                if answered:
                    await loop.sock_sendall(made, b"S")
                    await loop.sock_recv(made, LONGEST_MESSAGE)
        except TimeoutError:
            made.close()
            raise OSError(f"no data from {self.target.address} port {self.target.port}") from None
        except OSError:
            made.close()
            raise
        self._last = time.monotonic()
        body = self._exchange if self.target.protocol == "UDP" else self._download
        self._task = loop.create_task(self._run(made, body))

    async def _run(self, made: socket.socket, body: Any) -> None:
        with made:
            try:
                await body(made)
            except OSError as error:
                self.error = str(error)
                self._arrived.set()

    async def _download(self, made: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(made, 64 * CHUNK):
            self._heard()
            self.received += len(data)
        self.error = "the server closed it"

    async def _exchange(self, made: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sender = loop.create_task(self._send(made))
        try:
            while await loop.sock_recv(made, LONGEST_MESSAGE):
                self._heard()
                self.received += 1
        finally:
            sender.cancel()

    async def _send(self, made: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await loop.sock_sendall(made, struct.pack("!Q", self.sent))
            self.sent += 1
            await asyncio.sleep(PACE)

    def _heard(self) -> None:
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self._last)
        self._last = now
        self._arrivals += 1
        self._arrived.set()

    async def goes_on(self) -> bool:
        """Whether data still comes, and more than was under way."""
        enough = self._arrivals + _ENOUGH
        try:
            async with patience(_START_PATIENCE):
                while self._arrivals < enough and not self.error:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return False
        return not self.error

    async def stop(self) -> dict[str, Any]:
        if not self.error:
            self._heard()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        return {
            "received": self.received,
            "sent": self.sent,
            "longest_silence": self.longest_silence,
            "error": self.error,
        }


class Flows:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._running: dict[int, list[_Flow]] = {}

    async def start(self, targets: Sequence[Target], *, answered: bool) -> int:
        flows = [_Flow(target) for target in targets]
        try:
            for flow in flows:
                await flow.start(answered=answered)
        except OSError:
            for flow in flows:
                await flow.stop()
            raise
        number = next(self._numbers)
        self._running[number] = flows
        return number

    async def go_on(self, number: int) -> list[bool]:
        """Raises KeyError when there is none of the number."""
        return list(await asyncio.gather(*(flow.goes_on() for flow in self._running[number])))

    async def stop(self, number: int) -> list[dict[str, Any]]:
        """Raises KeyError when there is none of the number."""
        return [await flow.stop() for flow in self._running.pop(number)]
