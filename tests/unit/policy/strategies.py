# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hypothesis strategies for small, crowded clusters: few labels and addresses, so that they often meet, and policies in
which now and then something is just not valid.

A number is drawn for each object, and what it becomes is a plain function of that: to draw each field took longer than
all that is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, product
from random import Random
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    make,
)
from hypothesis import strategies as st

NAMESPACES = ("a", "b", "c")
MISSING_NAMESPACE = "missing"
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.1.1", "10.0.1.2")
ADDRESSES_6 = ("fd00::1", "fd00::2", "fd00::1:1")
OUTSIDE = ("198.51.100.7", "2001:db8::7")
PORTS = ("TCP 80", "TCP 81", "TCP 8080", "UDP 80", "SCTP 80", "ICMP 0")

_KEYS = ("app", "tier", "npm-4-x")
_VALUES = ("web", "db", "")


def _mostly(random: Random, usual: Sequence[Any], odd: Sequence[Any]) -> Any:
    """Odd in one of 25: a cluster where something is odd everywhere says little about what is usual."""
    return random.choice(odd if random.random() < 0.04 else usual)


_expressions: list[Any] = [
    *({"key": key, "operator": each} for key in _KEYS for each in ("Exists", "DoesNotExist")),
    *(
        {"key": key, "operator": each, "values": values}
        for key in _KEYS
        for each in ("In", "NotIn")
        for values in (["web"], ["db"], [""], ["web", "db"], ["web", ""])
    ),
]
_match_labels = [{key: value} for key in _KEYS for value in _VALUES]
_selectors: list[Any] = [
    {},
    *({"matchLabels": labels} for labels in _match_labels),
    {"matchLabels": {"app": "web", "tier": ""}},
    *({"matchExpressions": [each]} for each in _expressions),
    *({"matchExpressions": list(pair)} for pair in combinations(_expressions[::3], 2)),
    *(
        {"matchLabels": labels, "matchExpressions": [each]}
        for labels in _match_labels[:3]
        for each in _expressions[::2]
    ),
]
_odd_selectors: list[Any] = [
    {"matchLabel": {"app": "web"}},
    {"matchLabels": {"app": "web db"}},
    {"matchLabels": {"a b": "web"}},
    {"matchLabels": {"app": 1}},
    {"matchLabels": [], "matchExpressions": []},
    {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]},
    {"matchExpressions": [{"key": "app", "operator": "NotIn"}]},
    {"matchExpressions": [{"key": "gone", "operator": "DoesNotExist", "values": ["x"]}]},
    {"matchExpressions": [{"key": "app", "operator": "notin", "values": ["x"]}]},
    {"matchExpressions": [{"operator": "DoesNotExist"}]},
    {"matchExpressions": [None]},
    "all",
]
_namespace_selectors = [
    {},
    *({"matchLabels": {"kubernetes.io/metadata.name": name}} for name in NAMESPACES),
    *_selectors[1:],
]

_cidrs = [
    "10.0.0.0/24",
    "10.0.0.2/32",
    "10.0.0.0/30",
    "10.0.1.77/24",
    "010.0.0.1/31",
    "198.51.100.0/25",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "fd00::/64",
    "fd00::1/128",
    "fd00::/112",
    "::/0",
]
_holes = ["10.0.0.2/32", "10.0.0.0/30", "10.0.1.0/24", "10.0.0.3/31", "fd00::1/128", "fd00::/112"]
_blocks: list[Any] = [
    *({"cidr": cidr} for cidr in _cidrs),
    {"cidr": "10.0.0.0/8", "except": None},
    {"cidr": "0.0.0.0/0", "except": ["0.0.0.0/1", "128.0.0.0/1"]},
    *({"cidr": cidr, "except": [hole]} for cidr in ("10.0.0.0/8", "0.0.0.0/0") for hole in _holes[:4]),
    *({"cidr": cidr, "except": [hole]} for cidr in ("fd00::/48", "::/0") for hole in _holes[4:]),
    *({"cidr": "10.0.0.0/23", "except": list(pair)} for pair in combinations(_holes[:4], 2)),
]
_odd_blocks: list[Any] = [
    *({"cidr": cidr} for cidr in ("10.0.0.0/33", "10.0.0.0", "10.0.0.0/255.0.0.0", "", "fd00::/-1", 7, None)),
    {"cidr": "10.0.0.0/8", "excepts": ["10.0.0.0/24"]},
    {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]},
    {"cidr": "10.0.0.0/24", "except": ["10.0.1.0/28"]},
    {"cidr": "10.0.0.0/8", "except": ["fd00::/64"]},
    {"cidr": "10.0.0.0/8", "except": "10.0.0.0/9"},
    {"except": []},
]

_peers = [
    *({"podSelector": each} for each in _selectors),
    *({"namespaceSelector": each} for each in _namespace_selectors),
    *(
        {"namespaceSelector": namespaces, "podSelector": pods}
        for namespaces, pods in product(_namespace_selectors[::2], _selectors[::3])
    ),
]
_odd_peers: list[Any] = [
    *({"podSelector": each} for each in _odd_selectors),
    *({"namespaceSelector": each, "podSelector": {}} for each in _odd_selectors),
    *({"ipBlock": each} for each in _odd_blocks),
    {"ipBlock": {"cidr": "0.0.0.0/0"}, "podSelector": {}},
    {"podSelector": {}, "nodeSelector": {}},
    {"podSelector": None},
    {},
    None,
]

