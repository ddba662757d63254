# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The visits of runs whose records are in ConfigMaps of a real API server, each run with a directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils import visits
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.configmaps import (
    ConfigMapStore,
    DamagedError,
    Place,
    StoreError,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.node_records import ALL, CHANGED, Record, Records
from ansible_collections.npm.netpol.plugins.plugin_utils.shared_records import BLOB
from lab.api import ApiServer, Fault
from small_cluster import namespace

PLACE = Place("npm-netpol-state", "production")
RECORD = Record("uid-of-kube-system", "n1", "uid-1", "boot-1", "ab" * 32, "auto", "first", False, True)
# Nobody else has it.
UNREADABLE = Fault("status", resource="configmaps", verb="get", code=403, message="cannot get")


class Run:
    """What the modules do in one run. ``wanted``: record by node, None for one that is visited whatever is known."""

    def __init__(self, store: Callable[[], ConfigMapStore], directory: Path) -> None:
        self._store = store
        self.directory = directory

    def begin(self, wanted: dict[str, Record | None], *, check_mode: bool = False) -> tuple[list[str], list[str]]:
        cluster = next((record.cluster for record in wanted.values() if record), RECORD.cluster)
        begun, warnings = visits.begin(self._store(), self.directory, cluster, wanted, check_mode=check_mode)
        return list(begun.nodes), warnings

    def visit(self, record: Record, *, scope: str = CHANGED, fails: bool = False) -> bool:
        """False where the node is left out."""
        records = Records(self.directory)
        if scope == CHANGED and records.hold(record):
            return False
        with records.visit(record.node, record.cluster, 1) as remember:
            if not fails:
                assert remember(record) == ""
        return True

    def end(self) -> list[str]:
        return visits.end(self._store(), self.directory)


MakeRun = Callable[[], Run]


@pytest.fixture
def new_run(api: ApiServer, client: Callable[..., ApiClient], tmp_path: Path) -> MakeRun:
    api.store.load([namespace(PLACE.namespace)])
    directories = (tmp_path / f"run-{number}" for number in range(99))
    # Eight tries, without a pause.
    return lambda: Run(lambda: ConfigMapStore(client(), PLACE, pauses=lambda: [0.0] * 7), next(directories))


def whole_run(run: Run, record: Record = RECORD) -> bool:
    """Whether the node was visited."""
    nodes, warnings = run.begin({record.node: record})
    visited = run.visit(record)
    assert (nodes, warnings) == ([record.node] if visited else [], [])
    assert run.end() == []
    return visited


def asked(api: ApiServer) -> list[str]:
    verbs = [each.verb for each in api.requests.all()]
    api.requests.clear()
    return verbs


def test_what_one_run_left_the_next_one_knows(api: ApiServer, new_run: MakeRun) -> None:
    assert whole_run(new_run())
    api.requests.clear()
    assert not whole_run(new_run())
    assert asked(api) == ["get", "get"]
    for other in (
        {"target": "cd" * 32},
        {"boot_id": "boot-2"},
        {"hook": "after_kube_services"},
        {"cluster": "another"},
    ):
        changed = replace(RECORD, **other)
        assert whole_run(new_run(), changed)
        assert whole_run(new_run())


def test_a_run_with_nothing_to_visit_asks_for_no_more_than_the_records(api: ApiServer, new_run: MakeRun) -> None:
    run = new_run()
    assert run.begin({}) == ([], [])
    assert run.end() == []
    assert asked(api) == ["get"]


def test_a_run_over_all_visits_what_is_known_and_writes_twice(api: ApiServer, new_run: MakeRun) -> None:
    assert whole_run(new_run())
    api.requests.clear()
    run = new_run()
    assert run.begin({"n1": None})[0] == ["n1"]
    assert run.visit(RECORD, scope=ALL)
    assert run.end() == []
    assert asked(api).count("update") == 2
    assert not whole_run(new_run())


def test_the_visits_of_another_directory_are_not_known(new_run: MakeRun) -> None:
    """As of an earlier play of the same run of Ansible."""
    run = new_run()
    assert whole_run(run)
    later = replace(RECORD, target="cd" * 32)
    assert whole_run(new_run(), later)
    nodes, _warnings = run.begin({"n1": RECORD})
    assert nodes == ["n1"]
    assert run.visit(RECORD)


def test_a_node_that_failed_has_no_record(new_run: MakeRun) -> None:
    both = {"n1": RECORD, "n2": replace(RECORD, node="n2")}
    for record in both.values():
        assert whole_run(new_run(), record)
    run = new_run()
    run.begin(dict.fromkeys(both))
    assert run.visit(RECORD, scope=ALL, fails=True)
    assert run.visit(both["n2"], scope=ALL)
    assert run.end() == []
    assert new_run().begin(dict(both))[0] == ["n1"]


def test_a_node_that_its_task_leaves_out_after_all_keeps_its_record(api: ApiServer, new_run: MakeRun) -> None:
    """The task has the node's own variables, of which the beginning may have known others."""
    assert whole_run(new_run())
    run = new_run()
    assert run.begin({"n1": replace(RECORD, hook="after_kube_services")})[0] == ["n1"]
    assert not run.visit(RECORD)
    assert run.end() == []
    assert not whole_run(new_run())


def test_a_node_that_its_task_visits_after_all_has_no_record_then(new_run: MakeRun) -> None:
    assert whole_run(new_run())
    for fails in (False, True):
        run = new_run()
        assert run.begin({"n1": RECORD})[0] == []
        assert run.visit(replace(RECORD, hook="after_kube_services"), fails=fails)
        assert run.end() == []
        assert whole_run(new_run())


@pytest.mark.parametrize("removes", [False, True])
def test_a_node_that_is_visited_by_another_name_than_the_run_began_with_has_no_record_then(
    api: ApiServer, new_run: MakeRun, removes: bool
) -> None:
    """A play may have another npm_node_name than the host."""
    others = replace(RECORD, node="n2")
    assert whole_run(new_run())
    assert whole_run(new_run(), others)
    later = replace(RECORD, target="cd" * 32)
    run = new_run()
    assert run.begin({"other": None})[0] == ["other"]
    assert run.visit(later, scope=ALL, fails=removes)
    assert run.end() == []
    for record in (RECORD, later):
        assert new_run().begin({"n1": record}, check_mode=True)[0] == ["n1"]
    assert not whole_run(new_run(), others)


def test_a_visit_that_nobody_expected_is_no_less_one_in_a_run_that_was_to_visit_nothing(
    api: ApiServer, new_run: MakeRun
) -> None:
    for record in (RECORD, replace(RECORD, node="n2")):
        assert whole_run(new_run(), record)
    run = new_run()
    assert run.begin({"n2": replace(RECORD, node="n2")})[0] == []
    assert run.visit(RECORD, fails=True)
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=403, message="denied"))
    with pytest.raises(StoreError):
        run.end()
    api.faults.clear()
    assert run.end() == []
    assert whole_run(new_run())


