# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The snapshot file: whole or not at all, for its owner only."""

from __future__ import annotations

import resource
import signal
import stat
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import store
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    Namespace,
    Node,
    SnapshotFormatError,
    make,
)

SNAPSHOT = make(
    Cluster("uid", {"pods": "7"}),
    namespaces=[Namespace("shop", {"größe": "x"})],
    nodes=[Node("n1", {"a": "b"}, ("10.240.0.4", "fd00::4"), uid="uid-1", boot_id="boot-1")],
)


def test_what_is_written_is_read_and_only_its_owner_may(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "snapshot.json"
    assert store.write(SNAPSHOT, path) == SNAPSHOT.id
    assert store.read(path) == SNAPSHOT
    assert store.read_with_id(path) == (SNAPSHOT, SNAPSHOT.id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)} == {0o700}
    assert [each.name for each in path.parent.iterdir()] == ["snapshot.json"]


def test_a_file_that_was_there_is_replaced_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o644)
    store.write(SNAPSHOT, path)
    assert store.read(path) == SNAPSHOT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text("old", encoding="utf-8")
    too_much = make(Cluster(), namespaces=[Namespace("shop", {"a": "b" * 100_000})])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.write(too_much, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert path.read_text(encoding="utf-8") == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["snapshot.json"]


def test_a_file_of_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    """The nodes of version 1 don't say which start of which machine they are."""
    path = tmp_path / "snapshot.json"
    store.write(SNAPSHOT, path)
    path.write_text(path.read_text(encoding="utf-8").replace('"version":2', '"version":1'), encoding="utf-8")
    with pytest.raises(SnapshotFormatError, match="snapshot version 1; this code reads version 2"):
        store.read(path)


def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(SnapshotFormatError):
        store.read(path)
