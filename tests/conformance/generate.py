# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random clusters and policies with every feature, also what the API server only just refuses; one seed, one cluster.

Few labels, ports and addresses, so that they often meet. Policies speak of the labels and addresses of
the suite ``rules``, so that they also fit a lab of that cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    Snapshot,
    make,
)

Spec = dict[str, Any]

NODES = {
    "node-1": ("10.240.0.10", "fd00:10:240::10"),
    "node-2": ("10.240.0.11", "fd00:10:240::11"),
}
OUTSIDE = ("198.51.100.10", "2001:db8:51::10")
NAMESPACES = ("x", "y", "z")
NAME_LABEL = "kubernetes.io/metadata.name"
# Every (protocol, port) that flows are tried with: the ports that policies and pods name, and their neighbours.
SERVICES = (
    ("TCP", 79), ("TCP", 80), ("TCP", 81), ("TCP", 82), ("TCP", 65535),
    ("UDP", 80), ("UDP", 81), ("SCTP", 80), ("SCTP", 81), ("ICMP", 0),
)  # fmt: skip

_LABELS = {"pod": ("a", "b", "c"), "role": ("web", "")}
_NAMESPACE_LABELS = {"ns": ("x", "y", "z"), "tier": ("front", ""), NAME_LABEL: NAMESPACES}
_HAVING = 0.7
_PORT_NAMES = ("web", "main", "unknown")
_NUMBERS = (79, 80, 81, 82, 65535)
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_LENGTHS = {4: (0, 1, 8, 12, 16, 24, 27, 28, 30, 31, 32), 6: (0, 1, 16, 48, 64, 112, 122, 124, 127, 128)}
_POD_ADDRESSES = [
    (f"10.244.{node}.{number}", f"fd00:10:244:{node}::{number}")
    for number in (11, 12, 13, 21, 22, 23, 31, 32, 33)
    for node in (1, 2)
]
_ADDRESSES = [address for pair in (*_POD_ADDRESSES, *NODES.values(), OUTSIDE) for address in pair]
_INVALID_PEERS: tuple[Spec, ...] = (
    {},
    {"podSelector": None},
    {"podSelector": {}, "newer": 1},
    {"podSelector": {}, "ipBlock": {"cidr": "0.0.0.0/0"}},
    {"podSelector": {"matchLabel": {"pod": "a"}}},
    {"namespaceSelector": {"matchLabels": {"ns": "x y"}}},
    {"podSelector": {"matchLabels": {"po d": "a"}}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "excepts": []}},
)
# Put over a port item that is valid.
_INVALID_PORTS: tuple[Spec, ...] = (
    {"newer": 1},
    {"endPort": 78},
    {"endPort": 65536},
    {"port": 0},
    {"port": 65536},
    {"port": "80"},
    {"protocol": "ICMP"},
)
_MANY_PORTS = [{"port": number} for number in range(20, 60, 2)]


def snapshot(seed: int) -> Snapshot:
    """A cluster of two nodes with up to 14 pods and 8 policies."""
    random = Random(seed)  # noqa: S311 (a test's dice)
    return make(
        Cluster(),
        namespaces=[Namespace(name, namespace_labels(random)) for name in NAMESPACES],
        nodes=[Node(name, {}, addresses) for name, addresses in NODES.items()],
        pods=[_pod(random, number) for number in range(random.randint(4, 14))],
        network_policies=policies(random),
    )


def policies(random: Random) -> list[NetworkPolicy]:
    return [
        NetworkPolicy(_namespace(random), f"policy-{number}", _spec(random)) for number in range(random.randint(1, 8))
    ]


def flows(of: Snapshot, random: Random, count: int) -> Iterable[tuple[str, str, str, int]]:
    """Source, destination, protocol, port: at least one end is a pod that has an address."""
    pods = [address for pod in of.pods for address in pod.ips]
    for _number in range(count if pods else 0):
        one = random.choice(pods)
        known = pods if random.random() < 0.7 else _ADDRESSES
        others = [each for each in known if (":" in each) == (":" in one) and each != one]
        other = random.choice(others or [one])
        yield *random.sample((one, other), 2), *random.choice(SERVICES)  # type: ignore[misc]


# Labels


def pod_labels(random: Random) -> dict[str, str]:
    return {key: random.choice(values) for key, values in _LABELS.items() if random.random() < _HAVING}


def namespace_labels(random: Random) -> dict[str, str]:
    return {key: random.choice(values) for key, values in _NAMESPACE_LABELS.items() if random.random() < _HAVING}


# Pods


def _pod(random: Random, number: int) -> Pod:
    node = random.choice(list(NODES))
    host_network = random.random() < 0.06
    addresses = NODES[node] if host_network else random.choice(_POD_ADDRESSES[int(node[-1]) - 1 :: 2])
    return Pod(
        namespace=_namespace(random),
        name=f"pod-{number}",
        labels=pod_labels(random),
        node=node,
        ips=random.choices((addresses, addresses[:1], addresses[1:], ()), (12, 2, 2, 1))[0],
        phase=random.choices(("Running", "Pending", "Succeeded", "Failed", "Unknown"), (20, 2, 1, 1, 1))[0],
        host_network=host_network,
        terminating=random.random() < 0.1,
        # No two alike: of two pods with one address the newest has it, and there must be one.
        created=f"2026-01-01T00:00:{number:02}Z",
        ports=tuple({_named_port(random) for _number in range(random.choice((0, 0, 1, 1, 2, 3)))}),
        unreadable=random.random() < 0.01,
    )


