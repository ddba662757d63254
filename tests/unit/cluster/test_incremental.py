# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A snapshot from the last one and what changed since: to the byte what a full reading of the same server gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import incremental, listing
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.incremental import Reading
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import dump
from churn import Churn
from lab.api import ApiServer, Fault
from small_cluster import FOLLOW_ALL, PODS, cluster, namespace, pod, policy

MakeClient = Callable[..., ApiClient]
RESOURCES = ("namespaces", "pods", "nodes", "services", "networkpolicies")


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """One whose bookmarks come soon, so that many rounds take no time."""
    with ApiServer(tls=True, bookmark_seconds=0.02) as server:
        server.store.load(cluster())
        yield server


Read = Callable[..., Reading]


@pytest.fixture
def read(client: MakeClient, tmp_path: Path) -> Read:
    """One run: reads and keeps, and compares with a full reading of the server, which nobody changes meanwhile."""

    def run(page_size: int = FOLLOW_ALL) -> Reading:
        reading = incremental.read(client(), tmp_path, page_size)
        assert dump(reading.snapshot) == dump(listing.read(client()))
        reading.keep(dump(reading.snapshot).encode())
        return reading

    return run


def asked(api: ApiServer) -> list[tuple[str, str]]:
    """Verb and resource of each request, discovery left out."""
    return [(each.verb, each.resource) for each in api.requests.all() if each.resource]


def test_the_first_reading_is_a_full_one_and_the_second_is_not(api: ApiServer, read: Read) -> None:
    first = read()
    assert (first.mode, first.events) == ("full", 0)
    assert first.reason.startswith("nothing is kept of this cluster yet: ")
    api.store.load([pod("new")])
    second = read()
    assert (second.mode, second.reason, second.events) == ("incremental", "", 1)
    assert len(second.snapshot.pods) == PODS + 1


def test_a_first_reading_asks_for_no_more_than_a_full_one_but_the_identity(
    api: ApiServer, client: MakeClient, tmp_path: Path
) -> None:
    incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert asked(api) == [("get", "namespaces"), *(("list", each) for each in RESOURCES)]


def test_an_unchanged_cluster_costs_at_most_three_requests_a_resource(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    read()
    api.requests.clear()
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    # The counter of this server has not moved at all: there is nothing to wait for.
    assert asked(api) == [("get", "namespaces"), *(("list", each) for each in RESOURCES)]
    assert {each.query["limit"] for each in api.requests.all() if each.verb == "list"} == {"1"}
    api.store.catalog.serve(["clusternetworkpolicies"])
    read()
    # Of a real one it always moves: something that is none of ours.
    api.store.compact()
    read()
    api.store.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}])
    api.requests.clear()
    reader = client()
    reading = incremental.read(reader, tmp_path, FOLLOW_ALL)
    every = (*RESOURCES, "clusternetworkpolicies")
    assert (reading.mode, reading.reason, reading.events) == ("incremental", "", 0)
    assert sorted(asked(api)) == sorted(
        [
            ("get", "namespaces"),
            *((verb, each) for each in every for verb in ("list", "watch")),
            # Of the last there is no object to know the history by.
            *(("get", each) for each in RESOURCES),
        ]
    )
    assert reader.requests == 1 + 2 + 3 * len(every) - 1  # the identity, discovery, and three a resource


def test_a_cluster_whose_resources_fit_a_page_is_listed_and_not_kept(
    api: ApiServer, client: MakeClient, tmp_path: Path
) -> None:
    """One request a resource: no other way has fewer, nor is there anything to wait for."""
    for _run in range(2):
        api.requests.clear()
        reading = incremental.read(client(), tmp_path)
        assert asked(api) == [("get", "namespaces"), *(("list", each) for each in RESOURCES)]
        assert (reading.mode, reading.events) == ("full", 0)
        assert reading.reason == "a page of 500 objects holds each resource"
        reading.keep(dump(reading.snapshot).encode())
        assert not list(tmp_path.rglob("*.snapshot"))


def test_only_what_takes_more_than_a_page_is_followed(api: ApiServer, read: Read) -> None:
    read(PODS)
    api.store.load([pod("new"), policy("new")])
    api.requests.clear()
    reading = read(PODS)
    assert (reading.mode, reading.reason, reading.events) == ("incremental", "", 1)
    followed = [(verb, resource) for verb, resource in asked(api) if verb == "watch"]
    assert followed == [("watch", "pods")]


