# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blobs in ConfigMaps of a real API server: what one writer leaves another one reads, whole or not at all."""

from __future__ import annotations

import base64
import gzip
import itertools
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.configmaps import (
    LARGEST_PART,
    ConfigMapStore,
    Place,
    StoreError,
    pauses_between_tries,
)
from lab.api import ApiServer, Fault, service_account
from small_cluster import namespace

MakeClient = Callable[..., ApiClient]
MakeStore = Callable[..., ConfigMapStore]
PLACE = Place("npm-netpol-state", "production")
RBAC = Path(__file__).parents[3] / "collections/ansible_collections/npm/netpol/docs/state-rbac.yaml"
LARGE = random.Random(1).randbytes(3 * LARGEST_PART)  # noqa: S311 (nothing secret: what does not compress)


@pytest.fixture
def store(api: ApiServer, client: MakeClient) -> MakeStore:
    """Makes stores, as runs of different controllers have them. They try eight times, without a pause."""
    api.store.load([namespace(PLACE.namespace)])

    def make(pauses: Callable[[], Iterable[float]] = lambda: [0.0] * 7) -> ConfigMapStore:
        return ConfigMapStore(client(), PLACE, pauses=pauses)

    return make


def objects(api: ApiServer) -> dict[str, dict[str, Any]]:
    """The ConfigMaps of the store's namespace, by name."""
    _version, listing = api.store.listing(api.store.catalog.by_plural("configmaps"))
    names = [record.key.split("/")[1] for record in listing.ordered]
    return {name: api.store.document("configmaps", name, PLACE.namespace) for name in names}


def writes(api: ApiServer) -> list[str]:
    return [each.verb for each in api.requests.all() if each.verb in ("create", "update", "delete")]


def test_what_is_written_is_read_and_a_blob_that_is_not_there_is_none(store: MakeStore) -> None:
    assert store().read("objects") is None
    assert store().digest("objects") == ""
    for content in (b"", b"small", LARGE):
        store().write("objects", content)
        assert store().read("objects") == content
    store().write("nodes", b"other")
    assert (store().read("objects"), store().read("nodes")) == (LARGE, b"other")
    store().change("objects", lambda: None)
    assert (store().read("objects"), store().read("nodes")) == (None, b"other")


def test_no_part_is_larger_than_the_api_takes_and_nothing_is_left_of_what_was(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", LARGE)
    parts = [each for each in objects(api).values() if "binaryData" in each]
    assert len(parts) == 4
    assert max(len(each["binaryData"]["part"]) for each in parts) < 1024 * 1024
    store().write("objects", b"small")
    store().write("nodes", b"small")
    assert sorted(objects(api)) == [
        "production",
        *(f"production-{blob}-{store().digest(blob)[:12]}-0" for blob in ("nodes", "objects")),
    ]


def test_all_of_it_can_be_listed_by_labels(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", LARGE)
    labels = {
        "app.kubernetes.io/managed-by": "npm.netpol",
        "app.kubernetes.io/name": "npm-netpol-state",
        "npm.netpol/state": "production",
    }
    assert [each["metadata"]["labels"] for each in objects(api).values()] == [labels] * 5


def test_the_same_content_is_the_same_bytes_and_is_not_written_again(api: ApiServer, store: MakeStore) -> None:
    content = b"what is kept\n" * 10_000
    store().write("objects", content)
    before = objects(api)
    (part,) = (each["binaryData"]["part"] for each in before.values() if "binaryData" in each)
    compressed = base64.b64decode(part)
    assert compressed[4:8] == bytes(4), "gzip notes a time there"
    assert gzip.decompress(compressed) == content
    api.requests.clear()
    store().write("objects", content)
    assert [(each.verb, each.path) for each in api.requests.all()] == [
        ("get", "/api/v1/namespaces/npm-netpol-state/configmaps/production")
    ]
    for name in before:
        api.store.delete("configmaps", name, PLACE.namespace)
    store().write("objects", content)
    assert [each["binaryData"]["part"] for each in objects(api).values() if "binaryData" in each] == [part]


def test_parts_are_there_before_the_head_names_them_and_go_after_it_names_others(
    api: ApiServer, store: MakeStore
) -> None:
    store().write("objects", b"first")
    api.requests.clear()
    store().write("objects", b"second")
    asked = [(each.verb, each.path.rpartition("/")[2].partition("-")[2][:7]) for each in api.requests.all()]
    assert asked == [("get", ""), ("create", ""), ("update", ""), ("delete", "objects")]


def break_part(api: ApiServer, **changes: Any) -> None:
    name = next(each for each in objects(api) if each.endswith("-1"))
    api.store.apply(objects(api)[name] | changes)


def lose_part(api: ApiServer) -> None:
    api.store.delete("configmaps", next(each for each in objects(api) if each.endswith("-1")), PLACE.namespace)


def lie_in_the_head(api: ApiServer) -> None:
    head = objects(api)["production"]
    entry = head["data"]["objects"]
    digest = entry.split('"')[-2]
    # The parts' names have the first twelve digits.
    api.store.apply(head | {"data": {"objects": entry.replace(digest, digest[:12] + "0" * 52)}})


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose_part, "names a part that is not there"),
        (lambda api: break_part(api, binaryData={"part": "AAAA"}), "has a damaged state (objects)"),
        (lambda api: break_part(api, binaryData={"other": "AAAA"}), "has a damaged part: production-objects-"),
        (lambda api: break_part(api, binaryData=None), "has a damaged part: production-objects-"),
        (lie_in_the_head, "has another state (objects) than it says"),
    ],
    ids=["lost", "other bytes", "other key", "empty", "other digest"],
)
def test_a_blob_that_is_not_whole_is_none_and_the_next_writer_mends_it(
    api: ApiServer, store: MakeStore, harm: Callable[[ApiServer], None], words: str
) -> None:
    store().write("objects", LARGE)
    harm(api)
    found = store()
    with pytest.raises(StoreError) as caught:
        found.read("objects")
    assert words in str(caught.value)
    assert str(caught.value).startswith("the ConfigMap npm-netpol-state/production ")
    found.write("objects", LARGE)
    assert store().read("objects") == LARGE
    assert len(objects(api)) == 5