def _named_port(random: Random) -> NamedPort:
    return NamedPort(random.choice(_PORT_NAMES[:2]), random.choice(_PROTOCOLS), random.choice(_NUMBERS[1:4]))


def _namespace(random: Random) -> str:
    """Mostly the first: policies and pods have to meet."""
    return random.choices(NAMESPACES, (5, 2, 1))[0]


# Policies


def _spec(random: Random) -> Spec:
    spec: Spec = {}
    if random.random() < 0.95:
        spec["podSelector"] = _selector(random, _LABELS) if random.random() < 0.6 else {}
    if random.random() < 0.7:
        types: tuple[list[str], ...] = (["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Ingress"], [])
        spec["policyTypes"] = random.choice(types)
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        if random.random() < 0.85:
            spec[direction] = random.choices(
                ([_rule(random, peers) for _number in range(random.choice((1, 2, 3)))], [], None), (16, 1, 1)
            )[0]
    if random.random() < 0.02:
        spec |= random.choice(({"policyTypes": ["Both"]}, {"policyTypes": ["Ingress"] * 3}, {"newer": True}))
    return spec


def _rule(random: Random, peers: str) -> Spec:
    rule: Spec = {}
    if random.random() < 0.8:
        rule[peers] = [_peer(random) for _number in range(random.choice((0, 1, 1, 1, 2, 3)))] or None
    if random.random() < 0.6:
        rule["ports"] = [_port(random) for _number in range(random.choice((0, 1, 1, 2, 3)))]
        if not rule["ports"] and random.random() < 0.5:
            rule["ports"] = _MANY_PORTS
    return rule | ({"newer": True} if random.random() < 0.01 else {})


def _peer(random: Random) -> Spec:
    kind = random.random()
    if kind < 0.02:
        return random.choice(_INVALID_PEERS)
    if kind < 0.4:
        return {"ipBlock": _block(random)}
    peer = {}
    if kind < 0.8:
        peer["podSelector"] = _selector(random, _LABELS)
    if kind > 0.6:
        peer["namespaceSelector"] = _selector(random, _NAMESPACE_LABELS)
    return peer


def _selector(random: Random, known: dict[str, tuple[str, ...]]) -> Spec:
    selector: Spec = {}
    if random.random() < 0.45:
        selector["matchLabels"] = {key: random.choice(values) for key, values in random.sample(list(known.items()), 1)}
    for _number in range(random.choice((0, 0, 1, 1, 2))):
        selector.setdefault("matchExpressions", []).append(_expression(random, known))
    if random.random() < 0.05:
        selector["matchLabels"] = None
    return selector


def _expression(random: Random, known: dict[str, tuple[str, ...]]) -> Spec:
    key, values = random.choice(list(known.items()))
    operator = random.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    expression: Spec = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        expression["values"] = random.sample(values, random.randint(1, len(values)))
    if random.random() < 0.02:
        expression |= random.choice(({"operator": "Gt"}, {"values": []}, {"values": ["a"]}, {"operator": "Exists"}))
    return expression


def _block(random: Random) -> Spec:
    address = ip_address(random.choice(_ADDRESSES))
    length = random.choice(_LENGTHS[address.version])
    block: Spec = {"cidr": _cidr(random, str(address), length)}
    inside = _inside(f"{address}/{length}")
    narrower = [each for each in _LENGTHS[address.version] if each > length]
    if narrower and random.random() < 0.5:
        block["except"] = [
            _cidr(random, random.choice(inside), random.choice(narrower)) for _number in range(random.randint(1, 2))
        ]
    if random.random() < 0.03:
        # Not within, or not strictly within, or no CIDR at all.
        block["except"] = [random.choice((block["cidr"], "192.0.2.0/24", "::/0", "10.0.0.0/33", "none"))]
    if random.random() < 0.02:
        block["cidr"] = random.choice(("10.244.1.300/24", "10.244.1.0", "", "10.0.0.0/-1", "::/129"))
    return block


@cache
def _inside(cidr: str) -> list[str]:
    network = ip_network(cidr, strict=False)
    return [each for each in _ADDRESSES if ip_address(each) in network]


def _cidr(random: Random, address: str, length: int) -> str:
    """With or without host bits."""
    return f"{address}/{length}" if random.random() < 0.3 else str(ip_network(f"{address}/{length}", strict=False))


def _port(random: Random) -> Spec:
    port: Spec = {}
    if random.random() < 0.7:
        port["protocol"] = random.choice(_PROTOCOLS)
    kind = random.random()
    if kind < 0.4:
        port["port"] = random.choice(_PORT_NAMES)
    elif kind < 0.9:
        port["port"] = random.choice(_NUMBERS)
        if random.random() < 0.4:
            port["endPort"] = random.choice([each for each in _NUMBERS if each >= port["port"]])
    if random.random() < 0.03:
        port |= random.choice(_INVALID_PORTS)
    return port