def test_a_node_that_the_run_does_not_come_to_keeps_its_record(new_run: MakeRun) -> None:
    assert whole_run(new_run())
    run = new_run()
    assert run.begin({"n1": None})[0] == ["n1"]
    assert run.end() == []
    assert not whole_run(new_run())


@pytest.mark.parametrize("name", ["..", "../n1", "", "a/b"])
def test_no_name_leads_out_of_the_runs_directory(new_run: MakeRun, name: str, tmp_path: Path) -> None:
    run = new_run()
    run.begin({name: None})
    run.end()
    assert whole_run(new_run())
    assert {path.name for path in tmp_path.rglob("*.json")} == {"n1.json", "visits.json"}


def test_check_mode_writes_nothing_and_leaves_out_what_is_known(api: ApiServer, new_run: MakeRun) -> None:
    assert whole_run(new_run())
    api.requests.clear()
    run = new_run()
    assert run.begin({"n1": RECORD, "n2": None}, check_mode=True) == (["n2"], [])
    assert not run.visit(RECORD)
    assert run.end() == []
    assert set(asked(api)) == {"get"}


def test_an_end_without_a_beginning_does_nothing(api: ApiServer, new_run: MakeRun) -> None:
    assert new_run().end() == []
    assert asked(api) == []


def test_records_that_are_not_whole_are_none(api: ApiServer, new_run: MakeRun) -> None:
    assert whole_run(new_run())
    _version, found = api.store.listing(api.store.catalog.by_plural("configmaps"))
    part = next(record.key.split("/")[1] for record in found.ordered if f"-{BLOB}-" in record.key)
    api.store.delete("configmaps", part, PLACE.namespace)
    run = new_run()
    nodes, (warning,) = run.begin({"n1": RECORD})
    assert nodes == ["n1"]
    assert warning.startswith("what is known of the nodes was not used, and they are visited: the ConfigMap ")
    assert run.visit(RECORD)
    assert run.end() == []
    assert not whole_run(new_run())


