# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hypothesis strategies for small, crowded clusters: few labels and addresses, so that they often meet, and policies of
which some are just not valid."""

from __future__ import annotations

from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    Snapshot,
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
_CIDRS = (
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
)
_BAD_CIDRS = ("10.0.0.0/33", "10.0.0.0", "10.0.0.0/255.0.0.0", "", "fd00::/-1", 7, None)

_choice = st.sampled_from


def _sometimes(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 11).flatmap(lambda number: odd if number == 0 else usual)


def _objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these fields, and now and then with one that nobody knows."""
    return _sometimes(
        st.fixed_dictionaries({}, optional=fields),
        st.fixed_dictionaries({"unknown": st.just(1)}, optional=fields),
    )


_labels = st.dictionaries(_choice(_KEYS), _choice(_VALUES), max_size=3)
_expressions = st.fixed_dictionaries(
    {"key": _sometimes(_choice(_KEYS), _choice(["", "a b", None]))},
    optional={
        "operator": _sometimes(_choice(["In", "NotIn", "Exists", "DoesNotExist"]), _choice(["in", "Gt"])),
        "values": st.lists(_sometimes(_choice(_VALUES), _choice(["a b", 1])), max_size=2),
    },
)
_valid_expressions = st.one_of(
    st.fixed_dictionaries(
        {
            "key": _choice(_KEYS),
            "operator": _choice(["In", "NotIn"]),
            "values": st.lists(_choice(_VALUES), min_size=1, max_size=2),
        }
    ),
    st.fixed_dictionaries({"key": _choice(_KEYS), "operator": _choice(["Exists", "DoesNotExist"])}),
)
_pod_selectors = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"matchLabels": _labels}),
    _objects(
        matchLabels=st.none() | _labels,
        matchExpressions=st.lists(_sometimes(_valid_expressions, _expressions), max_size=2),
    ),
)
_namespace_selectors = st.one_of(
    st.just({}),
    _choice(NAMESPACES).map(lambda name: {"matchLabels": {"kubernetes.io/metadata.name": name}}),
    _pod_selectors,
)
_cidrs = _sometimes(_choice(_CIDRS), _choice(_BAD_CIDRS))
_holes = st.lists(
    _sometimes(_choice(["10.0.0.2/32", "10.0.0.0/30", "10.0.1.0/24", "fd00::1/128", "fd00::/112"]), _cidrs), max_size=2
)
_blocks = _objects(cidr=_cidrs) | st.fixed_dictionaries({"cidr": _cidrs, "except": st.none() | _holes})
_peers = st.one_of(
    st.fixed_dictionaries({"podSelector": _pod_selectors}),
    st.fixed_dictionaries({"namespaceSelector": _namespace_selectors}),
    st.fixed_dictionaries({"namespaceSelector": _namespace_selectors, "podSelector": _pod_selectors}),
    st.fixed_dictionaries({"ipBlock": _blocks}),
    _sometimes(
        st.fixed_dictionaries({"ipBlock": _blocks}),
        _objects(podSelector=st.none() | _pod_selectors, ipBlock=st.none() | _blocks) | st.none(),
    ),
)
_numbers = _sometimes(_choice([79, 80, 81, 8080]), _choice([0, 65536, True, "80", -1]))
_ports = st.one_of(
    _objects(protocol=_sometimes(_choice(["TCP", "UDP", "SCTP", None]), _choice(["tcp", ""])), port=_numbers),
    st.fixed_dictionaries({"port": _numbers, "endPort": _numbers}),
    st.fixed_dictionaries(
        {"port": _sometimes(_choice(["http", "dns"]), _choice(["Http", "http-"]))},
        optional={"protocol": _choice(["TCP", "UDP"]), "endPort": st.none()},
    ),
)


def _rules(peers_field: str) -> st.SearchStrategy[Any]:
    rules = _objects(
        **{peers_field: st.none() | st.lists(_peers, max_size=3), "ports": st.none() | st.lists(_ports, max_size=3)}
    )
    return _sometimes(st.none() | st.lists(rules, max_size=3), _choice([{}, "all"]))


_specs = _sometimes(
    st.fixed_dictionaries(
        {},
        optional={
            "podSelector": st.none() | _pod_selectors,
            "policyTypes": _sometimes(
                st.lists(_choice(["Ingress", "Egress"]), max_size=2), _choice([["Ingress", "Deny"], "Ingress", None])
            ),
            "ingress": _rules("from"),
            "egress": _rules("to"),
        },
    ),
    _objects(podSelector=_pod_selectors, ingress=_rules("from"), egress=_rules("to")) | st.none(),
)
_policies = st.builds(
    NetworkPolicy,
    namespace=_sometimes(_choice(NAMESPACES), st.just(MISSING_NAMESPACE)),
    name=_choice(["p", "q", "r", "a.b"]),
    spec=_specs,
)
_pods = st.builds(
    Pod,
    namespace=_sometimes(_choice(NAMESPACES), st.just(MISSING_NAMESPACE)),
    name=_choice(["one", "two", "three"]),
    labels=_labels,
    node=_choice(["n1", "n2", ""]),
    ips=st.tuples(_choice(ADDRESSES)) | st.tuples(_choice(ADDRESSES), _choice(ADDRESSES_6)) | st.just(()),
    phase=_sometimes(st.just("Running"), _choice(["Pending", "Succeeded", "Failed", "Unknown"])),
    host_network=_sometimes(st.just(False), st.just(True)),
    terminating=st.booleans(),
    created=_choice(["2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"]),
    ports=st.lists(
        st.builds(NamedPort, _choice(["http", "dns"]), _choice(["TCP", "UDP"]), _choice([80, 81, 8080])), max_size=3
    ).map(tuple),
)


def _unique(objects: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(objects, min_size=1, max_size=most, unique_by=lambda each: (each.namespace, each.name))


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    return make(
        Cluster(),
        namespaces=[Namespace(name, draw(_labels)) for name in NAMESPACES],
        pods=draw(_unique(_pods, 7)),
        network_policies=draw(_unique(_policies, 4)),
    )
