# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As much SCTP (RFC 9260) as a probe needs, over raw sockets: for kernels that filter SCTP but do not speak it.

The four-way handshake and one DATA chunk, in real packets that conntrack and NAT understand. No retransmission: a probe
tries again as a whole. Where the kernel has SCTP it would answer such packets itself; there its own sockets are used.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import random
import socket
import struct
from collections.abc import Callable, Iterator

from .netns import entered
from .sockets import LONGEST_MESSAGE, Target

_DATA, _INIT, _INIT_ACK, _ABORT, _COOKIE_ECHO, _COOKIE_ACK = 0, 1, 2, 6, 10, 11
_STATE_COOKIE = 7
_WHOLE_MESSAGE = 3
_WINDOW = 65536
_HEADER = struct.Struct("!HHI4s")
Chunk = tuple[int, bytes]


@functools.cache
def kernel_has_sctp() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return False
        raise
    return True


async def ask(target: Target) -> bytes:
    """Connect, return the server's message, abort. Raises OSError (refused); waits for ever where nothing comes."""
    loop = asyncio.get_running_loop()
    with _raw_socket(target) as made:
        made.connect((target.address, 0))
        port, tag = random.randint(32768, 60999), random.getrandbits(32) or 1  # noqa: S311 (not a secret)

        def send(verification: int, kind: int, value: bytes, flags: int = 0) -> None:
            made.send(_packet(port, target.port, verification, [_chunk(kind, value, flags)]))

        async def receive(*wanted: int) -> bytes:
            while True:
                packet = await loop.sock_recv(made, LONGEST_MESSAGE)
                sender, receiver, verification, chunks = _parse(target.family, packet)
                if (sender, receiver, verification) != (target.port, port, tag):
                    continue
                for kind, value in chunks:
                    if kind == _ABORT:
                        raise OSError(errno.ECONNREFUSED, "aborted")
                    if kind in wanted:
                        return value

        send(0, _INIT, struct.pack("!IIHHI", tag, _WINDOW, 1, 1, tag))
        reply = await receive(_INIT_ACK)
        (peer_tag,) = struct.unpack_from("!I", reply)
        send(peer_tag, _COOKIE_ECHO, _cookie(reply))
        try:
            return (await receive(_DATA))[12:]
        finally:
            send(peer_tag, _ABORT, b"")


class Responder:
    """Answers on SCTP ports of one address. ``answer(port, client)`` is the message, None: nobody listens there."""

    def __init__(self, at: Target, answer: Callable[[int, str], bytes | None]) -> None:
        self._at = at
        self._answer = answer
        self._socket = _raw_socket(at)
        self._socket.bind((at.address, 0))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                packet, sender = self._socket.recvfrom(LONGEST_MESSAGE)
                port, own, _, chunks = _parse(self._at.family, packet)
                for kind, value in chunks:
                    if reply := self._reply(kind, value, own, sender[0]):
                        # A peer that is gone or cut off is its own affair.
                        with contextlib.suppress(OSError):
                            self._socket.sendto(_packet(own, port, *reply), (sender[0], 0))

    def _reply(self, kind: int, value: bytes, port: int, client: str) -> tuple[int, list[bytes]] | None:
        if kind == _INIT:
            (tag,) = struct.unpack_from("!I", value)
            if self._answer(port, client) is None:
                return tag, [_chunk(_ABORT, b"")]
            own_tag = random.getrandbits(32) or 1
            cookie = struct.pack("!HHI", _STATE_COOKIE, 8, tag)
            return tag, [_chunk(_INIT_ACK, struct.pack("!IIHHI", own_tag, _WINDOW, 1, 1, own_tag) + cookie)]
        if kind == _COOKIE_ECHO:
            (tag,) = struct.unpack_from("!I", value)
            message = self._answer(port, client)
            if message is not None:
                data = struct.pack("!IHHI", tag, 0, 0, 0) + message
                return tag, [_chunk(_COOKIE_ACK, b""), _chunk(_DATA, data, _WHOLE_MESSAGE)]
        return None


def _raw_socket(target: Target) -> socket.socket:
    with entered(target.namespace):
        made = socket.socket(target.family, socket.SOCK_RAW, socket.IPPROTO_SCTP)
    made.setblocking(False)
    return made


def _chunk(kind: int, value: bytes, flags: int = 0) -> bytes:
    data = struct.pack("!BBH", kind, flags, 4 + len(value)) + value
    return data + bytes(-len(data) % 4)


def _packet(source: int, target: int, verification: int, chunks: list[bytes]) -> bytes:
    body = b"".join(chunks)
    check = crc32c(_HEADER.pack(source, target, verification, bytes(4)) + body)
    return _HEADER.pack(source, target, verification, struct.pack("<I", check)) + body


def _parse(family: socket.AddressFamily, packet: bytes) -> tuple[int, int, int, list[Chunk]]:
    """Source port, target port, verification tag, chunks. A raw IPv4 socket gives the IP header too."""
    if family == socket.AF_INET:
        packet = packet[(packet[0] & 15) * 4 :]
    if len(packet) < _HEADER.size:
        return 0, 0, 0, []
    source, target, verification, _ = _HEADER.unpack_from(packet)
    return source, target, verification, list(_chunks(packet[_HEADER.size :]))


def _chunks(data: bytes) -> Iterator[Chunk]:
    while len(data) >= 4:
        kind, _, length = struct.unpack_from("!BBH", data)
        if length < 4:
            return
        yield kind, data[4:length]
        data = data[length + -length % 4 :]


def _cookie(init_ack: bytes) -> bytes:
    parameters = init_ack[16:]
    while len(parameters) >= 4:
        kind, length = struct.unpack_from("!HH", parameters)
        if kind == _STATE_COOKIE:
            return parameters[4:length]
        parameters = parameters[max(length + -length % 4, 4) :]
    raise OSError(errno.EPROTO, "INIT ACK without a cookie")


@functools.cache
def _table() -> tuple[int, ...]:
    values = []
    for start in range(256):
        value = start
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        values.append(value)
    return tuple(values)


def crc32c(data: bytes) -> int:
    """Castagnoli's CRC, as SCTP has it since RFC 3309."""
    table, value = _table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ 0xFFFFFFFF