_named = [{"port": name} for name in ("http", "dns")]
_ports: list[Any] = [
    *_named,
    *_named,
    *({"port": "dns", "protocol": protocol} for protocol in ("TCP", "UDP", "SCTP")),
    *({"port": number} for number in (79, 80, 81, 8080)),
    {"port": 80, "endPort": 81},
    {"port": 81, "endPort": 8080},
    {"port": 80, "endPort": None, "protocol": None},
    *({"protocol": protocol, "port": 80} for protocol in ("TCP", "UDP", "SCTP")),
    *({"protocol": protocol} for protocol in ("TCP", "UDP", "SCTP")),
    {},
]
_policy_types: list[Any] = [["Ingress"], ["Egress"], ["Ingress", "Egress"], ["Ingress", "Egress"], [], None]
_odd_ports: list[Any] = [
    *({"port": port} for port in (0, 65536, True, "80", -1, "Http", "http-", 80.0)),
    *({"port": 80, "protocol": protocol} for protocol in ("tcp", "", "ICMP")),
    {"port": 81, "endPort": 80},
    {"port": "http", "endPort": 81},
    {"endPort": 81},
    {"ports": [80]},
    None,
]


def _some(random: Random, most: int, make_one: Callable[[Random], Any]) -> list[Any]:
    return [make_one(random) for _ in range(random.randint(1, most))]


def _peer(random: Random) -> Any:
    return {"ipBlock": random.choice(_blocks)} if random.random() < 0.3 else _mostly(random, _peers, _odd_peers)


def _port(random: Random) -> Any:
    return _mostly(random, _ports, _odd_ports)


def _rule(random: Random, peers_field: str) -> Any:
    peers = {peers_field: _some(random, 3, _peer)}
    ports = {"ports": _some(random, 3, _port)}
    odd = [{}, None, {"unknown": []}, {peers_field: {}}, {"ports": 80}, {peers_field: None, "ports": None}]
    return _mostly(random, [peers, {**peers, **ports}, {**peers, **ports}, ports], odd)


def _rules(random: Random, peers_field: str) -> Any:
    rules = _some(random, 2, lambda again: _rule(again, peers_field))
    return _mostly(random, [rules, rules, rules, None], [[], {}, "all"])


def _spec(random: Random) -> Any:
    spec = {
        "podSelector": _mostly(random, [{}, random.choice(_selectors)], [None, *_odd_selectors]),
        "policyTypes": _mostly(random, _policy_types, [["Ingress", "Deny"], ["Egress", "Egress"], "Ingress"]),
        "ingress": _rules(random, "from"),
        "egress": _rules(random, "to"),
    }
    fewer = {key: value for key, value in spec.items() if random.random() < 0.7}
    return _mostly(random, [spec, fewer], [None, {**spec, "unknown": 1}])


def _policy(random: Random) -> NetworkPolicy:
    namespace = _mostly(random, ["a", "a", "b", "c"], [MISSING_NAMESPACE])
    return NetworkPolicy(namespace, random.choice(["p", "q", "r", "a.b"]), _spec(random))


def _labels(random: Random) -> dict[str, str]:
    return {key: random.choice(_VALUES) for key in random.sample(_KEYS, random.randint(0, 3))}


def _pod(random: Random) -> Pod:
    address, address_6 = random.choice(ADDRESSES), random.choice(ADDRESSES_6)
    return Pod(
        namespace=_mostly(random, ["a", "a", "b", "c"], [MISSING_NAMESPACE]),
        name=random.choice(["one", "two", "three"]),
        labels=_labels(random),
        node=random.choice(["n1", "n2"]),
        ips=_mostly(random, [(address,), (address, address_6)], [(), (address_6,)]),
        phase=_mostly(random, ["Running"], ["Pending", "Succeeded", "Failed", "Unknown"]),
        host_network=_mostly(random, [False], [True]),
        terminating=random.random() < 0.2,
        created=random.choice(["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]),
        ports=tuple(
            NamedPort(random.choice(["http", "dns"]), random.choice(["TCP", "UDP"]), random.choice([80, 81, 8080]))
            for _ in range(random.randint(0, 3))
        ),
        unreadable=_mostly(random, [False], [True]),
    )


def _objects(make_one: Callable[[Random], Any], least: int, most: int) -> st.SearchStrategy[list[Any]]:
    # One number for an object: quick to draw, and a failing example still loses the objects that don't matter.
    return st.lists(
        st.integers(0, 2**32 - 1).map(
            lambda seed: make_one(Random(seed))  # noqa: S311 - a test needs no secrets
        ),
        min_size=least,
        max_size=most,
        unique_by=lambda each: (each.namespace, each.name),
    )


_namespaces = (
    st.integers(0, 2**32 - 1).map(Random).map(lambda random: [Namespace(name, _labels(random)) for name in NAMESPACES])
)

snapshots = st.builds(
    lambda namespaces, pods, policies: make(Cluster(), namespaces=namespaces, pods=pods, network_policies=policies),
    _namespaces,
    _objects(_pod, 2, 7),
    _objects(_policy, 1, 4),
)
