# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The servers on the pods' ports. They say who answers and whose address they see.

TCP and SCTP: one line of JSON at once; after a byte ``S`` from the client, numbers without end (a slow download), after
``B`` and a number of bytes, so many, as fast as can be. UDP: the same line for every datagram, followed by the datagram
itself. Other IP protocols: the line for every datagram that is ``?``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Sequence

from . import arrivals, sctp
from .sockets import LONGEST_MESSAGE, QUESTION, Target, make_socket, raw_content

CHUNK = 1024
PACE = 0.01
_PATIENCE = 30.0


class Answering:
    """All servers, by the name that they answer with."""

    def __init__(self) -> None:
        self._sockets: dict[str, list[socket.socket]] = {}
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}
        # Without the kernel's SCTP: who answers on which port of which address of which namespace.
        self._sctp: dict[tuple[str, str], dict[int, str]] = {}
        self._responders: dict[tuple[str, str], sctp.Responder] = {}

    def serve(self, name: str, namespace: str, ips: Sequence[str], ports: Sequence[tuple[int, str]]) -> None:
        """Answer on every address and port. Raises OSError when one is taken; then none is served."""
        if name in self._sockets:
            raise ValueError(f"{name} is served already")
        self._sockets[name], self._tasks[name] = [], set()
        try:
            for ip in ips:
                for port, protocol in ports:
                    self._open(name, Target(namespace, ip, port, protocol))
        except OSError:
            self.withdraw(name)
            raise

    def _open_sctp(self, name: str, at: Target) -> None:
        place = (at.namespace, at.address)
        ports = self._sctp.setdefault(place, {})
        ports[at.port] = name

        def answer(port: int, client: str) -> bytes | None:
            return _line(ports[port], client) if port in ports else None

        if place not in self._responders:
            self._responders[place] = sctp.Responder(at, answer)

    def _close_sctp(self, name: str) -> None:
        for place, ports in list(self._sctp.items()):
            for port in [port for port, whose in ports.items() if whose == name]:
                del ports[port]
            if not ports:
                del self._sctp[place]
                self._responders.pop(place).close()

    def _open(self, name: str, at: Target) -> None:
        if at.protocol == "SCTP" and not sctp.kernel_has_sctp():
            self._open_sctp(name, at)
            return
        made = make_socket(at)
        self._sockets[name].append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if at.family == socket.AF_INET6 and at.protocol != "IP":
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((at.address, at.port))
        loop = asyncio.get_running_loop()
        if at.protocol == "UDP":
            loop.add_reader(made, self._datagrams, name, made)
        elif at.protocol == "IP":
            loop.add_reader(made, self._raw_datagrams, name, made)
        else:
            made.listen(1024)
            loop.add_reader(made, self._accept, name, made)

    def withdraw(self, name: str) -> None:
        """End the servers of this name and their connections; none there is no error."""
        self._close_sctp(name)
        loop = asyncio.get_running_loop()
        for task in self._tasks.pop(name, set()):
            task.cancel()
        for made in self._sockets.pop(name, []):
            loop.remove_reader(made)
            made.close()

    def _datagrams(self, name: str, made: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                data, sender = made.recvfrom(LONGEST_MESSAGE)
                arrivals.arrived(data, name, sender[0])
                with contextlib.suppress(OSError):
                    made.sendto(_line(name, sender[0]) + data, sender)

    def _raw_datagrams(self, name: str, made: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                packet, sender = made.recvfrom(LONGEST_MESSAGE)
                # Answers to clients of this place come by here too.
                if raw_content(made.family, packet) == QUESTION:
                    with contextlib.suppress(OSError):
                        made.sendto(_line(name, sender[0]), (sender[0], 0))

    def _accept(self, name: str, made: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                connection, client = made.accept()
                connection.setblocking(False)
                task = asyncio.get_running_loop().create_task(self._answer(name, connection, client[0]))
                self._tasks[name].add(task)
                task.add_done_callback(self._tasks[name].discard)

    async def _answer(self, name: str, connection: socket.socket, client: str) -> None:
        loop = asyncio.get_running_loop()
        with connection, contextlib.suppress(OSError, TimeoutError):
            await loop.sock_sendall(connection, _line(name, client))
            async with asyncio.timeout(_PATIENCE):
                wish = await loop.sock_recv(connection, 1)
            number = 0
            if wish == b"B":
                size = struct.unpack("!I", await loop.sock_recv(connection, 4))[0]
                await loop.sock_sendall(connection, bytes(size))
            while wish == b"S":
                await loop.sock_sendall(connection, struct.pack("!Q", number).ljust(CHUNK, b"."))
                number += 1
                await asyncio.sleep(PACE)


def _line(name: str, client: str) -> bytes:
    # IPv6 link-local senders carry a zone.
    return json.dumps({"server": name, "source": client.partition("%")[0]}).encode() + b"\n"
