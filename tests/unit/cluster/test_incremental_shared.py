# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is kept of a cluster in the cluster: any controller's reading goes on from it, and gives what a list gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import incremental, kept, listing
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.configmaps import ConfigMapStore, Place, StoreError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.incremental import Reading
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import dump
from churn import Churn
from lab.api import ApiServer, Fault
from small_cluster import FOLLOW_ALL, cluster, namespace, pod

MakeClient = Callable[..., ApiClient]
PLACE = Place("npm-netpol-state", "production")
HEAD = "/api/v1/namespaces/npm-netpol-state/configmaps/production"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """One whose bookmarks come soon, so that many rounds take no time."""
    with ApiServer(tls=True, bookmark_seconds=0.02) as server:
        server.store.load([*cluster(), namespace(PLACE.namespace)])
        yield server


@pytest.fixture
def begin(client: MakeClient) -> Callable[..., Reading]:
    """A run that has read, and has kept nothing yet. ``directory``: None for a container that is new.

    It tries eight times to keep it, without a pause.
    """

    def read(directory: Path | None = None) -> Reading:
        made = client()
        return incremental.read(
            made, directory, FOLLOW_ALL, store=ConfigMapStore(made, PLACE, pauses=lambda: [0.0] * 7)
        )

    return read


def end(reading: Reading) -> str:
    """What is wrong with the store, if anything."""
    content = dump(reading.snapshot).encode()
    reading.keep(content)
    try:
        reading.share(content)
    except StoreError as error:
        return str(error)
    return ""


@pytest.fixture
def read(begin: Callable[..., Reading], client: MakeClient) -> Callable[..., Reading]:
    """One whole run; compares with a full reading of the server, which nobody changes meanwhile."""

    def run(directory: Path | None = None) -> Reading:
        reading = begin(directory)
        assert dump(reading.snapshot) == dump(listing.read(client()))
        end(reading)
        return reading

    return run


Read = Callable[..., Reading]


def configmaps(api: ApiServer) -> list[str]:
    _version, found = api.store.listing(api.store.catalog.by_plural("configmaps"))
    return [record.key.split("/")[1] for record in found.ordered]


def about_configmaps(api: ApiServer) -> list[tuple[str, str]]:
    return [(each.verb, each.path) for each in api.requests.all() if each.resource == "configmaps"]


def test_the_next_container_goes_on_where_the_last_one_was(api: ApiServer, read: Read) -> None:
    first = read()
    assert first.mode == "full"
    place = "the ConfigMap npm-netpol-state/production"
    assert first.reason == f"nothing is kept of this cluster yet: {place} has no state of it"
    api.store.load([pod("new")])
    second = read()
    assert (second.mode, second.reason, second.events, second.warnings) == ("incremental", "", 1, ())


def test_where_nothing_has_changed_the_head_is_read_and_nothing_is_written(
    api: ApiServer, begin: Read, read: Read, tmp_path: Path
) -> None:
    """Although versions have: the state's own ConfigMaps are objects too."""
    read(tmp_path)
    (part,) = (name for name in configmaps(api) if "-objects-" in name)
    for directory, asked in ((tmp_path, [HEAD]), (None, [HEAD, f"{HEAD}{part.removeprefix('production')}"])):
        for _again in range(2):
            api.requests.clear()
            reading = begin(directory)
            assert end(reading) == ""
            assert (reading.mode, reading.reason, reading.events) == ("incremental", "", 0)
            assert about_configmaps(api) == [("get", path) for path in asked]


def test_of_two_controllers_each_takes_what_the_other_has_left(api: ApiServer, read: Read, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    read(ours)
    for directory in (theirs, ours, theirs):
        api.store.load([pod(directory.name, address="10.9.0.1"), pod("between")])
        reading = read(directory)
        assert (reading.mode, reading.events) == ("incremental", 2)
    assert len(configmaps(api)) == 2


def test_a_file_that_is_there_serves_as_long_as_the_store_has_none(api: ApiServer, read: Read, tmp_path: Path) -> None:
    read(tmp_path)
    for name in configmaps(api):
        api.store.delete("configmaps", name, PLACE.namespace)
    assert read(tmp_path).mode == "incremental"
    assert read().mode == "incremental"


def lose_a_part(api: ApiServer) -> None:
    api.store.delete("configmaps", next(each for each in configmaps(api) if "-objects-" in each), PLACE.namespace)


def damage_a_part(api: ApiServer) -> None:
    name = next(each for each in configmaps(api) if "-objects-" in each)
    part = api.store.document("configmaps", name, PLACE.namespace)
    api.store.apply(part | {"binaryData": {"part": "AAAA"}})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose_a_part, "names a part that is not there: production-objects-"),
        (damage_a_part, "has a damaged state (objects)"),
    ],
)
def test_what_is_not_whole_is_no_state_and_is_mended(
    api: ApiServer, read: Read, tmp_path: Path, harm: Callable[[ApiServer], None], words: str
) -> None:
    read(tmp_path)
    harm(api)
    reading = read()
    assert reading.mode == "full"
    assert words in reading.reason
    (warning,) = reading.warnings
    assert warning == f"what is kept in the cluster was not used: {reading.reason}"
    assert read().mode == "incremental"
    harm(api)
    with_file = read(tmp_path)
    assert (with_file.mode, len(with_file.warnings)) == ("incremental", 1)
    assert read().mode == "incremental"


