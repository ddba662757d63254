# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller remembers of a node: what a run ended with holds, and anything doubtful counts as none."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ansible_collections.npm.netpol.plugins.modules import ruleset
from ansible_collections.npm.netpol.plugins.plugin_utils import netfilter, node_records, templates
from ansible_collections.npm.netpol.plugins.plugin_utils.node_records import Record, RecordError, Records

NODE = "aks-nodepool1-12345678-vmss000000"
RECORD = Record("uid-of-the-cluster", NODE, "uid-1", "boot-1", "ab" * 32, "auto", "first", False, True)
PATIENCE = 30.0
ROLE = Path(node_records.__file__).parents[2] / "roles" / "enforce"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path / "state")


def path_of(tmp_path: Path, record: Record = RECORD) -> Path:
    return tmp_path / "state" / record.cluster / "nodes" / f"{record.node}.json"


def enforce(records: Records, record: Record = RECORD) -> str:
    with records.visit(record.node, record.cluster, PATIENCE) as remember:
        return remember(record)


def test_what_a_visit_ended_with_holds(records: Records, tmp_path: Path) -> None:
    assert not records.hold(RECORD)
    assert enforce(records) == ""
    assert records.hold(RECORD)
    written = json.loads(path_of(tmp_path).read_text())
    assert (written["format"], written["boot_id"]) == ("npm.netpol/node", "boot-1")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (path_of(tmp_path).parent, path_of(tmp_path))]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize(
    "other",
    [
        {"cluster": "another"},
        {"node": "aks-2"},
        {"uid": "uid-2"},
        {"boot_id": "boot-2"},
        {"target": "cd" * 32},
        {"variant": "nft"},
        {"hook": "after_kube_services"},
        {"accept": True},
        {"datapath_check": False},
    ],
    ids=lambda other: next(iter(other)),
)
def test_nothing_else_holds(records: Records, other: dict[str, object]) -> None:
    enforce(records)
    assert not records.hold(replace(RECORD, **other))
    assert records.hold(RECORD)


@pytest.mark.parametrize("field", ["cluster", "uid", "boot_id"])
def test_a_node_that_cannot_be_told_from_another_start_always_counts_as_changed(
    records: Records, tmp_path: Path, field: str
) -> None:
    unknown = replace(RECORD, **{field: ""})
    assert enforce(records, unknown) == ""
    assert not records.hold(unknown)
    assert list((tmp_path / "state").rglob("*.json")) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: text.replace(node_records.code(), "0" * 64),
        lambda text: text.replace("npm.netpol/node", "npm.netpol/run"),
        lambda text: "\udc80" + text,
    ],
    ids=["empty", "cut", "of other code", "other format", "not UTF-8"],
)
def test_a_damaged_record_is_none_and_the_next_visit_mends_it(
    records: Records, tmp_path: Path, damage: Callable[[str], str]
) -> None:
    enforce(records)
    path = path_of(tmp_path)
    path.write_text(damage(path.read_text()), errors="surrogateescape")
    assert not records.hold(RECORD)
    enforce(records)
    assert records.hold(RECORD)


def test_the_code_is_named_by_all_that_decides_what_a_node_makes_of_what_is_rendered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copies = {"netfilter": Path(str(netfilter.__file__)).parent, "node": templates.NODE_SCRIPTS}
    for name, directory in copies.items():
        shutil.copytree(directory, tmp_path / name)
    monkeypatch.setattr(netfilter, "__file__", str(tmp_path / "netfilter/__init__.py"))
    monkeypatch.setattr(templates, "NODE_SCRIPTS", tmp_path / "node")
    node_records.code.cache_clear()
    names = {node_records.code()}
    for path in ("netfilter/converge.py", "netfilter/hook.py", "node/apply.sh.j2"):
        with (tmp_path / path).open("a") as file:
            file.write("\n# changed\n")
        node_records.code.cache_clear()
        names.add(node_records.code())
    monkeypatch.undo()
    node_records.code.cache_clear()
    assert len(names) == 4
    assert node_records.code() in names


def test_during_a_visit_and_after_one_that_failed_there_is_no_record(records: Records, tmp_path: Path) -> None:
    enforce(records)
    found = []

    def break_off() -> None:
        with records.visit(NODE, RECORD.cluster, PATIENCE):
            found.extend(tmp_path.rglob("*.json"))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert found == []
    assert not records.hold(RECORD)


