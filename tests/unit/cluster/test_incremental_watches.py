# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches that break off, end early, are refused or say what does not fit: followed if possible, else listed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import incremental, listing
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.incremental import Reading
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import dump
from lab.api import ApiServer, Fault, Identity, Rule
from small_cluster import FOLLOW_ALL, cluster, pod

MakeClient = Callable[..., ApiClient]
Read = Callable[..., Reading]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(tls=True, bookmark_seconds=0.05) as server:
        server.store.load(cluster())
        yield server


@pytest.fixture
def read(api: ApiServer, client: MakeClient, tmp_path: Path) -> Read:
    """Reads what changed after a first reading: one pod. What comes out is always what a full reading gives."""
    first = incremental.read(client(), tmp_path, FOLLOW_ALL)
    first.keep(dump(first.snapshot).encode())
    api.store.load([pod("new")])
    api.requests.clear()

    def run(**options: str) -> Reading:
        reading = incremental.read(client(options=options), tmp_path, FOLLOW_ALL)
        watched = [each for each in api.requests.all() if each.verb == "watch" and each.resource == "pods"]
        api.faults.clear()
        assert dump(reading.snapshot) == dump(listing.read(client()))
        run.watches = len(watched)  # type: ignore[attr-defined]
        return reading

    return run


def why_listed(reading: Reading) -> str:
    """Pods alone were listed, for this reason."""
    assert reading.mode == "incremental"
    resource, _colon, reason = reading.reason.partition(": ")
    assert resource == "pods"
    assert "; " not in reason
    return reason


def test_a_watch_that_breaks_off_is_tried_once_more(api: ApiServer, read: Read) -> None:
    api.faults.add(Fault("cut", resource="pods", verb="watch", times=1))
    reading = read()
    assert (reading.reason, reading.events) == ("", 1)
    assert read.watches == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["cut", "end"])
def test_it_goes_on_from_where_it_came(api: ApiServer, read: Read, kind: str) -> None:
    """The first watch tells one change of two."""
    told = api.store.document("pods", "new", "shop")["metadata"]["resourceVersion"]
    api.store.load([pod("newer")])
    api.faults.add(Fault(kind, resource="pods", verb="watch", times=1, after_bytes=1))
    reading = read()
    assert (reading.reason, reading.events) == ("", 2)
    watches = [each for each in api.requests.all() if each.verb == "watch" and each.resource == "pods"]
    assert [each.query["resourceVersion"] == told for each in watches] == [False, True]


def test_a_server_that_sends_no_bookmarks_is_listed(api: ApiServer, read: Read) -> None:
    """It tells the change, but not that nothing else happened since."""
    api.store.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}])
    api.faults.add(Fault("end", resource="pods", verb="watch", times=1, after_bytes=1))
    api.faults.add(Fault("end", resource="pods", verb="watch"))
    assert why_listed(read()).startswith("the watch ended before it had told all up to resourceVersion ")
    assert read.watches == 2  # type: ignore[attr-defined]


def test_a_server_that_does_not_know_how_far_it_has_come_is_asked_once(api: ApiServer, read: Read) -> None:
    """As before about Kubernetes 1.33, where nothing changes: the watch ends in order, without a word."""
    api.faults.add(Fault("end", resource="services", verb="watch"))
    reading = read()
    assert (reading.mode, reading.events) == ("incremental", 1)
    assert reading.reason.startswith("services: the watch ended before it had told all up to resourceVersion ")
    watched = [each.resource for each in api.requests.all() if each.verb == "watch"]
    assert watched.count("services") == 1


def test_one_that_breaks_off_again_is_listed(api: ApiServer, read: Read) -> None:
    api.faults.add(Fault("cut", resource="pods", verb="watch"))
    assert why_listed(read()).startswith("the watch broke off: ")
    assert read.watches == 2  # type: ignore[attr-defined]


def test_one_that_ends_in_the_middle_of_a_line(api: ApiServer, read: Read) -> None:
    api.faults.add(Fault("truncate", resource="pods", verb="watch"))
    assert "in the middle of a line" in why_listed(read())
    assert read.watches == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", [403, 404, 405, 410, 400])
def test_a_watch_that_is_refused(api: ApiServer, read: Read, code: int) -> None:
    api.faults.add(Fault("status", resource="pods", verb="watch", code=code))
    reason = why_listed(read())
    assert reason.startswith("the watch was refused: ")
    assert str(code) in reason
    assert read.watches == 1  # type: ignore[attr-defined]


def test_a_server_that_is_busy_is_asked_again(api: ApiServer, read: Read, pauses: list[float]) -> None:
    api.faults.add(Fault("status", resource="pods", verb="watch", code=429, retry_after=3, times=1))
    assert read().reason == ""
    assert len(pauses) == 1
    assert 3 <= pauses[0] <= 3.75


