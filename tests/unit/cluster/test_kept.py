# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is kept of a cluster: used whole, of this cluster and of this code, or not at all."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import incremental, listing
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import dump
from lab.api import ApiServer, Fault, Identity, Rule
from small_cluster import FOLLOW_ALL, PODS, cluster, namespace, pod

MakeClient = Callable[..., ApiClient]


@pytest.fixture
def file(client: MakeClient, tmp_path: Path) -> Path:
    """What one reading has kept."""
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    reading.keep(dump(reading.snapshot).encode())
    assert reading.file is not None
    return reading.file


def reason(client: MakeClient, tmp_path: Path) -> str:
    """Why the next reading is a full one; it gives what a full one gives, and what is kept is mended."""
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert reading.mode == "full"
    assert dump(reading.snapshot) == dump(listing.read(client()))
    reading.keep(dump(reading.snapshot).encode())
    assert incremental.read(client(), tmp_path, FOLLOW_ALL).mode == ("incremental" if reading.file else "full")
    return reading.reason


def rewrite(file: Path, versions: dict[str, str] | None = None, **changes: Any) -> None:
    """Another head, with the digest that goes with it. ``versions``: in the head and in the snapshot."""
    _digest, head, snapshot = file.read_bytes().split(b"\n")
    if versions is not None:
        changes["resource_versions"] = versions
        data = json.loads(snapshot)
        data["cluster"]["resource_versions"] |= versions
        snapshot = json.dumps(data).encode()
    rest = b"\n".join((json.dumps(json.loads(head) | changes).encode(), snapshot))
    file.write_bytes(b"\n".join((hashlib.sha256(rest).hexdigest().encode(), rest)))


def test_it_is_the_owners_alone_and_named_by_the_cluster(file: Path, tmp_path: Path) -> None:
    assert file == tmp_path / "uid-of-kube-system/objects.snapshot"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_is_not_there(file: Path, client: MakeClient, tmp_path: Path) -> None:
    file.unlink()
    assert reason(client, tmp_path) == f"nothing is kept of this cluster yet: {file} is not there"


def test_a_file_that_cannot_be_read(file: Path, client: MakeClient, tmp_path: Path) -> None:
    file.unlink()
    file.mkdir()
    assert (
        incremental.read(client(), tmp_path, FOLLOW_ALL).reason
        == f"what is kept cannot be read: {file}: Is a directory"
    )


@pytest.mark.parametrize("part", [0, 1, 64, 65, 200, 1000, -1])
def test_a_file_that_was_cut(file: Path, client: MakeClient, tmp_path: Path, part: int) -> None:
    file.write_bytes(file.read_bytes()[:part])
    assert "is damaged" in reason(client, tmp_path)


@pytest.mark.parametrize("place", [0, 64, 65, 150, 300, -1])
def test_a_bit_that_fell_over(file: Path, client: MakeClient, tmp_path: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert "is damaged" in reason(client, tmp_path)


def test_a_file_of_ours_in_another_shape(file: Path, client: MakeClient, tmp_path: Path) -> None:
    for content in (b"[]\n{}", b"{}\n{}", b"\xff\n", b""):
        file.write_bytes(b"\n".join((hashlib.sha256(content).hexdigest().encode(), content)))
        assert "is damaged" in reason(client, tmp_path)


@pytest.mark.parametrize("field", ["format", "version", "projection"])
def test_a_file_of_another_version(file: Path, client: MakeClient, tmp_path: Path, field: str) -> None:
    rewrite(file, **{field: "another"})
    expected = f"what is kept is from another version of the collection, or of Python: {file}"
    assert reason(client, tmp_path) == expected


def test_a_file_of_another_cluster(file: Path, client: MakeClient, tmp_path: Path) -> None:
    rewrite(file, cluster="another")
    assert reason(client, tmp_path) == f"what is kept is of another cluster: {file}"


def test_two_clusters_share_a_directory(file: Path, client: MakeClient, tmp_path: Path) -> None:
    with ApiServer() as other:
        other.store.load([*cluster(), namespace("kube-system") | {"metadata": {"name": "kube-system", "uid": "b"}}])
        options = {"host": other.url, "api_key": other.token, "ca_cert": None}
        reading = incremental.read(client(options=options), tmp_path, FOLLOW_ALL)
        assert (reading.mode, reading.file) == ("full", tmp_path / "b/objects.snapshot")
    assert incremental.read(client(), tmp_path, FOLLOW_ALL).mode == "incremental"


def test_a_file_that_was_moved_to_another_clusters_place(
    api: ApiServer, file: Path, client: MakeClient, tmp_path: Path
) -> None:
    api.store.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "b"}}])
    (tmp_path / "b").mkdir()
    file.rename(tmp_path / "b/objects.snapshot")
    assert reason(client, tmp_path) == f"what is kept is of another cluster: {tmp_path / 'b/objects.snapshot'}"