def test_records_that_could_not_be_read_may_be_there(api: ApiServer, new_run: MakeRun) -> None:
    """As where another one's rights are needed for one of the parts."""
    assert whole_run(new_run())
    _version, found = api.store.listing(api.store.catalog.by_plural("configmaps"))
    part = next(record.key.split("/")[1] for record in found.ordered if f"-{BLOB}-" in record.key)
    api.store.delete("configmaps", part, PLACE.namespace)
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=403, message="denied"))
    run = new_run()
    assert run.begin({"n1": RECORD})[0] == ["n1"]
    assert run.visit(RECORD)
    with pytest.raises(StoreError):
        run.end()


def test_what_may_not_be_read_has_no_records_of_ours(api: ApiServer, new_run: MakeRun) -> None:
    api.faults.add(UNREADABLE)
    run = new_run()
    nodes, (warning,) = run.begin({"n1": RECORD})
    assert nodes == ["n1"]
    assert warning.startswith(
        "the next run with npm_scope changed visits the nodes that this one visits: the ConfigMap "
    )
    assert run.visit(RECORD)
    assert run.end() == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", resource="configmaps", verb="update", code=403, message="denied"),
        Fault("status", resource="configmaps", verb="update", code=409),
        Fault("status", resource="configmaps", code=503),
        Fault("status", resource="configmaps", code=401),
    ],
    ids=lambda fault: f"{fault.verb} {fault.code}",
)
def test_records_that_stay_although_they_may_be_untrue_are_said(api: ApiServer, new_run: MakeRun, fault: Fault) -> None:
    assert whole_run(new_run())
    later = replace(RECORD, target="cd" * 32)
    for mended in (False, True):
        api.faults.add(fault)
        run = new_run()
        nodes, (warning,) = run.begin({"n1": later})
        assert nodes == ["n1"]
        assert "may leave out nodes that this one visits, unless this one comes to its end: the ConfigMap " in warning
        assert run.visit(later)
        if mended:
            api.faults.clear()
            assert run.end() == []
        else:
            with pytest.raises(StoreError):
                run.end()
        api.faults.clear()
    # What the last one could take out in the end is not known any more, as it was once wanted, nor as it is now.
    assert new_run().begin({"n1": RECORD})[0] == ["n1"]


def test_records_that_cannot_be_changed_for_want_of_room_go_all(api: ApiServer, new_run: MakeRun) -> None:
    other = replace(RECORD, node="n2")
    assert whole_run(new_run())
    assert whole_run(new_run(), other)
    api.faults.add(Fault("status", resource="configmaps", verb="create", code=403, message="exceeded quota"))
    later = replace(RECORD, target="cd" * 32)
    run = new_run()
    nodes, (warning,) = run.begin({"n1": later, "n2": other})
    assert nodes == ["n1"]
    assert "exceeded quota" in warning
    assert run.visit(later)
    assert not run.visit(other)
    assert run.end() == []
    api.faults.clear()
    assert new_run().begin({"n1": RECORD, "n2": other})[0] == ["n1", "n2"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", resource="configmaps", verb="create", code=403, message="exceeded quota", times=1),
        Fault("status", resource="configmaps", verb="update", code=409, times=8),
        # The head can be read, and not what it names.
        Fault("status", resource="configmaps", verb="get", code=403, message="cannot get", skip=1, times=1),
    ],
    ids=lambda fault: f"{fault.verb} {fault.code}",
)
def test_a_run_that_gives_up_leaves_other_runs_their_marks(api: ApiServer, new_run: MakeRun, fault: Fault) -> None:
    at_n2, later = replace(RECORD, node="n2"), replace(RECORD, target="cd" * 32)
    assert whole_run(new_run(), at_n2)
    slow, gives_up, quick = new_run(), new_run(), new_run()
    slow.begin({"n1": later})
    api.faults.add(fault)
    (warning,) = gives_up.begin({"n2": None})[1]
    assert "may leave out nodes that this one visits, unless this one comes to its end: the ConfigMap " in warning
    api.faults.clear()
    quick.begin({"n1": RECORD})
    assert quick.visit(RECORD)
    assert quick.end() == []
    # It is killed then.
    assert slow.visit(later)
    assert new_run().begin({"n1": RECORD}, check_mode=True)[0] == ["n1"]
    # The other one comes to its end, and n2 is not known any more.
    assert gives_up.visit(replace(at_n2, target="cd" * 32), scope=ALL)
    assert gives_up.end() == []
    assert new_run().begin({"n2": at_n2})[0] == ["n2"]


