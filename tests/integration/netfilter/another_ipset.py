# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set as an ipset of another version than the node's makes it: of a revision that only the kernel knows.

It is asked for over netlink, as ipset does. An ipset says the same of a revision that is too new for it and of one that
is too old; this is an old one, because each kernel knows other new ones.
"""

from __future__ import annotations

import os
import socket
import struct

from integration.netfilter.network import in_namespace
from integration.netfilter.node import Node

KIND, REVISION = "hash:ip,port", 0

_NETLINK_NETFILTER = 12
_CREATE = 6 << 8 | 2
_REQUEST_NEW_AND_ANSWER = 0x605
_PROTOCOL, _NAME, _KIND, _REVISION, _FAMILY, _DATA = 1, 2, 3, 4, 5, 7 | 0x8000


def make_set(node: Node, name: str) -> None:
    body = b"".join(
        (
            struct.pack("=BBH", socket.AF_INET, 0, 0),
            _attribute(_PROTOCOL, b"\7"),
            _attribute(_NAME, name.encode() + b"\0"),
            _attribute(_KIND, KIND.encode() + b"\0"),
            _attribute(_REVISION, bytes([REVISION])),
            _attribute(_FAMILY, bytes([socket.AF_INET])),
            _attribute(_DATA, b""),
        )
    )
    with in_namespace(node, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)) as kernel:
        kernel.sendto(struct.pack("=IHHII", 16 + len(body), _CREATE, _REQUEST_NEW_AND_ANSWER, 1, 0) + body, (0, 0))
        (error,) = struct.unpack_from("=i", kernel.recv(4096), 16)
    if error:
        raise OSError(-error, os.strerror(-error))


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