def test_a_cluster_that_has_become_small_is_followed_once_more(api: ApiServer, read: Read, tmp_path: Path) -> None:
    """What is kept of its size is then of use no longer."""
    for each in read(PODS).snapshot.pods[:5]:
        api.store.delete("pods", each.name, each.namespace)
    reading = read(PODS)
    assert (reading.mode, reading.reason, reading.events) == ("incremental", "", 5)
    (kept,) = tmp_path.rglob("*.snapshot")
    before = kept.read_bytes()
    api.store.load([pod("new")])
    reading = read(PODS)
    assert (reading.mode, reading.reason) == ("full", f"a page of {PODS} objects holds each resource")
    assert kept.read_bytes() == before


def test_what_is_fetched_grows_with_the_changes_and_not_with_the_cluster(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    api.store.load([pod(f"more-{index}", address=f"10.1.{index // 250}.{index % 250 + 1}") for index in range(1000)])
    read()
    api.store.load([pod(f"more-{index}", address="10.2.0.1") for index in range(10)])
    api.requests.clear()
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    few = sum(each.bytes_sent for each in api.requests.all()) + api.requests.streamed
    api.requests.clear()
    listing.read(client())
    many = sum(each.bytes_sent for each in api.requests.all())
    assert reading.events == 10
    assert few < many / 10


def test_the_versions_wanted_are_asked_policies_last_and_no_later_change_comes_in(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    """The order of a full reading: a pod and a policy that come meanwhile are the next reading's."""
    read()
    api.store.load([pod("before")])
    later = (pod("later", address="10.9.0.1"), policy("later"))
    api.faults.add(Fault("mutate", resource="networkpolicies", verb="list", times=1, apply=later))
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    names = {each.name for each in (*reading.snapshot.pods, *reading.snapshot.network_policies)}
    assert "before" in names
    assert "later" not in names
    versions = [int(reading.versions[each]) for each in RESOURCES]
    assert versions == sorted(versions)
    assert [resource for verb, resource in asked(api) if verb == "list"][-5:] == list(RESOURCES)
    reading.keep(dump(reading.snapshot).encode())
    assert read().events == 2


def test_a_resource_that_has_to_be_listed_makes_all_that_follow_ask_anew(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    """Else policies would be older than the pods of the later list."""
    read()
    api.store.load([pod("before"), policy("before")])
    api.faults.add(Fault("status", resource="pods", verb="watch", code=403))
    # After the versions of all have been asked: the policy that goes with the pod is there before the pods are listed.
    api.faults.add(Fault("mutate", resource="pods", verb="list", skip=1, times=1, apply=(pod("x"), policy("x"))))
    api.requests.clear()
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert reading.mode == "incremental"
    assert reading.reason.startswith("pods: the watch was refused: ")
    assert "403" in reading.reason
    assert [each.name for each in reading.snapshot.network_policies] == ["before", "deny", "x"]
    versions = [int(reading.versions[each]) for each in RESOURCES]
    assert versions == sorted(versions)
    reading.keep(dump(reading.snapshot).encode())
    api.faults.clear()
    assert read().events == 1  # the pod that came after its list


def test_a_namespace_that_objects_are_in_and_that_came_meanwhile_is_read_once_more(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    read()
    late = (namespace("late", a="b"), pod("early", "late"))
    api.faults.add(Fault("mutate", resource="namespaces", verb="list", times=1, apply=late))
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert [each.labels.get("a") for each in reading.snapshot.namespaces if each.name == "late"] == ["b"]
    assert "namespaces" not in reading.versions
    reading.keep(dump(reading.snapshot).encode())
    again = read()
    assert again.mode == "incremental"
    assert again.reason == "namespaces: nothing is kept of it"
    assert read().reason == ""


def test_another_set_of_resources_is_noticed(api: ApiServer, read: Read) -> None:
    spec = {"tier": "Admin", "priority": 7, "subject": {"namespaces": {}}}
    kind = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy"}
    read()
    api.store.catalog.serve(["clusternetworkpolicies"])
    api.store.load([kind | {"metadata": {"name": "admin"}, "spec": spec}])
    assert read().reason == "clusternetworkpolicies: nothing is kept of it"
    api.store.load([kind | {"metadata": {"name": "admin"}, "spec": spec | {"priority": 8}}])
    reading = read()
    assert (reading.reason, reading.events) == ("", 1)
    assert [each.spec["priority"] for each in reading.snapshot.cluster_network_policies] == [8]
    api.store.catalog.serve([])
    assert read().snapshot.cluster_network_policies == ()


@pytest.fixture
def restored(api: ApiServer, client: MakeClient) -> Iterator[tuple[ApiServer, MakeClient]]:
    """The same cluster in another history, which began where the pod ``before`` came; and clients of it."""
    with ApiServer(tls=True, bookmark_seconds=0.02) as server:
        server.store.load(cluster())
        # Of all objects, a snapshot has the UID of a node alone.
        node = {"name": "aks-1", "uid": api.store.document("nodes", "aks-1")["metadata"]["uid"]}
        for each in (api, server):
            each.store.load([{"apiVersion": "v1", "kind": "Node", "metadata": node}, pod("before")])
        options = {"host": server.url, "api_key": server.token, "ca_cert": str(server.ca_file)}
        yield server, lambda: client(options=options)


def test_an_api_that_was_restored_from_a_backup_is_known_by_its_history(
    api: ApiServer, restored: tuple[ApiServer, MakeClient], tmp_path: Path, read: Read
) -> None:
    """It has forgotten the last changes and counts on: what they were about is never spoken of again."""
    server, other = restored
    api.store.patch("pods", "web-3", {"metadata": {"labels": {"app": "other"}}}, "shop")
    api.store.patch("networkpolicies", "deny", {"spec": {"policyTypes": ["Egress"]}}, "shop")
    read()
    for number in range(40):
        server.store.patch("pods", "web-4", {"metadata": {"labels": {"number": str(number)}}}, "shop")
    reading = incremental.read(other(), tmp_path, FOLLOW_ALL)
    assert dump(reading.snapshot) == dump(listing.read(other()))
    assert [why.split(": ")[:1] + why.split(", ")[2:] for why in reading.reason.split("; ")] == [
        ["pods", "and no change says so"],
        ["networkpolicies", "and no change says so"],
    ]


def test_so_it_is_where_the_last_object_is_not_there(
    api: ApiServer, restored: tuple[ApiServer, MakeClient], tmp_path: Path, read: Read
) -> None:
    """And another one in its place, so that their number is the same."""
    server, other = restored
    api.store.load([pod("lost")])
    read()
    server.store.load([pod("found")])
    for number in range(40):
        server.store.patch("pods", "web-4", {"metadata": {"labels": {"number": str(number)}}}, "shop")
    reading = incremental.read(other(), tmp_path, FOLLOW_ALL)
    assert dump(reading.snapshot) == dump(listing.read(other()))
    assert "pods: shop/lost is gone, and no change says so" in reading.reason


def test_a_change_that_comes_meanwhile_is_no_other_history(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    read()
    api.store.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}])
    later = policy("deny") | {"spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    api.faults.add(Fault("mutate", resource="networkpolicies", verb="get", times=1, apply=(later,)))
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert (reading.mode, reading.reason) == ("incremental", "")
    assert [each.spec["policyTypes"] for each in reading.snapshot.network_policies] == [["Ingress"]]


def test_a_role_without_get_is_told(api: ApiServer, read: Read) -> None:
    read()
    api.store.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}])
    api.faults.add(Fault("status", resource="services", verb="get", code=403, times=1))
    assert read().reason.startswith("services: whether the history is the same cannot be told: ")