@pytest.mark.parametrize("known", [False, True], ids=["nothing was known", "what was known is emptied"])
def test_a_run_without_marks_takes_out_at_its_end_what_others_have_left(
    api: ApiServer, new_run: MakeRun, known: bool
) -> None:
    if known:
        assert whole_run(new_run())
    unmarked, later = new_run(), replace(RECORD, target="cd" * 32)
    api.faults.add(Fault("status", resource="configmaps", verb="create", code=403, message="exceeded quota", times=1))
    (warning,) = unmarked.begin({"n1": later})[1]
    assert warning.startswith("the next run with npm_scope changed visits the nodes that this one visits: ")
    assert whole_run(new_run())
    assert unmarked.visit(later)
    assert unmarked.end() == []
    assert new_run().begin({"n1": RECORD})[0] == ["n1"]


def test_a_record_whose_writing_is_sent_again_stays(api: ApiServer, new_run: MakeRun) -> None:
    """The answer to the writing is lost, and what is sent again meets its own work."""
    run = new_run()
    run.begin({"n1": RECORD})
    assert run.visit(RECORD)
    api.faults.add(Fault("hangup", resource="configmaps", verb="update", times=1))
    assert run.end() == []
    assert not whole_run(new_run())


def test_an_end_that_cannot_be_written_leaves_marks_which_are_no_records(api: ApiServer, new_run: MakeRun) -> None:
    run = new_run()
    run.begin({"n1": RECORD})
    run.visit(RECORD)
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=403, message="denied"))
    (warning,) = run.end()
    assert warning.startswith("the next two runs with npm_scope changed visit the nodes that this one has visited: ")
    api.faults.clear()
    assert [whole_run(new_run()) for _run in range(3)] == [True, True, False]


def test_slices_at_once_keep_each_others_records(new_run: MakeRun) -> None:
    first, second = new_run(), new_run()
    other = replace(RECORD, node="n2")
    first.begin({"n1": RECORD})
    second.begin({"n2": other})
    assert first.visit(RECORD)
    assert second.visit(other)
    assert second.end() == first.end() == []
    assert new_run().begin({"n1": RECORD, "n2": other})[0] == []


def test_of_two_runs_at_one_node_neither_leaves_a_record(new_run: MakeRun) -> None:
    first, second = new_run(), new_run()
    later = replace(RECORD, target="cd" * 32)
    first.begin({"n1": RECORD})
    second.begin({"n1": later})
    assert second.visit(later)
    assert first.visit(RECORD)
    assert second.end() == first.end() == []
    for record in (RECORD, later):
        assert new_run().begin({"n1": record}, check_mode=True)[0] == ["n1"]
    assert whole_run(new_run())
    assert not whole_run(new_run())


def test_two_beginnings_at_once_find_each_other(api: ApiServer, new_run: MakeRun) -> None:
    """The second has read what there was before the first one wrote."""
    assert whole_run(new_run())
    first, second = new_run(), new_run()
    changes = iter([lambda: first.begin({"n1": None})])
    plain = ConfigMapStore.read

    def read(store: ConfigMapStore, blob: str) -> bytes | None:
        found = plain(store, blob)
        for change in changes:
            change()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigMapStore, "read", read)
        second.begin({"n1": None})
    for run in (first, second):
        assert run.visit(RECORD, scope=ALL)
    assert first.end() == second.end() == []
    assert new_run().begin({"n1": RECORD})[0] == ["n1"]


def test_what_a_first_try_met_is_not_told_after_a_second_that_did_not(
    api: ApiServer, new_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whole_run(new_run())
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=409, times=1))
    read, first = ConfigMapStore.read, iter([True])

    def damaged_at_first(store: ConfigMapStore, name: str) -> bytes | None:
        if next(first, False):
            raise DamagedError("a part of it is gone")
        return read(store, name)

    monkeypatch.setattr(ConfigMapStore, "read", damaged_at_first)
    assert new_run().begin({"n1": None}) == (["n1"], [])
