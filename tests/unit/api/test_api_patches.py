# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The patch formats: the examples of their RFCs, and what strategic merge patches of real clients contain."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from lab.api import ApiError
from lab.api.patches import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, apply, json_patch, merge


@pytest.mark.parametrize(
    ("target", "change", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_as_rfc_7386_has_them(target: Any, change: Any, expected: Any) -> None:
    assert merge(target, change) == expected


@pytest.mark.parametrize(
    ("target", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/b"}, {"a": 1}),
        ({"a": [1, 2, 3]}, {"op": "remove", "path": "/a/1"}, {"a": [1, 3]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}),
        ({"a": {"b": 1}, "c": {}}, {"op": "move", "from": "/a/b", "path": "/c/d"}, {"a": {}, "c": {"d": 1}}),
        ({"a": [1, 2, 3]}, {"op": "move", "from": "/a/0", "path": "/a/2"}, {"a": [2, 3, 1]}),
        ({"a": 1}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": 1, "b": 1}),
        ({"a/b": {"c~d": 1}}, {"op": "test", "path": "/a~1b/c~0d", "value": 1}, {"a/b": {"c~d": 1}}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"b": 1}}, {"b": 1}),
    ],
)
def test_json_patches_as_rfc_6902_has_them(target: Any, operation: dict, expected: Any) -> None:
    assert json_patch(copy.deepcopy(target), [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/x", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "test", "path": "/list", "value": []},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "jump", "path": "/list"},
        {"path": "/list"},
    ],
)
def test_operations_that_cannot_be_applied(operation: dict) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({"list": [1]}, [operation])
    assert caught.value.code == 422


def strategic(document: dict, change: dict) -> dict:
    return apply(STRATEGIC_PATCH, document, change, custom=False)


def test_lists_with_a_merge_key_are_merged() -> None:
    node = {"kind": "Node", "spec": {"taints": [{"key": "a", "effect": "X"}, {"key": "b"}], "podCIDRs": ["1"]}}
    change = {
        "spec": {"taints": [{"key": "a", "value": "v"}, {"key": "b", "$patch": "delete"}], "podCIDRs": ["1", "2"]}
    }
    expected = {"taints": [{"key": "a", "effect": "X", "value": "v"}], "podCIDRs": ["1", "2"]}
    assert strategic(node, change)["spec"] == expected


def test_lists_without_one_are_replaced() -> None:
    before = {"kind": "NetworkPolicy", "spec": {"ingress": [{"ports": [{"port": 80}]}]}}
    assert strategic(before, {"spec": {"ingress": [{}]}})["spec"] == {"ingress": [{}]}


def test_directives() -> None:
    pod = {"kind": "Pod", "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1", "y": "2"}}}
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "i"}],
            "nodeSelector": {"$patch": "replace", "z": "3"},
        },
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["f"], "labels": None},
    }
    before = {**pod, "metadata": {"finalizers": ["f", "g"], "labels": {"a": "b"}}}
    after = strategic(before, change)
    assert [each["name"] for each in after["spec"]["containers"]] == ["c", "b", "a"]
    assert after["spec"]["nodeSelector"] == {"z": "3"}
    assert after["metadata"] == {"finalizers": ["g"]}
    kept = strategic({"strategy": {"type": "A", "a": 1}}, {"strategy": {"$retainKeys": ["type"], "type": "B"}})
    assert kept["strategy"] == {"type": "B"}


def test_an_entry_without_its_merge_key_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        strategic({"kind": "Node"}, {"spec": {"taints": [{"effect": "X"}]}})
    assert caught.value.code == 400


def test_the_document_itself_is_left_as_it_is() -> None:
    document = {"kind": "Node", "metadata": {"labels": {"a": "1"}}, "spec": {"taints": [{"key": "a"}]}}
    before = copy.deepcopy(document)
    apply(JSON_PATCH, document, [{"op": "remove", "path": "/spec/taints/0"}], custom=False)
    apply(MERGE_PATCH, document, {"metadata": {"labels": {"b": "2"}}}, custom=False)
    strategic(document, {"spec": {"taints": [{"key": "a", "value": "v"}]}})
    assert document == before


def test_custom_resources_have_no_strategic_patch() -> None:
    with pytest.raises(ApiError) as caught:
        apply(STRATEGIC_PATCH, {"kind": "ClusterNetworkPolicy"}, {}, custom=True)
    assert caught.value.code == 415
