# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One attempt to reach an address from a place: TCP, UDP, SCTP, ICMP echo or any IP protocol, with real sockets."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import struct
import time
from dataclasses import dataclass
from typing import Any

from . import arrivals, sctp
from .patience import patience
from .sockets import LONGEST_MESSAGE, QUESTION, Target, make_socket, raw_content

_ECHO = {socket.AF_INET: 8, socket.AF_INET6: 128}
_REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ENOPROTOOPT: "refused",
    errno.EACCES: "prohibited",
    errno.EPERM: "prohibited",
    errno.ETIMEDOUT: "timeout",
}
# Reasons that may be a lost packet and nothing more.
SILENCE = frozenset({"timeout", "silent"})
_TOTAL_RETRANSMITS_AT = 100


@dataclass(slots=True)
class Outcome:
    """``retransmits`` are TCP's: one that is not zero means that a packet was lost although the attempt went well."""

    ok: bool = False
    server: str = ""
    source: str = ""
    reason: str = ""
    start: float = 0.0
    end: float = 0.0
    retransmits: int = 0

    def to_json(self) -> list[Any]:
        return [self.ok, self.server, self.source, self.reason, self.start, self.end, self.retransmits]


async def attempt(target: Target, timeout: float) -> Outcome:
    """Try once. Never raises for what the network does; the outcome's reason says it."""
    outcome = Outcome(start=time.monotonic())
    try:
        async with patience(timeout):
            if target.protocol == "SCTP" and not sctp.kernel_has_sctp():
                _understand(await sctp.ask(target), outcome)
            else:
                await _try_socket(target, outcome)
            outcome.ok, outcome.reason = True, ""
    except TimeoutError:
        outcome.reason = outcome.reason or "timeout"
    except OSError as error:
        outcome.reason = _REASONS.get(error.errno or 0, str(error))
    except ValueError:
        outcome.reason = "not the lab's answer"
    outcome.end = time.monotonic()
    return outcome


async def _try_socket(target: Target, outcome: Outcome) -> None:
    with make_socket(target) as made:
        try:
            await connect(made, target)
            outcome.reason = "silent" if target.protocol in ("TCP", "SCTP") else ""
            await _ask(made, target, outcome)
        finally:
            if target.protocol == "TCP":
                outcome.retransmits = _retransmits(made)
            if target.protocol in ("TCP", "SCTP"):
                # Closing by a reset leaves no TIME_WAIT: thousands of attempts must not run out of ports.
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def connect(made: socket.socket, target: Target) -> None:
    """Raises OSError when it is refused. (The loop's own sock_connect knows no SCTP.)"""
    loop = asyncio.get_running_loop()
    try:
        made.connect((target.address, target.port))
    except BlockingIOError:
        writable: asyncio.Future[None] = loop.create_future()
        loop.add_writer(made, _settle, writable)
        try:
            await writable
        finally:
            loop.remove_writer(made)
        if number := made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(number, os.strerror(number)) from None


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _ask(made: socket.socket, target: Target, outcome: Outcome) -> None:
    loop = asyncio.get_running_loop()
    if target.forged:
        with arrivals.awaited() as (datagram, arrival):
            await loop.sock_sendall(made, datagram)
            outcome.server, outcome.source = await arrival
        return
    if target.protocol == "ICMP":
        head = struct.pack("!BBHHH8s", _ECHO[target.family], 0, 0, 0, 1, b"lab-echo")
        await loop.sock_sendall(made, head + bytes(target.payload))
        await loop.sock_recv(made, LONGEST_MESSAGE)
        outcome.server, outcome.source = target.address, made.getsockname()[0]
        return
    if target.protocol in ("UDP", "IP"):
        await loop.sock_sendall(made, QUESTION + bytes(target.payload))
    data = await loop.sock_recv(made, LONGEST_MESSAGE)
    while target.protocol == "IP" and (data := raw_content(target.family, data)) == QUESTION:
        # The other side's question to the server of this place.
        data = await loop.sock_recv(made, LONGEST_MESSAGE)
    if not data:
        raise OSError(errno.ECONNRESET, "closed without an answer")
    _understand(data, outcome)
    if target.protocol == "TCP" and target.payload:
        await _download(made, target.payload)


async def _download(made: socket.socket, size: int) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(made, struct.pack("!cI", b"B", size))
    while size > 0:
        data = await loop.sock_recv(made, size)
        if not data:
            raise OSError(errno.ECONNRESET, "closed within a download")
        size -= len(data)


def _understand(data: bytes, outcome: Outcome) -> None:
    # A UDP server sends our datagram back after its line.
    answer = json.loads(data.split(b"\n")[0])
    outcome.server, outcome.source = answer["server"], answer["source"]


def _retransmits(made: socket.socket) -> int:
    info = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    (total,) = struct.unpack_from("I", info, _TOTAL_RETRANSMITS_AT)
    return int(total)
