# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists by the official client: pages of one state, resourceVersions, selectors, and what expired tokens answer."""

from __future__ import annotations

import json

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from lab.api import ApiServer


def pod(name: str, namespace: str = "default", node: str = "n1", phase: str = "Running", **labels: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "registry.invalid/i"}]},
        "status": {"phase": phase},
    }


def raw(core: client.CoreV1Api, **options: object) -> dict:
    return json.loads(core.list_pod_for_all_namespaces(_preload_content=False, **options).data)


def names(page: dict) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


@pytest.fixture
def ten(api: ApiServer) -> ApiServer:
    api.store.load(pod(f"p{number}") for number in range(10))
    return api


@pytest.mark.usefixtures("ten")
def test_pages_have_each_object_once_and_one_resource_version(core: client.CoreV1Api) -> None:
    seen, versions, token, remaining = [], set(), "", []
    while True:
        page = raw(core, limit=4, **({"_continue": token} if token else {}))
        seen += names(page)
        versions.add(page["metadata"]["resourceVersion"])
        remaining.append(page["metadata"].get("remainingItemCount"))
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == [f"p{number}" for number in range(10)]
    assert len(versions) == 1
    assert remaining == [6, 2, None]


def test_later_pages_show_the_state_of_the_first(ten: ApiServer, core: client.CoreV1Api) -> None:
    first = raw(core, limit=4)
    ten.store.delete("pods", "p5", "default")
    ten.store.patch("pods", "p6", {"metadata": {"labels": {"new": "1"}}}, "default")
    ten.store.load([pod("p55")])
    second = raw(core, limit=20, _continue=first["metadata"]["continue"])
    assert names(second) == ["p4", "p5", "p6", "p7", "p8", "p9"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not any("new" in item["metadata"].get("labels", {}) for item in second["items"])
    now = raw(core)
    assert names(now) == ["p0", "p1", "p2", "p3", "p4", "p55", "p6", "p7", "p8", "p9"]


def test_an_expired_token_answers_410_with_one_that_mixes_states(ten: ApiServer, core: client.CoreV1Api) -> None:
    token = raw(core, limit=4)["metadata"]["continue"]
    ten.store.compact()
    ten.store.delete("pods", "p5", "default")
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(limit=4, _continue=token)
    status = json.loads(caught.value.body)
    assert (caught.value.status, status["reason"], status["code"]) == (410, "Expired", 410)
    mixed = raw(core, _continue=status["metadata"]["continue"])
    assert names(mixed) == ["p4", "p6", "p7", "p8", "p9"]
    assert mixed["metadata"]["resourceVersion"] == str(ten.store.resource_version)


def test_a_token_nobody_gave_is_a_bad_request(core: client.CoreV1Api) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(_continue="bm90IGpzb24")
    assert caught.value.status == 400


@pytest.mark.usefixtures("ten")
def test_a_continued_list_refuses_a_resource_version(core: client.CoreV1Api) -> None:
    page = raw(core, limit=4)
    version = page["metadata"]["resourceVersion"]
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(limit=4, _continue=page["metadata"]["continue"], resource_version=version)
    assert caught.value.status == 400


@pytest.mark.usefixtures("ten")
def test_any_version_ignores_the_limit_as_the_watch_cache_does(core: client.CoreV1Api) -> None:
    assert len(raw(core, limit=4, resource_version="0")["items"]) == 10


def test_exact_versions_show_the_past_until_it_is_compacted(ten: ApiServer, core: client.CoreV1Api) -> None:
    before = ten.store.resource_version
    ten.store.delete("pods", "p0", "default")
    exact = {"resource_version": str(before), "resource_version_match": "Exact"}
    assert len(raw(core, **exact)["items"]) == 10
    assert len(raw(core, resource_version=str(before), resource_version_match="NotOlderThan")["items"]) == 9
    ten.store.compact()
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(**exact)
    assert caught.value.status == 410


def test_a_version_of_the_future_is_a_timeout_that_says_so(ten: ApiServer, core: client.CoreV1Api) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(resource_version=str(ten.store.resource_version + 100))
    status = json.loads(caught.value.body)
    assert caught.value.status == 504
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_namespaces_that_begin_alike_are_kept_apart(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load(pod("x", namespace) for namespace in ("a", "a-b", "ab", "a.b"))
    assert [item.metadata.namespace for item in core.list_namespaced_pod("a").items] == ["a"]
    token, found = "", []
    while True:
        page = raw(core, limit=1, **({"_continue": token} if token else {}))
        found += [item["metadata"]["namespace"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert sorted(found) == ["a", "a-b", "a.b", "ab"]


def test_items_of_built_in_kinds_have_no_kind_of_their_own(ten: ApiServer, core: client.CoreV1Api) -> None:
    page = raw(core)
    assert (page["kind"], page["apiVersion"]) == ("PodList", "v1")
    assert not {"kind", "apiVersion"} & set(page["items"][0])
    assert ten.store.document("pods", "p0", "default")["kind"] == "Pod"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=web", ["a"]),
        ("app==web", ["a"]),
        ("app!=web", ["b", "c"]),
        ("app", ["a", "b"]),
        ("!app", ["c"]),
        ("app in (web, db),tier", ["b"]),
        ("app notin (web)", ["b", "c"]),
        ("rank>1", ["b"]),
        ("rank<2", ["a"]),
        ("app in (web),app notin (web)", []),
        ("example.com/x=y", ["c"]),
    ],
)
def test_label_selectors(api: ApiServer, core: client.CoreV1Api, selector: str, expected: list[str]) -> None:
    api.store.load(
        [
            pod("a", app="web", rank="1"),
            pod("b", app="db", tier="", rank="2"),
            pod("c", **{"example.com/x": "y"}),
        ]
    )
    assert names(raw(core, label_selector=selector)) == expected


@pytest.mark.parametrize(
    "selector", ["app in", "app in ()", "=web", "a b", "app in (web", "a,,b", "a=b c", "rank>x", "?"]
)
def test_label_selectors_that_cannot_be_read(core: client.CoreV1Api, selector: str) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(label_selector=selector)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("spec.nodeName=n1", ["a"]),
        ("spec.nodeName!=n1", ["b", "c"]),
        ("spec.nodeName=", ["c"]),
        ("status.phase=Running,spec.nodeName=n2", ["b"]),
        ("metadata.name=c", ["c"]),
        ("metadata.namespace=default", ["a", "b", "c"]),
        ("metadata.namespace!=default", []),
    ],
)
def test_field_selectors(api: ApiServer, core: client.CoreV1Api, selector: str, expected: list[str]) -> None:
    api.store.load([pod("a", node="n1"), pod("b", node="n2"), pod("c", node="", phase="Pending")])
    assert names(raw(core, field_selector=selector)) == expected


def test_a_field_that_pods_are_not_selected_by(core: client.CoreV1Api) -> None:
    with pytest.raises(ApiException) as caught:
        core.list_pod_for_all_namespaces(field_selector="spec.color=red")
    assert caught.value.status == 400


def test_a_selected_list_ends_with_an_empty_page_when_no_more_match(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a", app="x"), pod("b", app="x"), pod("c")])
    first = raw(core, limit=2, label_selector="app=x")
    assert names(first) == ["a", "b"]
    assert "remainingItemCount" not in first["metadata"]
    last = raw(core, limit=2, label_selector="app=x", _continue=first["metadata"]["continue"])
    assert last["items"] == []
    assert "continue" not in last["metadata"]


def test_large_answers_are_compressed_for_who_asks(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load(pod(f"p{number}", filler="x" * 60) for number in range(1500))
    answer = core.list_pod_for_all_namespaces(
        _preload_content=False, _headers={"Accept-Encoding": "gzip", "Accept": "application/json"}
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(json.loads(answer.data)["items"]) == 1500
    plain = core.list_pod_for_all_namespaces(_preload_content=False)
    assert "Content-Encoding" not in plain.headers
