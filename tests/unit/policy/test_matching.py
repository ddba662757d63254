# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two label indexes find exactly what trying every pair would."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.matching import LabelIndex, SelectorIndex
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.selectors import Operator, Requirement, Selector
from hypothesis import given
from hypothesis import strategies as st

keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["", "1", "2"])
labels = st.dictionaries(keys, values)
requirements = st.one_of(
    st.builds(
        Requirement, keys, st.just(Operator.IN), st.sets(values, min_size=1).map(lambda each: tuple(sorted(each)))
    ),
    st.builds(
        Requirement, keys, st.just(Operator.NOT_IN), st.sets(values, min_size=1).map(lambda each: tuple(sorted(each)))
    ),
    st.builds(Requirement, keys, st.sampled_from([Operator.EXISTS, Operator.DOES_NOT_EXIST])),
)
selectors = st.lists(requirements, max_size=3).map(lambda each: Selector.of(*each))
groups = st.sampled_from(["x", "y", "z"])


@given(st.lists(st.tuples(groups, labels)), selectors, st.frozensets(st.sampled_from(["x", "y", "z", "none"])))
def test_label_index(objects: list[tuple[str, dict[str, str]]], selector: Selector, wanted: frozenset[str]) -> None:
    index = LabelIndex(objects, {"a", "b", "c"})
    # One group and then several, and the other way round: what it remembers of one must do for the other.
    for asked in ({"x"}, wanted, {"y"}, wanted):
        assert sorted(index.select(selector, asked)) == [
            number for number, (group, each) in enumerate(objects) if group in asked and selector.matches(each)
        ]


@given(st.lists(selectors), st.lists(labels))
def test_selector_index(given_selectors: list[Selector], objects: list[dict[str, str]]) -> None:
    index = SelectorIndex(given_selectors)
    for each in [*objects, *objects]:
        assert index.matching(each) == tuple(
            number for number, selector in enumerate(given_selectors) if selector.matches(each)
        )


def test_a_label_that_is_not_indexed_is_an_error_and_not_an_empty_answer() -> None:
    index = LabelIndex([("x", {"a": "1"})], {"a"})
    with pytest.raises(KeyError, match="'b'"):
        index.select(Selector.equal({"b": "1"}), {"x"})
