# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node between a client and its pods, on which connections are timed.

Client, node and server are one thread on one processor, and its CPU time is what counts: the work on the way, not what
the scheduler gives to others meanwhile. Who compares takes the quickest of many batches: nothing makes one quicker.
"""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable, Iterator, Sequence

from integration.netfilter.network import in_namespace
from integration.netfilter.node import Namespace, Node

from .policies import MONITOR, PORT, local_address

MOST_PODS = 250
_BLOCK, _BLOCKS = 1 << 16, 100
_DATA = bytes(_BLOCK)
_RESET = struct.pack("ii", 1, 0)


class Router:
    """A bare node with two links: pods behind one, the client behind the other."""

    def __init__(self, variant: str, *, tracked: bool = True) -> None:
        self.node = Node(default_variant=variant)
        self._pods, self._world = Namespace(), Namespace()
        _join(self.node, self._pods, "pods", "10.0.0.254", [local_address(pod) for pod in range(MOST_PODS)])
        _join(self.node, self._world, "world", "10.0.9.254", [MONITOR])
        self.node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        if tracked:
            # kube-proxy's first rule of FORWARD; with it connections are tracked, as on every node of Kubernetes.
            self.node.restore(variant, "-A FORWARD -m conntrack --ctstate INVALID -j DROP")
        self._server = in_namespace(self._pods, _listen)

    def close(self) -> None:
        self._server.close()
        for each in (self._pods, self._world, self.node):
            each.close()

    def counts(self) -> tuple[int, int]:
        """Rules and sets of the node, ours alone and of both families."""
        saved = "".join(self.node.everything().values()).splitlines()
        return sum(line.startswith("-A NPM-") for line in saved), sum(line.startswith("create npm-") for line in saved)

    def connect(self, addresses: Sequence[str]) -> float:
        """The median CPU time, in microseconds, of establishing a connection to one of the addresses."""
        return in_namespace(self._world, lambda: statistics.median([self._time(address) for address in addresses]))

    def _time(self, address: str) -> float:
        with socket.socket() as client:
            # It ends with a reset: nothing lingers, no address runs out of ports.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            client.settimeout(5)
            start = time.thread_time_ns()
            client.connect((address, PORT))
            spent = time.thread_time_ns() - start
            self._server.accept()[0].close()
        return spent / 1000

    @contextlib.contextmanager
    def established(self, address: str) -> Iterator[Callable[[], float]]:
        """A connection, and what measures it again and again: Gbit for each second of CPU time."""
        client = in_namespace(self._world, lambda: socket.create_connection((address, PORT), 5))
        with client, self._server.accept()[0] as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # It finds its window first.
            for _ in range(10):
                _transfer(client, server)
            yield lambda: _transfer(client, server)


def _transfer(client: socket.socket, server: socket.socket) -> float:
    """Block by block, each received before the next is sent: the same packets each time."""
    buffer = bytearray(_BLOCK)
    start = time.thread_time()
    for _ in range(_BLOCKS):
        client.sendall(_DATA)
        received = 0
        while received < _BLOCK:
            received += server.recv_into(buffer)
    return 8 * _BLOCK * _BLOCKS / (time.thread_time() - start) / 1e9


@contextlib.contextmanager
def one_processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _join(node: Node, other: Namespace, name: str, gateway: str, addresses: Sequence[str]) -> None:
    near, far = f"02:00:00:00:{len(name):02x}:01", f"02:00:00:00:{len(name):02x}:02"
    node.ip(
        f"link add {name} address {near} type veth peer name eth0 address {far} netns {other.pid}",
        f"address add {gateway}/24 dev {name}",
        f"link set {name} up",
        *(f"neighbour add {address} lladdr {far} dev {name} nud permanent" for address in addresses),
    )
    other.ip(
        *(f"address add {address}/24 dev eth0" for address in addresses),
        "link set eth0 up",
        f"neighbour add {gateway} lladdr {near} dev eth0 nud permanent",
        f"route add default via {gateway}",
    )


def _listen() -> socket.socket:
    server = socket.create_server(("", PORT), backlog=1024)
    server.settimeout(5)
    return server