def test_a_cluster_whose_identity_changed_meanwhile_is_not_kept(
    api: ApiServer, client: MakeClient, tmp_path: Path, read: Read
) -> None:
    read()
    other = namespace("kube-system") | {"metadata": {"name": "kube-system", "uid": "another"}}
    api.faults.add(Fault("mutate", resource="namespaces", verb="get", times=1, apply=(other,)))
    reading = incremental.read(client(), tmp_path, FOLLOW_ALL)
    assert reading.snapshot.cluster.uid == "another"
    assert reading.file is None


@pytest.mark.parametrize("seed", range(4))
def test_every_round_of_random_churn_gives_what_a_full_reading_gives(api: ApiServer, read: Read, seed: int) -> None:
    churn = Churn(api.store, seed)
    events = 0
    read()
    for _round in range(25):
        churn.round()
        reading = read(page_size=7)
        assert (reading.mode, reading.reason) == ("incremental", "")
        events += reading.events
    assert events > 50


@pytest.mark.parametrize("seed", range(4))
def test_faults_between_the_rounds_change_how_it_is_read_and_never_what(
    api: ApiServer, read: Read, seed: int, tmp_path: Path
) -> None:
    choose = random.Random(seed)  # noqa: S311 (a test's dice)
    churn = Churn(api.store, seed)
    reasons = []
    read()
    for _round in range(25):
        churn.round()
        resource = choose.choice(RESOURCES)
        match choose.randrange(6):
            case 0:
                api.store.compact()
            case 1:
                api.faults.add(Fault("cut", resource=resource, verb="watch", times=choose.randrange(1, 3)))
            case 2:
                api.faults.add(Fault("status", resource=resource, verb="watch", code=choose.choice([403, 405, 410])))
            case 3:
                next(tmp_path.rglob("objects.*")).unlink()
            case 4:
                api.faults.add(Fault("hangup", resource=resource, verb="watch", times=2))
        reasons.append(read().reason)
        api.faults.clear()
    assert reasons.count("") > 5
    assert len(set(reasons)) > 3
