# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""WebSocket frames (RFC 6455), as a client writes and reads them; no reading or writing of its own.

Not by way of a library: the socket is that of urllib3, which knows TLS, proxies and credentials already, and one
thread has to read and write it at once with a bounded memory.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_CONTINUATION = 0x0
_FINAL, _MASKED = 0x80, 0x80
_LENGTH_16, _LENGTH_64 = 126, 127
# Kubernetes sends 32 KiB at a time; a proxy may join some.
_LONGEST_MESSAGE = 32 * 1024 * 1024
# RFC 6455, 1.3: what a server joins to the key, to show that it knows the protocol.
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class WebSocketError(Exception):
    """The other side does not keep to the protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame."""

    opcode: int
    data: bytes


def new_key() -> str:
    """A fresh Sec-WebSocket-Key."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def accepts(key: str, answer: str) -> bool:
    """Whether ``answer`` (Sec-WebSocket-Accept) is that of a WebSocket server to ``key``."""
    digest = hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()
    return answer == base64.b64encode(digest).decode()


def encode(opcode: int, data: bytes) -> bytes:
    """One frame with the whole message, masked, as clients must."""
    length = len(data)
    if length < _LENGTH_16:
        head = bytes((_FINAL | opcode, _MASKED | length))
    elif length < 1 << 16:
        head = bytes((_FINAL | opcode, _MASKED | _LENGTH_16)) + length.to_bytes(2, "big")
    else:
        head = bytes((_FINAL | opcode, _MASKED | _LENGTH_64)) + length.to_bytes(8, "big")
    mask = secrets.token_bytes(4)
    return head + mask + _masked(data, mask)


def _masked(data: bytes, mask: bytes) -> bytes:
    if not data:
        return b""
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    # As two large numbers: byte by byte would take Python a thousand times as long.
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(len(data), "little")


@dataclass(slots=True)
class Reader:
    """Makes messages out of the bytes that arrive, however they are cut."""

    _buffer: bytearray = field(default_factory=bytearray)
    _fragments: list[bytes] = field(default_factory=list)
    _opcode: int = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete with ``data``. Raises :class:`WebSocketError`."""
        self._buffer += data
        while (frame := self._take()) is not None:
            message = self._join(*frame)
            if message is not None:
                yield message

    def _take(self) -> tuple[bool, int, bytes] | None:
        """The next frame: whether it is a message's last, its opcode and its data."""
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004 (a frame's least head)
            return None
        start, length = 2, buffer[1] & 0x7F
        if buffer[1] & _MASKED or buffer[0] & 0x70:
            raise WebSocketError("a frame that servers do not send")
        if length >= _LENGTH_16:
            start += 2 if length == _LENGTH_16 else 8
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if length + sum(map(len, self._fragments)) > _LONGEST_MESSAGE:
            raise WebSocketError(f"a message of more than {_LONGEST_MESSAGE} bytes")
        if len(buffer) < start + length:
            return None
        final, opcode = bool(buffer[0] & _FINAL), buffer[0] & 0x0F
        data = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return final, opcode, data

    def _join(self, final: bool, opcode: int, data: bytes) -> Message | None:
        if opcode >= CLOSE:
            return Message(opcode, data)
        if (opcode == _CONTINUATION) != bool(self._opcode):
            raise WebSocketError("fragments of messages out of order")
        if opcode == _CONTINUATION:
            opcode = self._opcode
        self._fragments.append(data)
        if not final:
            self._opcode = opcode
            return None
        whole = b"".join(self._fragments)
        self._fragments.clear()
        self._opcode = 0
        return Message(opcode, whole)