def test_a_visit_takes_the_records_of_its_cluster_or_of_all_but_of_no_other_node(records: Records) -> None:
    elsewhere, neighbour = replace(RECORD, cluster="another"), replace(RECORD, node="aks-2")
    for each in (RECORD, elsewhere, neighbour):
        enforce(records, each)
    with records.visit(NODE, RECORD.cluster, PATIENCE):
        assert [records.hold(each) for each in (RECORD, elsewhere, neighbour)] == [False, True, True]
    enforce(records)
    with records.visit(NODE, None, PATIENCE):
        assert [records.hold(each) for each in (RECORD, elsewhere, neighbour)] == [False, False, True]


def test_a_record_that_cannot_be_written_is_named_and_is_no_failure(records: Records, tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.parent.parent.mkdir(parents=True)
    path.parent.write_text("a file in the place of the directory")
    warning = enforce(records)
    assert warning.startswith(f"the record {path} cannot be written: ")
    assert not records.hold(RECORD)


def test_without_a_lock_there_is_no_record(records: Records, tmp_path: Path) -> None:
    enforce(records)
    locks = tmp_path / "state" / "locks"
    for each in locks.iterdir():
        each.unlink()
    locks.rmdir()
    locks.write_text("a file in the place of the directory")
    assert "cannot be written" in enforce(records)
    assert not path_of(tmp_path).exists()


def test_a_record_that_cannot_be_removed_keeps_the_run_from_the_node(records: Records, tmp_path: Path) -> None:
    path = path_of(tmp_path)
    path.mkdir(parents=True)
    with pytest.raises(RecordError, match=r"the record .*vmss000000\.json cannot be removed: .*not touched"):
        enforce(records)


def test_records_that_cannot_be_read_keep_a_removal_from_the_node(tmp_path: Path) -> None:
    """Whoever removes rules and leaves a record lets the next run take them for there."""
    (tmp_path / "state").touch()
    with (
        pytest.raises(RecordError, match=r"the records in .*state cannot be read: .*not touched"),
        Records(tmp_path / "state").visit(NODE, None, PATIENCE),
    ):
        pass


def test_what_is_no_cluster_in_the_directory_is_left_alone(tmp_path: Path) -> None:
    """As ``lost+found``, which nobody but root may look into, where the directory is a volume of its own."""
    records = Records(tmp_path)
    with records.visit(NODE, RECORD.cluster, PATIENCE) as remember:
        assert remember(RECORD) == ""
    theirs = [tmp_path / name / "nodes" / f"{NODE}.json" for name in ("lost+found", ".snapshot", "locks")]
    for path in theirs:
        path.parent.mkdir(parents=True)
        path.touch()
    with records.visit(NODE, None, PATIENCE):
        assert not records.hold(RECORD)
    assert all(path.exists() for path in theirs)


def test_another_run_waits_until_the_first_has_left_the_node(records: Records) -> None:
    later = replace(RECORD, target="cd" * 32)
    inside, entered = threading.Event(), threading.Event()

    def second() -> None:
        inside.set()
        with records.visit(NODE, RECORD.cluster, PATIENCE) as remember:
            entered.set()
            remember(later)

    other = threading.Thread(target=second)
    with records.visit(NODE, RECORD.cluster, PATIENCE) as remember:
        other.start()
        inside.wait(PATIENCE)
        with pytest.raises(RecordError, match=r"another run has held the lock .* for 0 s"):
            enforce_at_once(records)
        assert not entered.is_set()
        remember(RECORD)
    other.join(PATIENCE)
    assert records.hold(later)
    assert not records.hold(RECORD)


def enforce_at_once(records: Records) -> None:
    with records.visit(NODE, RECORD.cluster, 0):
        pytest.fail("two runs were at the node at once")


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "a/b", "a\0b", "*"])
def test_no_name_leads_out_of_the_directory(records: Records, tmp_path: Path, name: str) -> None:
    victim = tmp_path / "state" / "victim.json"
    victim.parent.mkdir()
    victim.write_text("")
    for record in (replace(RECORD, node=name), replace(RECORD, cluster=name)):
        with records.visit(record.node, record.cluster, PATIENCE) as remember:
            assert remember(record) == ""
        with records.visit(name, None, PATIENCE):
            pass
        assert not records.hold(record)
    assert victim.exists()
    assert [path.name for path in tmp_path.rglob("*.json")] == ["victim.json"]


def test_the_scopes_are_those_that_users_are_told() -> None:
    module = yaml.safe_load(ruleset.DOCUMENTATION)["options"]["scope"]
    roles = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
    role = roles["main"]["options"]["npm_scope"]
    assert module["choices"] == role["choices"] == list(node_records.SCOPES)
    assert module["default"] == role["default"] == node_records.ALL
