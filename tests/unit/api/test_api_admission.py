# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the API refuses (semantics rule 39) and what it fills in; written apart from the collection's own checks."""

from __future__ import annotations

import pytest
from lab.api import ApiError, Store

DEFAULTED = {"podSelector": {}, "policyTypes": ["Ingress"]}


def policy(**spec: object) -> dict:
    metadata = {"name": "x", "namespace": "default"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def ingress(**rule: object) -> dict:
    return policy(podSelector={}, ingress=[rule])


def pods(expression: dict) -> dict:
    return policy(podSelector={"matchExpressions": [expression]})


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (ingress(ports=[{"protocol": "ICMP"}]), ["spec.ingress[0].ports[0].protocol"]),
        (ingress(ports=[{"port": 0}]), ["spec.ingress[0].ports[0].port"]),
        (ingress(ports=[{"port": 65536}]), ["spec.ingress[0].ports[0].port"]),
        (ingress(ports=[{"port": True}]), ["spec.ingress[0].ports[0].port"]),
        (ingress(ports=[{"port": "Bad_Name"}]), ["spec.ingress[0].ports[0].port"]),
        (ingress(ports=[{"port": "a" * 16}]), ["spec.ingress[0].ports[0].port"]),
        (ingress(ports=[{"port": 80, "endPort": 79}]), ["spec.ingress[0].ports[0].endPort"]),
        (ingress(ports=[{"port": "web", "endPort": 90}]), ["spec.ingress[0].ports[0].endPort"]),
        (ingress(ports=[{"endPort": 90}]), ["spec.ingress[0].ports[0].endPort"]),
        (ingress(**{"from": [{}]}), ["spec.ingress[0].from[0]"]),
        (ingress(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}), ["spec.ingress[0].from[0]"]),
        (ingress(**{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}), ["spec.ingress[0].from[0].ipBlock.cidr"]),
        (ingress(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}), ["spec.ingress[0].from[0].ipBlock.cidr"]),
        (
            ingress(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}}]}),
            ["spec.ingress[0].from[0].ipBlock.except[0]"],
        ),
        (
            ingress(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["fd00::/64", "11.0.0.0/9"]}}]}),
            ["spec.ingress[0].from[0].ipBlock.except[0]", "spec.ingress[0].from[0].ipBlock.except[1]"],
        ),
        (policy(podSelector={}, egress=[{"to": [{}]}]), ["spec.egress[0].to[0]"]),
        (policy(policyTypes=["Ingress", "Egress", "Ingress"]), ["spec.policyTypes"]),
        (policy(policyTypes=["Sideways"]), ["spec.policyTypes[0]"]),
        (pods({"key": "a", "operator": "In"}), ["spec.podSelector.matchExpressions[0].values"]),
        (pods({"key": "a", "operator": "NotIn", "values": []}), ["spec.podSelector.matchExpressions[0].values"]),
        (pods({"key": "a", "operator": "Exists", "values": ["b"]}), ["spec.podSelector.matchExpressions[0].values"]),
        (pods({"key": "a", "operator": "Gt", "values": ["1"]}), ["spec.podSelector.matchExpressions[0].operator"]),
        (pods({"key": "a b", "operator": "Exists"}), ["spec.podSelector.matchExpressions[0].key"]),
        (policy(podSelector={"matchLabels": {"a": "b c"}}), ["spec.podSelector.matchLabels"]),
    ],
)
def test_rule_39_is_refused_with_the_field(document: dict, fields: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        Store().create(document)
    assert caught.value.code == 422
    assert [cause["field"] for cause in caught.value.details["causes"]] == fields


@pytest.mark.parametrize(
    "document",
    [
        policy(policyTypes=["Ingress", "Ingress"]),
        ingress(ports=[{"port": 80, "endPort": 80}, {"protocol": "SCTP"}, {"port": "web-1"}]),
        ingress(**{"from": [{"ipBlock": {"cidr": "192.168.242.213/24", "except": ["192.168.242.0/25"]}}]}),
        ingress(**{"from": [{"ipBlock": {"cidr": "::/0", "except": ["fd00::/8"]}}, {"namespaceSelector": {}}]}),
        policy(podSelector={"matchLabels": {"example.com/a.b_c": ""}}),
        policy(podSelector={"matchLabels": None}, ingress=None),
    ],
)
def test_what_looks_odd_and_is_accepted(document: dict) -> None:
    Store().create(document)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, DEFAULTED),
        ({"podSelector": None}, DEFAULTED),
        ({"policyTypes": []}, DEFAULTED),
        ({"egress": []}, {**DEFAULTED, "egress": []}),
        ({"egress": [{}]}, {"podSelector": {}, "egress": [{}], "policyTypes": ["Ingress", "Egress"]}),
        ({"policyTypes": ["Egress"]}, {"podSelector": {}, "policyTypes": ["Egress"]}),
    ],
)
def test_policy_types_are_filled_in(spec: dict, expected: dict) -> None:
    store = Store()
    store.create(policy(**spec))
    assert store.document("networkpolicies", "x", "default")["spec"] == expected


def test_the_callers_object_is_left_as_it_is() -> None:
    document = ingress(ports=[{"port": 80}])
    before = repr(document)
    Store().create(document)
    Store().load([document])
    assert repr(document) == before


@pytest.mark.parametrize(
    ("name", "accepted"),
    [
        ("a.b-c", True),
        ("a" * 253, True),
        ("a" * 254, False),
        ("A", False),
        ("a_b", False),
        ("-a", False),
        ("a.", False),
    ],
)
def test_names_are_dns_names(name: str, accepted: bool) -> None:
    document = policy() | {"metadata": {"name": name}}
    store = Store()
    if accepted:
        store.create(document)
    else:
        with pytest.raises(ApiError) as caught:
            store.create(document)
        assert caught.value.code == 422
