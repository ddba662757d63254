# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that differ in variables of which one host's value counts for all."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.host_variables import disagreements


def differing(names: list[str], **hosts: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(each.variable, *each.hosts) for each in disagreements(names, list(hosts), hosts.__getitem__)]


def test_each_variable_is_named_once_with_the_first_two_that_differ() -> None:
    hosts = {"a": {"x": [1], "y": 1}, "b": {"x": [1], "y": 2}, "c": {"x": [2], "y": 3}, "d": {"x": [3], "y": 1}}
    assert differing(["x", "y"], **hosts) == [("y", "a", "b"), ("x", "a", "c")]


@pytest.mark.parametrize("value", [None, "", [], {}, False])
def test_not_set_is_not_the_same_as_empty(value: Any) -> None:
    assert differing(["x"], a={}, b={"x": value}) == [("x", "a", "b")]
    assert differing(["x"], a={"x": value}, b={}) == [("x", "a", "b")]


def test_what_is_equal_or_not_asked_for_does_not_differ() -> None:
    assert differing(["x"], a={"x": {"k": [1]}, "y": 1}, b={"x": {"k": [1]}, "y": 2}) == []
    assert differing(["x"], a={}, b={}) == []
    assert differing(["x"]) == []


def test_each_host_is_looked_up_once_and_none_for_no_variable() -> None:
    """A host's variables are put together anew each time."""
    asked: Counter[str] = Counter()

    def variables_of(host: str) -> dict[str, Any]:
        asked[host] += 1
        return {}

    assert list(disagreements([], ["a", "b"], variables_of)) == []
    assert not asked
    assert list(disagreements(["x", "y"], ["a", "b"], variables_of)) == []
    assert asked == {"a": 1, "b": 1}


class Sealed:
    """A value of a vault: comparing it opens it."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError("opened")

    __hash__ = None  # type: ignore[assignment]


def test_one_value_of_all_is_not_opened() -> None:
    value = Sealed()
    assert differing(["x"], a={"x": value}, b={"x": value}) == []