@pytest.mark.parametrize(
    "said", ["", "[]", "{}", '{"sha256": 1}', *(f'{{"sha256": "a", "parts": {parts}}}' for parts in ('"b"', 0, 10**9))]
)
def test_a_head_that_somebody_edited_says_nothing(api: ApiServer, store: MakeStore, said: str) -> None:
    store().write("objects", b"first")
    api.store.apply(objects(api)["production"] | {"data": {"objects": said}})
    assert store().read("objects") is None
    store().write("objects", b"second")
    assert store().read("objects") == b"second"


def test_a_config_map_of_somebody_else_is_left_as_it_is(api: ApiServer, store: MakeStore) -> None:
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"objects": "theirs"}}
    api.store.create(theirs | {"metadata": {"name": "production", "namespace": PLACE.namespace}})
    before = objects(api)
    for act in (lambda: store().read("objects"), lambda: store().write("objects", b"ours")):
        with pytest.raises(StoreError, match="is somebody else's: it has no label "):
            act()
    assert objects(api) == before


def test_what_others_have_put_on_the_head_stays(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    head = objects(api)["production"]
    metadata = head["metadata"] | {"annotations": {"team": "network"}}
    api.store.apply(head | {"metadata": metadata, "data": head["data"] | {"later-version": "x"}})
    store().write("objects", b"second")
    head = objects(api)["production"]
    assert head["metadata"]["annotations"] == {"team": "network"}
    assert head["data"]["later-version"] == "x"


def test_of_two_writers_the_last_one_stays_and_its_parts_alone(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"before")
    first, second = store(), store()
    assert first.read("objects") == second.read("objects") == b"before"
    first.write("objects", b"first")
    second.write("objects", b"second")
    assert store().read("objects") == b"second"
    assert len(objects(api)) == 2


def test_a_reader_whose_parts_a_writer_has_taken_away_reads_those_of_the_next_head(store: MakeStore) -> None:
    store().write("objects", b"before")
    reader = store()
    assert reader.digest("objects")
    store().write("objects", b"after")
    assert reader.read("objects") == b"after"
    assert store().read("nodes") is None


def test_two_writers_of_the_same_need_each_others_parts(api: ApiServer, store: MakeStore) -> None:
    first, second = store(), store()
    assert first.read("objects") is second.read("objects") is None
    first.write("objects", LARGE)
    second.write("objects", LARGE)
    assert store().read("objects") == LARGE
    assert len(objects(api)) == 5


def test_a_change_is_made_again_on_what_another_writer_has_left(api: ApiServer, store: MakeStore) -> None:
    store().write("nodes", b"0")
    ours, others = store(), store()
    seen = []

    def add() -> bytes:
        found = ours.read("nodes") or b""
        seen.append(found)
        if len(seen) == 1:
            others.write("nodes", b"5")
        return str(int(found) + 1).encode()

    ours.change("nodes", add)
    assert seen == [b"0", b"5"]
    assert store().read("nodes") == b"6"
    assert len(objects(api)) == 2


def test_a_head_that_was_deleted_meanwhile_is_made_again(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    late = store()
    assert late.digest("objects")
    for name in objects(api):
        api.store.delete("configmaps", name, PLACE.namespace)
    late.write("objects", b"second")
    assert store().read("objects") == b"second"


def test_many_writers_at_once_all_have_their_turn(api: ApiServer, store: MakeStore) -> None:
    """As the slices of a job, which begin together."""
    slices = 16
    together = threading.Barrier(slices)

    def add(number: int) -> None:
        ours = store(pauses_between_tries)
        together.wait(60)
        ours.change(
            "nodes", lambda: b"".join(sorted([*(ours.read("nodes") or b"").splitlines(True), b"%d\n" % number]))
        )

    threads = [threading.Thread(target=add, args=(number,)) for number in range(slices)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, (store().read("nodes") or b"").split())) == list(range(slices))
    assert len(objects(api)) == 2


def test_pauses_are_never_the_same_grow_and_end() -> None:
    runs = [list(pauses_between_tries()) for _run in range(50)]
    assert len({tuple(pauses) for pauses in runs}) == 50
    for pauses in runs:
        assert 50 < sum(pauses) <= 60
        assert max(pauses[:3]) < 1 < max(pauses) <= 8
        assert len(pauses) < 60


def test_writers_without_end_are_given_up(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=409))
    with pytest.raises(StoreError, match="was changed by others 8 times in a row"):
        store().write("objects", b"second")
    api.faults.clear()
    assert store().read("objects") == b"first"