def test_a_server_without_watches_is_listed_whole(api: ApiServer, read: Read) -> None:
    api.faults.add(Fault("status", verb="watch", code=405))
    reading = read()
    assert reading.mode == "full"
    assert reading.reason.count("the watch was refused: ") == 5


def test_a_role_without_watch_is_told(api: ApiServer, read: Read) -> None:
    api.identities.add(Identity("lister", "s3cret-token", rules=(Rule(("get", "list"), ("*",)),)))
    reading = read(api_key="s3cret-token")
    assert reading.mode == "full"
    assert "the collection's docs/rbac.yaml has the rights that are needed" in reading.reason


def test_credentials_that_are_refused_end_the_run(api: ApiServer, read: Read) -> None:
    api.faults.add(Fault("status", resource="pods", verb="watch", code=401))
    with pytest.raises(ApiError, match="401"):
        read()


def test_a_history_that_is_forgotten(api: ApiServer, read: Read) -> None:
    api.store.compact()
    reading = read()
    assert reading.mode == "full"
    assert reading.reason.count("the API ended the watch: 410 too old resource version") == 5


POD = {"kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop", "resourceVersion": "{next}"}}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<html>", "a line of the watch is not JSON"),
        ("", "a line of the watch is not JSON"),
        ("7", "a line of the watch is no event: its type is None"),
        ({"type": "RENAMED", "object": POD}, "a line of the watch is no event: its type is 'RENAMED'"),
        ({"type": "ADDED"}, "a line of the watch is no event: its type is 'ADDED'"),
        ({"type": "MODIFIED", "object": POD | {"kind": "Node"}}, "an event is about 'Node'"),
        ({"type": "MODIFIED", "object": {"kind": "Pod"}}, "an event's resourceVersion None is not a number"),
        ({"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": {}}}, "an event's resourceVersion None is not"),
        ({"type": "ERROR", "object": {"code": 500, "message": "etcd"}}, "the API ended the watch: 500 etcd"),
        ({"type": "ADDED", "object": POD}, "shop/web-0 is ADDED, and was there before"),
        (
            {"type": "DELETED", "object": POD | {"metadata": POD["metadata"] | {"name": "x"}}},  # type: ignore[operator]
            "shop/x is DELETED, and was not there before",
        ),
        (
            {"type": "MODIFIED", "object": POD | {"metadata": {"name": "web-0", "resourceVersion": "1"}}},
            "an event of resourceVersion 1 came after",
        ),
    ],
)
def test_what_does_not_fit_is_never_passed_over(api: ApiServer, read: Read, line: object, reason: str) -> None:
    text = line if isinstance(line, str) else json.dumps(line)
    text = text.replace("{next}", api.store.document("pods", "new", "shop")["metadata"]["resourceVersion"])
    api.faults.add(Fault("line", resource="pods", verb="watch", times=1, message=text))
    assert why_listed(read()).startswith(reason)


def test_an_object_without_an_identity_ends_the_run(api: ApiServer, read: Read) -> None:
    version = api.store.document("pods", "new", "shop")["metadata"]["resourceVersion"]
    bad = {"kind": "Pod", "metadata": {"name": "UP/..", "resourceVersion": version}}
    message = json.dumps({"type": "ADDED", "object": bad})
    api.faults.add(Fault("line", resource="pods", verb="watch", times=1, message=message))
    with pytest.raises(ApiError, match=r"api/v1/pods: a Pod has a metadata.name that no object can have"):
        read()


def test_a_quiet_resource_waits_for_the_bookmark_that_comes_before_the_end(client: MakeClient, tmp_path: Path) -> None:
    """A server as real ones are, which send one every minute and two seconds before a watch's end."""
    with ApiServer(bookmark_seconds=60) as server:
        server.store.load(cluster())
        options = {"host": server.url, "api_key": server.token, "ca_cert": None}
        first = incremental.read(client(options=options), tmp_path, FOLLOW_ALL)
        first.keep(dump(first.snapshot).encode())
        server.store.load([pod("new")])
        server.requests.clear()
        reader = client(options=options)
        reading = incremental.read(reader, tmp_path, FOLLOW_ALL)
        assert (reading.mode, reading.reason, reading.events) == ("incremental", "", 1)
        watches = [each for each in server.requests.all() if each.verb == "watch"]
        assert sorted(each.resource for each in watches) == [
            "namespaces",
            "networkpolicies",
            "nodes",
            "pods",
            "services",
        ]
        assert {each.query["timeoutSeconds"] for each in watches} == {"3"}
        assert {each.query["allowWatchBookmarks"] for each in watches} == {"true"}
