"""The run directory: what is written is read back, an unfinished or foreign one is refused."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils import spool
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Ruleset
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import Rendered, RenderedSet, render
from ansible_collections.npm.netpol.plugins.plugin_utils.spool import (
    Excluded,
    Exclusion,
    Identity,
    Run,
    RunWriter,
    SpoolError,
)

from .examples import ONE_OF_EVERYTHING, environment

NODE = ONE_OF_EVERYTHING.node
IDENTITY = Identity("uid-of-the-node", "boot-1")
RUN = Run("uid-1", 4711, "ab" * 32, {"win-1": Excluded(Exclusion.WINDOWS, "a Windows node")})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "state" / "run"
    writer = RunWriter(directory)
    writer.add(NODE, render(ONE_OF_EVERYTHING, environment()), IDENTITY)
    writer.finish(RUN)
    return directory


def test_what_is_written_is_read_back(directory: Path) -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    assert spool.read_run(directory) == RUN
    assert spool.has_node(directory, NODE)
    assert not spool.has_node(directory, "win-1")
    assert spool.read_target(directory, NODE) == rendered.id
    assert spool.read_identity(directory, NODE) == IDENTITY
    assert spool.read_rendered(directory, NODE) == rendered


def test_a_set_that_nodes_share_is_rendered_and_written_once(tmp_path: Path) -> None:
    made: list[str] = []

    def text() -> str:
        made.append("once")
        return "create npm-4-shared hash:ip family inet maxelem 65536\n"

    shared = RenderedSet("npm-4-shared", text)
    writer = RunWriter(tmp_path)
    for node in ("n1", "n2", "n3"):
        writer.add(node, Rendered((shared,), f"*filter\n# {node}\nCOMMIT\n", ""))
    assert made == ["once"]
    assert (tmp_path / "sets.restore").read_text() == shared.text
    for node in ("n1", "n3"):
        rendered = spool.read_rendered(tmp_path, node)
        assert rendered.ipset == shared.text
        assert node in rendered.iptables


def test_only_its_owner_reads_it(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_same_run_gives_the_same_bytes(directory: Path) -> None:
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    writer = RunWriter(directory)
    writer.add(NODE, render(ONE_OF_EVERYTHING, environment()), IDENTITY)
    writer.finish(RUN)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_run_that_did_not_finish_is_none(directory: Path) -> None:
    RunWriter(directory).add("other", render(Ruleset("other"), environment()))
    with pytest.raises(SpoolError, match=r"cannot read .*run\.json"):
        spool.read_run(directory)
    assert not spool.has_node(directory, NODE)


def test_a_directory_of_something_else_is_left_alone(directory: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "mine/thesis.txt"
    (tmp_path / "mine/nodes").mkdir(parents=True)
    thesis.write_text("years of work")
    with pytest.raises(SpoolError, match=r"holds thesis\.txt"):
        RunWriter(thesis.parent)
    with pytest.raises(SpoolError, match=r"holds thesis\.txt"):
        spool.copy(directory, thesis.parent)
    assert sorted(path.name for path in thesis.parent.iterdir()) == ["nodes", "thesis.txt"]


def another_run(directory: Path, *nodes: str) -> Path:
    writer = RunWriter(directory)
    for node in nodes:
        # A set of the same name in other words: a mixture of two runs is damaged.
        text = f"create npm-4-shared hash:ip family inet maxelem {len(nodes)}\n"
        writer.add(node, Rendered((RenderedSet("npm-4-shared", lambda text=text: text),), f"# {len(nodes)}\n", ""))
    writer.finish(Run("uid-1", len(nodes), "cd" * 32))
    return directory


def test_a_copy_has_all_of_a_run_and_takes_the_place_of_an_earlier_one(directory: Path, tmp_path: Path) -> None:
    kept = tmp_path / "deep/kept"
    spool.copy(another_run(tmp_path / "earlier", "n1", "n2", "n3"), kept)
    spool.copy(directory, kept)
    files = {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert files == {name: (directory / name).read_bytes() for name in ("run.json", "sets.restore", f"nodes/{NODE}")}
    for path in (kept, *kept.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_copy_is_of_one_run_however_many_copy_at_once(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    runs = [another_run(tmp_path / str(count), *(f"n{number}" for number in range(count))) for count in (20, 30, 40)]
    with ThreadPoolExecutor(len(runs)) as threads:
        for _round in range(10):
            list(threads.map(lambda run: spool.copy(run, kept), runs))
            count = spool.read_run(kept).resource_version
            assert len(list((kept / "nodes").iterdir())) == count
            for number in range(count):
                assert spool.read_rendered(kept, f"n{number}").iptables == f"# {count}\n"


def test_a_copy_that_was_cut_off_is_no_run_and_the_next_one_is(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    spool.copy(directory, kept)
    with monkeypatch.context() as patched:
        patched.setattr(spool.shutil, "copyfile", interrupt)
        with pytest.raises(KeyboardInterrupt):
            spool.copy(directory, kept)
    with pytest.raises(SpoolError, match=r"cannot read .*run\.json"):
        spool.read_run(kept)
    spool.copy(directory, kept)
    assert spool.read_run(kept) == RUN


def interrupt(*_arguments: object, **_keywords: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "old", "new"), [(f"nodes/{NODE}", "-j DROP", "-j RETURN"), ("sets.restore", "10.1.0.7", "10.1.0.9")]
)
def test_what_changed_after_rendering_is_refused(directory: Path, name: str, old: str, new: str) -> None:
    text = (directory / name).read_text()
    assert old in text
    (directory / name).write_text(text.replace(old, new))
    with pytest.raises(SpoolError, match="changed after it was rendered"):
        spool.read_rendered(directory, NODE)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"target": "", "sets": [["npm-4-x", 0]], "iptables": "", "ip6tables": ""}']
)
def test_a_file_that_is_no_node_is_refused(directory: Path, text: str) -> None:
    (directory / "nodes" / NODE).write_text(text)
    with pytest.raises(SpoolError, match=f"nodes/{NODE}: damaged"):
        spool.read_target(directory, NODE)


def test_sets_that_are_missing_are_named(directory: Path) -> None:
    (directory / "sets.restore").unlink()
    with pytest.raises(SpoolError, match=r"cannot read .*sets\.restore"):
        spool.read_rendered(directory, NODE)


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "a/b", "a\0b"])
def test_no_name_of_a_node_leads_out_of_the_directory(directory: Path, name: str) -> None:
    with pytest.raises(SpoolError, match="no name of a node"):
        spool.read_target(directory, name)
    with pytest.raises(SpoolError, match="no name of a node"):
        RunWriter(directory).add(name, render(Ruleset(name), environment()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a npm.netpol/run"),
        (json.dumps({"format": "npm.netpol/run", "version": 2}), "of version 3"),
        (json.dumps({"format": "npm.netpol/run", "version": 3}), "damaged"),
    ],
)
def test_another_file_is_no_run(directory: Path, text: str, message: str) -> None:
    (directory / "run.json").write_text(text)
    with pytest.raises(SpoolError, match=message):
        spool.read_run(directory)


@pytest.mark.parametrize("identity", ['{"name": 1}', "[]", "null"])
def test_an_identity_that_cannot_be_read_is_refused(directory: Path, identity: str) -> None:
    path = directory / "nodes" / NODE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"identity": json.loads(identity)}))
    with pytest.raises(SpoolError, match="damaged"):
        spool.read_identity(directory, NODE)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"cannot write .*file.*"):
        RunWriter(tmp_path / "file" / "run")


def test_a_copy_that_cannot_be_made_names_its_place(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"what was compiled cannot be copied to .*/file/kept: Not a directory"):
        spool.copy(directory, tmp_path / "file/kept")
