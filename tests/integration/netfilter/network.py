# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real packets through a node: pods behind one of its links, the world behind another, and what gets across.

A flow is one UDP datagram. After those of all flows, each sender sends one on a flow that nothing ever denies;
links keep the order, so what has not arrived before that one was dropped: no waiting, no guessing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from integration.netfilter.node import Namespace, Node

T = TypeVar("T")

# A free pod is one that no ruleset of the tests isolates.
PODS = ("10.0.0.1", "10.0.0.2", "fd00:0:1::1", "fd00:0:1::2")
FREE_PODS = {4: "10.0.0.9", 6: "fd00:0:1::9"}
WORLD = ("10.0.9.1", "10.0.9.2", "10.0.9.3", "fd00:0:9::1", "fd00:0:9::2", "fd00:0:9::3")
FREE_WORLD = {4: "10.0.9.9", 6: "fd00:0:9::9"}
PORTS = (80, 81)

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_PATIENCE = 20.0


@dataclass(frozen=True, order=True)
class Flow:
    source: str
    destination: str
    port: int


ALL_FLOWS = tuple(
    Flow(source, destination, port)
    for here, there in ((PODS, WORLD), (WORLD, PODS))
    for source in here
    for destination in there
    for port in PORTS
    if (":" in source) == (":" in destination)
)


@dataclass
class Network:
    """The node with its two links up and forwarding, and sockets in the namespaces at their far ends."""

    node: Node
    sockets: dict[tuple[str, int], socket.socket] = field(default_factory=dict)
    senders: dict[str, socket.socket] = field(default_factory=dict)
    _round: int = 0

    def passing(self, flows: Iterable[Flow] = ALL_FLOWS) -> frozenset[Flow]:
        """Those of the flows whose packets get across now."""
        self._round += 1
        wanted = {f"{self._round} {number}".encode(): flow for number, flow in enumerate(flows)}
        for data, flow in wanted.items():
            self._send(flow, data)
        arrived: set[Flow] = set()
        for last in self._last_flows():
            self._send(last, b"%d last" % self._round)
            self._receive(last, f"{self._round} last".encode())
        for receiver in self.sockets.values():
            while (data := _nothing_or(receiver)) is not None:
                if data in wanted:
                    arrived.add(wanted[data])
        return frozenset(arrived)

    def _send(self, flow: Flow, data: bytes) -> None:
        self.senders[flow.source].sendto(data, (flow.destination, flow.port))

    def _receive(self, flow: Flow, wanted: bytes) -> None:
        receiver = self.sockets[flow.destination, flow.port]
        receiver.settimeout(_PATIENCE)
        while receiver.recv(64) != wanted:
            pass

    def _last_flows(self) -> Iterator[Flow]:
        for version in (4, 6):
            yield Flow(FREE_PODS[version], FREE_WORLD[version], PORTS[0])
            yield Flow(FREE_WORLD[version], FREE_PODS[version], PORTS[0])

    def close(self) -> None:
        for each in (*self.sockets.values(), *self.senders.values()):
            each.close()


@contextlib.contextmanager
def network(node: Node) -> Iterator[Network]:
    pods, world = Namespace(), Namespace()
    built = Network(node)
    # The order of packets is kept for one processor.
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(processors)})
    try:
        _join(node, pods, "pods", ("10.0.0.254", "fd00:0:1::fe"), (*PODS, *FREE_PODS.values()))
        _join(node, world, "world", ("10.0.9.254", "fd00:0:9::fe"), (*WORLD, *FREE_WORLD.values()))
        node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
        for namespace, addresses in (
            (pods, (*PODS, *FREE_PODS.values())),
            (world, (*WORLD, *FREE_WORLD.values())),
        ):
            for address in addresses:
                built.senders[address] = in_namespace(namespace, lambda address=address: _udp(address, 0))
                for port in PORTS:
                    built.sockets[address, port] = in_namespace(
                        namespace, lambda address=address, port=port: _udp(address, port)
                    )
        assert built.passing() == frozenset(ALL_FLOWS), "the network does not carry every flow to begin with"
        yield built
    finally:
        os.sched_setaffinity(0, processors)
        built.close()
        pods.close()
        world.close()


def _join(node: Node, other: Namespace, name: str, gateways: tuple[str, str], addresses: Iterable[str]) -> None:
    """A link from the node to the other namespace, with its addresses at the far end.

    Who has which link address is fixed on both sides: a packet that waits for an answer would lose its place.
    """
    near, far = f"02:00:00:00:{len(name):02x}:01", f"02:00:00:00:{len(name):02x}:02"
    node.ip(
        f"link add {name} address {near} type veth peer name eth0 address {far} netns {other.pid}",
        *(f"address add {_with_prefix(gateway)} dev {name}" for gateway in gateways),
        f"link set {name} up",
        *(f"neighbour add {address} lladdr {far} dev {name} nud permanent" for address in addresses),
    )
    other.ip(
        *(f"address add {_with_prefix(address)} dev eth0" for address in addresses),
        "link set eth0 up",
        *(f"neighbour add {gateway} lladdr {near} dev eth0 nud permanent" for gateway in gateways),
        *(f"route add default via {gateway}" for gateway in gateways),
    )


def _with_prefix(address: str) -> str:
    return f"{address}/64 nodad" if ":" in address else f"{address}/24"


def _udp(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


def _nothing_or(receiver: socket.socket) -> bytes | None:
    receiver.settimeout(0)
    try:
        return receiver.recv(64)
    except BlockingIOError:
        return None


def in_namespace(namespace: Namespace, function: Callable[[], T]) -> T:
    """What the function returns in the namespace; sockets made meanwhile stay in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{namespace.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        try:
            return function()
        finally:
            _enter(home)
    finally:
        os.close(there)
        os.close(home)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")
