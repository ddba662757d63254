# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sockets in the network namespace where they are wanted."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from .netns import entered

LONGEST_MESSAGE = 2048
_KINDS = {
    "TCP": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "UDP": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}


@dataclass(frozen=True, slots=True)
class Target:
    namespace: str
    address: str
    port: int
    protocol: str
    source: str = ""

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def make_socket(target: Target) -> socket.socket:
    """A non-blocking socket in the target's namespace, not yet connected."""
    with entered(target.namespace):
        if target.protocol == "ICMP":
            number = socket.IPPROTO_ICMP if target.family == socket.AF_INET else socket.IPPROTO_ICMPV6
            made = socket.socket(target.family, socket.SOCK_DGRAM, number)
        else:
            made = socket.socket(target.family, *_KINDS[target.protocol])
    made.setblocking(False)
    if target.source:
        made.bind((target.source, 0))
    return made
