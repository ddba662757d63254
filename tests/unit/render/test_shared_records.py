# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records that runs of several controllers share: none that may be untrue, however the runs lie to each other."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.shared_records import SharedRecords

KNOWN = SharedRecords({"n1": "first", "n2": "second"})


def test_a_run_takes_out_what_it_visits_and_puts_back_what_its_visits_left() -> None:
    begun = KNOWN.begun({"n1"}, "a")
    assert begun == SharedRecords({"n2": "second"}, {"n1": "a"})
    assert begun.ended({"n1"}, "a", {"n1": "new", "n2": "not visited"}) == SharedRecords({"n1": "new", "n2": "second"})


def test_a_node_whose_visit_left_none_has_none() -> None:
    assert KNOWN.begun({"n1"}, "a").ended({"n1"}, "a", {}) == SharedRecords({"n2": "second"})


def test_runs_over_different_nodes_pass_each_others_entries_on() -> None:
    both = KNOWN.begun({"n1"}, "a").begun({"n2"}, "b")
    assert both.ended({"n2"}, "b", {"n2": "B"}).ended({"n1"}, "a", {"n1": "A"}) == SharedRecords({"n1": "A", "n2": "B"})


def test_a_run_that_died_costs_two_visits_and_no_more() -> None:
    died = KNOWN.begun({"n1"}, "dead")
    second = died.begun({"n1"}, "b").ended({"n1"}, "b", {"n1": "B"})
    assert second.records == {"n2": "second"}
    third = second.begun({"n1"}, "c").ended({"n1"}, "c", {"n1": "C"})
    assert third == SharedRecords({"n1": "C", "n2": "second"})


def test_a_beginning_that_is_made_again_is_the_runs_own() -> None:
    again = KNOWN.begun({"n1"}, "a").begun({"n1"}, "a")
    assert again.ended({"n1"}, "a", {"n1": "A"}).records["n1"] == "A"


def orders() -> Iterator[list[tuple[str, str]]]:
    """All that two runs can do at one node, each in its own order."""
    steps = [(run, step) for run in "ab" for step in ("begin", "visit", "end")]
    for order in itertools.permutations(steps):
        if all([step for run, step in order if run == each] == ["begin", "visit", "end"] for each in "ab"):
            yield list(order)


@pytest.mark.parametrize("order", list(orders()), ids=lambda order: " ".join(run + step[0] for run, step in order))
@pytest.mark.parametrize("dies", ["", "a", "b"])
def test_of_two_runs_at_one_node_no_order_leaves_a_record_that_is_untrue(
    order: list[tuple[str, str]], dies: str
) -> None:
    shared, node = SharedRecords({"n1": "before"}), "before"
    for run, step in order:
        if step == "begin":
            shared = shared.begun({"n1"}, run)
        elif step == "visit":
            node = run
        elif run != dies:
            shared = shared.ended({"n1"}, run, {"n1": run})
        assert shared.records.get("n1", node) == node
    one_after_the_other = [run for run, _step in order] in (list("aaabbb"), list("bbbaaa"))
    if one_after_the_other and not dies:
        assert shared == SharedRecords({"n1": node})


def test_what_is_written_is_read_and_nothing_is_no_content() -> None:
    for shared in (KNOWN, KNOWN.begun({"n1"}, "a"), SharedRecords({}, {"n1": "a"})):
        assert SharedRecords.of(shared.content) == shared
    assert SharedRecords().content is None
    assert SharedRecords.of(None) == SharedRecords()


def test_the_same_records_are_the_same_bytes() -> None:
    assert SharedRecords({"a": "1", "b": "2"}).content == SharedRecords({"b": "2", "a": "1"}).content


@pytest.mark.parametrize(
    "changes",
    [{"format": "another"}, {"version": 2}, {"records": None}, {"records": ["n1"]}, {"marks": {"n1": 1}}],
    ids=str,
)
def test_what_is_not_of_this_version_is_nothing(changes: dict[str, object]) -> None:
    data = json.loads(KNOWN.content or b"")
    assert SharedRecords.of(json.dumps(data | changes).encode()) == SharedRecords()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"null", b"7"])
def test_what_is_no_such_text_is_nothing(content: bytes) -> None:
    assert SharedRecords.of(content) == SharedRecords()
