# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The history: any state that was listed once can be listed again, and changes lead from one state to another."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab.api.collection import CompactedError
from lab.api.store import Store

NAMES = st.sampled_from(["a", "a-b", "ab", "b"])
STEPS = st.lists(st.tuples(st.sampled_from(["apply", "delete", "other"]), NAMES, st.integers(0, 3)), max_size=25)


def config_map(name: str, value: int) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": str(value)}}


def run(store: Store, step: tuple[str, str, int]) -> None:
    action, name, value = step
    present = {record.key for record in listed(store)}
    if action == "apply":
        store.apply(config_map(name, value))
    elif action == "delete" and f"default/{name}" in present:
        store.delete("configmaps", name, "default")
    elif action == "other":
        store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"v": str(value)}}})


def listed(store: Store, version: int | None = None) -> list:
    _, listing = store.listing(store.catalog.by_plural("configmaps"), version)
    return listing.ordered


@given(STEPS)
def test_every_past_state_can_be_listed(steps: list[tuple[str, str, int]]) -> None:
    store = Store()
    states = {store.resource_version: listed(store)}
    for step in steps:
        run(store, step)
        states[store.resource_version] = listed(store)
    for version, state in states.items():
        assert listed(store, version) == state
        assert [record.key for record in state] == sorted(record.key for record in state)


@given(STEPS, st.integers(0, 25))
def test_changes_lead_from_any_state_to_the_newest(steps: list[tuple[str, str, int]], start_at: int) -> None:
    store = Store()
    for step in steps[:start_at]:
        run(store, step)
    start = store.resource_version
    state = {record.key: record for record in listed(store)}
    for step in steps[start_at:]:
        run(store, step)
    _, changes = store.changes_since(store.catalog.by_plural("configmaps"), start)
    for change in changes:
        assert (change.previous is None) == (change.type == "ADDED")
        assert state.get(change.record.key) == change.previous
        if change.type == "DELETED":
            del state[change.record.key]
        else:
            state[change.record.key] = change.record
    assert [state[key] for key in sorted(state)] == listed(store)


@given(STEPS, st.integers(1, 5))
def test_a_short_history_answers_right_or_not_at_all(steps: list[tuple[str, str, int]], kept: int) -> None:
    store = Store(history=kept)
    states = {}
    for step in steps:
        run(store, step)
        states[store.resource_version] = listed(store)
    for version, state in states.items():
        with contextlib.suppress(CompactedError):
            assert listed(store, version) == state
    assert listed(store) == listed(store, store.resource_version)


def test_compacting_forgets_all_that_was_before() -> None:
    store = Store()
    store.create(config_map("a", 1))
    before = store.resource_version
    store.compact()
    for question in (store.listing, store.changes_since):
        with pytest.raises(CompactedError):
            question(store.catalog.by_plural("configmaps"), before)
    assert [record.key for record in listed(store)] == ["default/a"]