def test_a_state_of_another_cluster_or_of_another_version_is_none(
    api: ApiServer, read: Read, client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = read()
    content = dump(reading.snapshot).encode()
    where = "the ConfigMap npm-netpol-state/production"
    ConfigMapStore(client(), PLACE).write("objects", kept.encode(content, reading.versions, "another", reading.newest))
    assert read().reason == f"what is kept is of another cluster: {where}"
    with monkeypatch.context() as context:
        context.setattr(kept, "projection", lambda: "another")
        ConfigMapStore(client(), PLACE).write(
            "objects", kept.encode(content, reading.versions, reading.snapshot.cluster.uid, reading.newest)
        )
    assert read().reason == f"what is kept is from another version of the collection, or of Python: {where}"
    assert read().mode == "incremental"


@pytest.mark.parametrize("verb", ["get", "create", "update"])
def test_rights_that_are_missing_cost_the_state_and_not_the_reading(
    api: ApiServer, begin: Read, read: Read, verb: str, tmp_path: Path
) -> None:
    read(tmp_path)
    api.store.load([pod("new")])
    message = f'configmaps is forbidden: User "x" cannot {verb} resource "configmaps"'
    api.faults.add(Fault("status", resource="configmaps", verb=verb, code=403, message=message))
    reading = begin(tmp_path)
    said = " ".join(reading.warnings) + end(reading)
    assert reading.mode == "incremental"
    assert message in said
    assert "docs/state-rbac.yaml" in said
    api.faults.clear()
    assert read().mode == "incremental"


def test_two_runs_at_once_leave_a_state_of_one_of_them(api: ApiServer, begin: Read, read: Read) -> None:
    read()
    api.store.load([pod("of-both")])
    first = begin()
    api.store.load([pod("new")])
    second = begin()
    assert end(second) == ""
    assert end(first) == ""
    assert len(configmaps(api)) == 2
    third = read()
    assert (third.mode, third.events) == ("incremental", 1)


def test_config_maps_are_no_part_of_a_snapshot(api: ApiServer, read: Read) -> None:
    read()
    api.requests.clear()
    assert "production" not in dump(read().snapshot)
    assert "list" not in [verb for verb, _path in about_configmaps(api)]
    assert "watch" not in [verb for verb, _path in about_configmaps(api)]


def test_a_cluster_that_cannot_be_told_has_no_state(api: ApiServer, begin: Read) -> None:
    api.store.load([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": ".."}}])
    reading = begin()
    assert end(reading) == ""
    assert reading.reason.startswith("the UID of the namespace kube-system is not one: ")
    assert about_configmaps(api) == []


@pytest.mark.parametrize("seed", range(4))
def test_controllers_and_faults_at_random_change_how_it_is_read_and_never_what(
    api: ApiServer, begin: Read, read: Read, client: MakeClient, seed: int, tmp_path: Path
) -> None:
    choose = random.Random(seed)  # noqa: S311 (a test's dice)
    churn = Churn(api.store, seed)
    controllers = (tmp_path / "first", tmp_path / "second", None)
    modes = []
    read()
    for _round in range(25):
        churn.round()
        verb = choose.choice(["get", "create", "update", "delete"])
        match choose.randrange(7):
            case 0:
                lose_a_part(api) if len(configmaps(api)) > 1 else None
            case 1:
                damage_a_part(api) if len(configmaps(api)) > 1 else None
            case 2:
                api.faults.add(Fault("status", resource="configmaps", verb=verb, code=choose.choice([403, 409, 503])))
            case 3:
                api.faults.add(Fault("hangup", resource="configmaps", verb=verb, times=2))
            case 4:
                late = begin(choose.choice(controllers))
                churn.round()
                read(choose.choice(controllers))
                end(late)
            case 5:
                api.store.compact()
        modes.append(read(choose.choice(controllers)).mode)
        api.faults.clear()
    assert modes.count("incremental") > 10
