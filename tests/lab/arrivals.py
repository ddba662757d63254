# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Datagrams whose sender gets no answer, because it has forged its address: client and servers are one process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

_PREFIX = b"arrives? "
_awaited: dict[bytes, asyncio.Future[tuple[str, str]]] = {}


@contextmanager
def awaited() -> Iterator[tuple[bytes, asyncio.Future[tuple[str, str]]]]:
    """A datagram to send, and what will hold who has got it, and from whom as it looks."""
    datagram = _PREFIX + secrets.token_bytes(16)
    _awaited[datagram] = asyncio.get_running_loop().create_future()
    try:
        yield datagram, _awaited[datagram]
    finally:
        del _awaited[datagram]


def arrived(data: bytes, server: str, source: str) -> None:
    """A server has got a datagram, perhaps one that is awaited."""
    future = _awaited.get(data)
    if future is not None and not future.done():
        future.set_result((server, source))
