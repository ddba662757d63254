# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches by the official client: where they start, what they say, and how they end."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from lab.api import ApiServer
from urllib3.exceptions import ProtocolError


def pod(name: str, namespace: str = "default", **labels: str) -> dict:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}


def lines(core: client.CoreV1Api, **options: object) -> Iterator[dict]:
    answer = core.list_pod_for_all_namespaces(watch=True, _preload_content=False, **options)
    text = b""
    for part in answer.stream():
        text += part
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            yield json.loads(line)


def told(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def test_a_watch_from_a_version_tells_what_came_after(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("old")])
    start = api.store.resource_version
    api.store.create(pod("a"))
    api.store.patch("pods", "a", {"metadata": {"labels": {"x": "1"}}}, "default")
    api.store.delete("pods", "a", "default")
    seen = list(lines(core, resource_version=str(start), timeout_seconds=1))
    assert told(seen) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert [int(event["object"]["metadata"]["resourceVersion"]) for event in seen] == [start + 1, start + 2, start + 3]
    assert all(event["object"]["kind"] == "Pod" for event in seen)


def test_the_official_watch_meets_objects_and_changes_while_it_runs(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("old")])
    started = threading.Event()

    def change() -> None:
        started.wait(10)
        api.store.create(pod("new"))

    thread = threading.Thread(target=change)
    thread.start()
    stream, seen = watch.Watch(), []
    for event in stream.stream(core.list_pod_for_all_namespaces, timeout_seconds=20):
        seen.append((event["type"], event["object"].metadata.name))
        started.set()
        if len(seen) == 2:
            stream.stop()
    thread.join()
    assert seen == [("ADDED", "old"), ("ADDED", "new")]


def test_bookmarks_come_when_asked_for_and_last(api: ApiServer, core: client.CoreV1Api) -> None:
    start = str(api.store.resource_version)
    api.store.create(pod("a"))
    quiet = list(lines(core, resource_version=start, timeout_seconds=1))
    assert told(quiet) == [("ADDED", "a")]
    seen = list(lines(core, resource_version=start, timeout_seconds=1, allow_watch_bookmarks=True))
    assert [event["type"] for event in seen[:2]] == ["ADDED", "BOOKMARK"]
    assert seen[-1]["type"] == "BOOKMARK"
    assert seen[-1]["object"]["kind"] == "Pod"
    assert seen[-1]["object"]["metadata"]["resourceVersion"] == str(api.store.resource_version)


def test_a_bookmark_comes_two_seconds_before_the_end() -> None:
    with ApiServer() as api:
        configuration = client.Configuration(host=api.url)
        configuration.api_key = {"authorization": f"Bearer {api.token}"}
        core = client.CoreV1Api(client.ApiClient(configuration))
        options: dict[str, object] = {
            "resource_version": str(api.store.resource_version),
            "allow_watch_bookmarks": True,
        }
        # The second of two is the last line; a watch of two seconds is too short for more than that.
        assert [event["type"] for event in lines(core, timeout_seconds=3, **options)] == ["BOOKMARK", "BOOKMARK"]
        assert [event["type"] for event in lines(core, timeout_seconds=2, **options)] == ["BOOKMARK"]


def test_a_bookmark_counts_changes_of_other_resources(api: ApiServer, core: client.CoreV1Api) -> None:
    start = api.store.resource_version
    api.store.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    stream = lines(core, resource_version=str(start), timeout_seconds=10, allow_watch_bookmarks=True)
    assert int(next(stream)["object"]["metadata"]["resourceVersion"]) == start + 1


def test_initial_events_end_with_a_marked_bookmark(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a"), pod("b")])
    stream = lines(
        core,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        allow_watch_bookmarks=True,
        timeout_seconds=10,
    )
    seen = [next(stream) for _ in range(3)]
    assert told(seen[:2]) == [("ADDED", "a"), ("ADDED", "b")]
    assert seen[2]["type"] == "BOOKMARK"
    assert seen[2]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_forgotten_version_is_an_error_event_with_410(api: ApiServer, core: client.CoreV1Api) -> None:
    start = str(api.store.resource_version)
    api.store.create(pod("a"))
    api.store.compact()
    (event,) = list(lines(core, resource_version=start, timeout_seconds=5))
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(ApiException) as caught:
        list(watch.Watch().stream(core.list_pod_for_all_namespaces, resource_version=start, timeout_seconds=5))
    assert caught.value.status == 410


def test_compacting_does_not_end_a_watch_that_is_up_to_date(api: ApiServer, core: client.CoreV1Api) -> None:
    stream = lines(core, resource_version=str(api.store.resource_version), timeout_seconds=10)
    api.store.create(pod("a"))
    assert told([next(stream)]) == [("ADDED", "a")]


def test_an_object_that_starts_or_stops_matching_is_added_or_deleted(api: ApiServer, core: client.CoreV1Api) -> None:
    start = str(api.store.resource_version)
    api.store.create(pod("a", app="x"))
    for value in ("web", "web2", "web"):
        api.store.patch("pods", "a", {"metadata": {"labels": {"app": value}}}, "default")
    api.store.delete("pods", "a", "default")
    seen = list(lines(core, resource_version=start, label_selector="app=web", timeout_seconds=1))
    assert [event["type"] for event in seen] == ["ADDED", "DELETED", "ADDED", "DELETED"]


def test_a_watch_of_one_namespace_is_silent_about_others(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a", "shop"), pod("b", "shop-2")])
    events = watch.Watch().stream(core.list_namespaced_pod, "shop", timeout_seconds=1)
    assert [event["object"].metadata.name for event in events] == ["a"]


def test_stopping_the_server_ends_its_watches(core: client.CoreV1Api, api: ApiServer) -> None:
    api.store.load([pod("a")])
    stream = lines(core, timeout_seconds=60)
    next(stream)
    api.stop()
    with contextlib.suppress(ProtocolError):  # the stream's proper end may or may not be sent in time
        assert list(stream) == []
