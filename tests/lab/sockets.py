# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sockets in the network namespace where they are wanted."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from .netns import entered

LONGEST_MESSAGE = 8192
QUESTION = b"?"
_KINDS = {
    "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
# A socket that may take any address for its own. The module has no name for IPv6's option.
_TRANSPARENT = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TRANSPARENT),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 75),
}


@dataclass(frozen=True, slots=True)
class Target:
    namespace: str
    address: str
    port: int
    protocol: str
    source: str = ""
    forged: bool = False
    payload: int = 0

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def make_socket(target: Target) -> socket.socket:
    """A non-blocking socket in the target's namespace, not yet connected."""
    with entered(target.namespace):
        if target.protocol == "ICMP":
            number = socket.IPPROTO_ICMP if target.family == socket.AF_INET else socket.IPPROTO_ICMPV6
            made = socket.socket(target.family, socket.SOCK_DGRAM, number)
        elif target.protocol == "IP":
            made = socket.socket(target.family, socket.SOCK_RAW, target.port)
        else:
            made = socket.socket(target.family, *_KINDS[target.protocol])
    made.setblocking(False)
    if target.forged:
        made.setsockopt(*_TRANSPARENT[target.family], 1)
    if target.source:
        made.bind((target.source, 0))
    return made


def raw_content(family: int, packet: bytes) -> bytes:
    """What a raw socket's packet carries. IPv4's come with their header."""
    return packet[(packet[0] & 15) * 4 :] if family == socket.AF_INET else packet