@pytest.mark.parametrize("versions", [{"pods": "1"}, {"unheard-of": "1"}, ["pods"], "pods", None])
def test_a_snapshot_under_versions_that_are_not_its_own(
    file: Path, client: MakeClient, tmp_path: Path, versions: Any
) -> None:
    """As two runs would leave it that write their snapshots to one path: what lies between would be missed for good."""
    rewrite(file, resource_versions=versions)
    assert "is damaged" in reason(client, tmp_path)


def test_a_count_that_is_not_the_apis(api: ApiServer, file: Path, client: MakeClient, tmp_path: Path) -> None:
    """However a state came to lack an object: the next run lists."""
    _digest, _head, snapshot = file.read_bytes().split(b"\n")
    data = json.loads(snapshot)
    data["pods"].pop()
    head = file.read_bytes().split(b"\n")[1]
    rest = b"\n".join((head, json.dumps(data).encode()))
    file.write_bytes(b"\n".join((hashlib.sha256(rest).hexdigest().encode(), rest)))
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert reading.reason == f"pods: {PODS - 1} objects are known, and the API has {PODS}"
    assert dump(reading.snapshot) == dump(listing.read(client()))


def test_a_history_that_was_set_back(file: Path, client: MakeClient, tmp_path: Path) -> None:
    """A cluster that was restored from a backup has its identity still, and lower versions."""
    versions = json.loads(file.read_bytes().split(b"\n")[1])["resource_versions"]
    rewrite(file, dict.fromkeys(versions, "999999"))
    told = reason(client, tmp_path)
    assert told.count("the kept resourceVersion 999999 is newer than the API's") == len(versions)


@pytest.mark.parametrize("version", ["", "four", "-1", "٤"])
def test_versions_that_are_no_numbers(file: Path, client: MakeClient, tmp_path: Path, version: str) -> None:
    rewrite(file, {"pods": version})
    assert f"pods: the kept resourceVersion {version!r} is not a number" in reason(client, tmp_path)


@pytest.mark.parametrize("uid", ["", "..", "../../etc", "a/b", "x" * 201])
def test_an_identity_that_is_no_name_is_no_path(api: ApiServer, client: MakeClient, tmp_path: Path, uid: str) -> None:
    api.store.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": uid}}])
    assert reason(client, tmp_path).startswith("the UID of the namespace kube-system is not one: ")
    assert list(tmp_path.iterdir()) == []


def test_rights_that_do_not_tell_the_identity(api: ApiServer, client: MakeClient, tmp_path: Path) -> None:
    api.identities.add(Identity("lister", "s3cret-token", rules=(Rule(("list",), ("*",)),)))
    reading = incremental.read(client(options={"api_key": "s3cret-token"}), tmp_path, FOLLOW_ALL)
    assert reading.mode == "full"
    assert reading.reason.startswith("which cluster it is cannot be told: ")
    assert "403" in reading.reason
    assert len(reading.snapshot.pods) == PODS


def test_an_api_that_cannot_be_read_keeps_what_was_kept(
    api: ApiServer, file: Path, client: MakeClient, tmp_path: Path
) -> None:
    before = file.read_bytes()
    api.store.load([pod("new")])
    api.faults.add(Fault("status", resource="services", verb="list", code=403))
    with pytest.raises(ApiError, match=r"services: 403"):
        incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert file.read_bytes() == before