@pytest.mark.parametrize("others", ["hold the head", "hold the head, and then damage it"])
def test_a_writer_that_gives_up_takes_its_parts_away(api: ApiServer, store: MakeStore, others: str) -> None:
    store().write("objects", b"first")
    before = sorted(objects(api))
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=409))
    ours = store()
    contents = itertools.count()

    def change() -> bytes:
        ours.read("objects")
        number = next(contents)
        if number == 2 and "damage" in others:
            raise StoreError("nobody can read it any more")
        return b"content %d" % number

    with pytest.raises(StoreError):
        ours.change("objects", change)
    assert sorted(objects(api)) == before
    assert ours.warnings == []


def test_who_may_not_write_deletes_nothing(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    ours = store()
    for verb in ("create", "delete"):
        api.faults.add(Fault("status", resource="configmaps", verb=verb, code=403, message=f"cannot {verb}"))
    with pytest.raises(StoreError, match="cannot create"):
        ours.write("objects", LARGE)
    assert ours.warnings == []
    assert "delete" not in writes(api)


def test_parts_stay_where_nobody_can_tell_whether_they_are_named(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    ours = store()
    assert ours.digest("objects")
    api.faults.add(Fault("status", resource="configmaps", verb="update", code=403, message="denied"))
    api.faults.add(Fault("status", resource="configmaps", verb="get", code=403, message="cannot get"))
    with pytest.raises(StoreError, match="denied"):
        ours.write("objects", LARGE)
    (warning,) = ours.warnings
    assert warning.startswith("parts that were written in vain may stay in the cluster: the ConfigMap ")
    assert len(objects(api)) == 6


def test_a_change_whose_answer_is_lost_is_made_once(api: ApiServer, store: MakeStore) -> None:
    """What it makes of its own outcome is another one: a mark goes only once."""
    store().write("nodes", b"mark")
    for verb in ("update", "create"):
        if verb == "create":
            for name in objects(api):
                api.store.delete("configmaps", name, PLACE.namespace)
        ours = store()
        seen: list[bytes | None] = []

        def change(ours: ConfigMapStore = ours, seen: list[bytes | None] = seen) -> bytes:
            seen.append(ours.read("nodes"))
            return b"record" if len(seen) == 1 else b"nothing"

        # Parts are created too, before a head is.
        api.faults.add(Fault("hangup", resource="configmaps", verb=verb, skip=verb == "create", times=1))
        ours.change("nodes", change)
        api.faults.clear()
        assert len(seen) == 1
        assert store().read("nodes") == b"record"
        assert len(objects(api)) == 2


def test_a_request_that_is_sent_again_meets_its_own_work(api: ApiServer, store: MakeStore) -> None:
    """The answer is lost, and with it what was done: parts that are there already, a head of a later version."""
    store().write("objects", b"first")
    for verb in ("create", "update"):
        api.faults.add(Fault("hangup", resource="configmaps", verb=verb, times=1))
    store().write("objects", b"second")
    assert store().read("objects") == b"second"
    assert len(objects(api)) == 2


def test_where_nobody_knows_what_was_done_nothing_is_taken_away(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    api.faults.add(Fault("cut", resource="configmaps", verb="update"))
    found = store()
    with pytest.raises(StoreError, match="the connection broke off"):
        found.write("objects", b"second")
    assert found.warnings == [
        "parts that were written in vain may stay in the cluster: nobody knows whether they are named"
    ]
    api.faults.clear()
    assert store().read("objects") == b"second"


@pytest.mark.parametrize(
    ("verb", "code", "message"),
    [
        ("create", 403, 'configmaps "production" is forbidden: exceeded quota: few'),
        ("create", 413, "Request entity too large: limit is 3145728"),
        ("create", 422, 'ConfigMap "production" is invalid'),
        ("update", 403, 'admission webhook "policy" denied the request'),
    ],
)
def test_what_is_refused_is_said_and_leaves_what_was(
    api: ApiServer, store: MakeStore, verb: str, code: int, message: str
) -> None:
    store().write("objects", b"first")
    api.faults.add(Fault("status", resource="configmaps", verb=verb, code=code, message=message))
    with pytest.raises(StoreError) as caught:
        store().write("objects", LARGE)
    assert str(caught.value).startswith("the ConfigMap npm-netpol-state/production is of no use: ")
    assert message in str(caught.value)
    api.faults.clear()
    assert store().read("objects") == b"first"
    assert len(objects(api)) == 2


def test_a_part_that_may_not_be_deleted_is_a_warning(api: ApiServer, store: MakeStore) -> None:
    store().write("objects", b"first")
    api.faults.add(Fault("status", resource="configmaps", verb="delete", code=403, message="cannot delete"))
    found = store()
    found.write("objects", b"second")
    (warning,) = found.warnings
    assert warning.startswith("a part of a former state stays in the cluster: the ConfigMap npm-netpol-state/")
    assert store().read("objects") == b"second"


def test_a_namespace_that_is_not_there_is_named(client: MakeClient) -> None:
    with pytest.raises(StoreError, match=r'namespaces "npm-netpol-state" not found .*docs/state-rbac\.yaml'):
        ConfigMapStore(client(), PLACE).write("objects", b"x")


def test_the_manifest_gives_the_rights_that_are_needed_and_no_others(api: ApiServer, client: MakeClient) -> None:
    documents = yaml.safe_load(RBAC.read_text())["items"]
    api.store.load([each for each in documents if each["kind"] == "Namespace"])
    identity = service_account(documents, "npm-netpol", "npm-netpol-reader")
    api.identities.add(identity)
    allowed = ConfigMapStore(client(options={"api_key": identity.token}), PLACE)
    for content in (b"first", b"second"):
        allowed.write("objects", content)
    assert allowed.read("objects") == b"second"
    assert allowed.warnings == []
    assert set(writes(api)) == {"create", "update", "delete"}
    elsewhere = ConfigMapStore(client(options={"api_key": identity.token}), Place("kube-system", "production"))
    with pytest.raises(StoreError, match=r'cannot get resource "configmaps" .*docs/state-rbac\.yaml makes'):
        elsewhere.read("objects")


@pytest.mark.parametrize(
    "text",
    ["", "name", "a/b/c", "/name", "a/", "A/b", "a/b_c", "a/-b", "a/b-", "a/" + "b" * 64, "a.b/c", "a/b.c", "a/b\n"],
)
def test_a_place_has_a_namespace_and_a_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAMESPACE/NAME"):
        Place.of(text)


def test_a_place_is_written_as_it_is_read() -> None:
    assert Place.of("npm-netpol-state/production") == PLACE
    assert str(PLACE) == "npm-netpol-state/production"
