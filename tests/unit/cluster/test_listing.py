# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading a whole cluster over TLS: order, pages, lists that start again, and every way in which it cannot be read."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import listing, manifests
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot, dump, load
from lab.api import ApiServer, Fault, Identity, Rule
from small_cluster import PODS, namespace, pod, policy

RBAC = Path(__file__).parents[3] / "collections/ansible_collections/npm/netpol/docs/rbac.yaml"
MakeClient = Callable[..., ApiClient]


def lists(api: ApiServer) -> list[str]:
    """Plural names of what was listed, in order, one for each request."""
    return [record.path.rpartition("/")[2] for record in api.requests.all()]


def test_everything_is_read_policies_last_and_nothing_is_watched(api: ApiServer, client: MakeClient) -> None:
    snapshot = listing.read(client())
    assert lists(api) == [
        "namespaces",
        "pods",
        "nodes",
        "services",
        "networkpolicies",
        "policy.networking.k8s.io",
    ]
    assert all("resourceVersion" not in record.query and "watch" not in record.query for record in api.requests.all())
    assert {record.method for record in api.requests.all()} == {"GET"}
    assert snapshot.cluster.uid == "uid-of-kube-system"
    assert set(snapshot.cluster.resource_versions) == set(lists(api)[:-1])
    assert snapshot.cluster.version == max(map(int, snapshot.cluster.resource_versions.values()))
    assert namespaces(snapshot)["kube-system"] == {"kubernetes.io/metadata.name": "kube-system"}
    assert namespaces(snapshot)["shop"] == {"kubernetes.io/metadata.name": "shop", "tier": "front"}
    assert len(snapshot.pods) == PODS
    assert snapshot.pods[1].ips == ("10.0.0.2",)
    assert [each.name for each in snapshot.nodes] == ["aks-1"]
    assert [each.name for each in snapshot.services] == ["web"]
    assert snapshot.network_policies[0].spec == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert snapshot.problems == ()
    assert load(dump(snapshot)) == snapshot


def namespaces(snapshot: Snapshot) -> dict[str, Mapping[str, str]]:
    return {each.name: each.labels for each in snapshot.namespaces}


@pytest.mark.parametrize("page_size", [1, 7, PODS - 1, PODS, PODS + 1])
def test_pages_of_any_size_give_the_same_snapshot(api: ApiServer, client: MakeClient, page_size: int) -> None:
    whole = listing.read(client())
    api.requests.clear()
    reader = client()
    assert listing.read(reader, page_size) == whole
    assert Counter(lists(api))["pods"] == -(-PODS // page_size)
    assert reader.requests == len(lists(api))


def test_what_the_api_lists_says_the_same_as_a_manifest(tmp_path: Path, client: MakeClient) -> None:
    reader = client()
    online = listing.read(reader)
    resources = ("namespaces", "pods", "nodes", "services")
    pages = [reader.get(f"/api/v1/{each}") for each in resources]
    pages.append(reader.get("/apis/networking.k8s.io/v1/networkpolicies"))
    for index, page in enumerate(pages):
        (tmp_path / f"{index}.json").write_text(json.dumps(page), encoding="utf-8")
    offline = manifests.read([tmp_path]).snapshot
    assert offline.cluster.uid == online.cluster.uid
    assert replace(offline, cluster=online.cluster) == online


def test_cluster_network_policies_are_read_where_they_are_served(api: ApiServer, client: MakeClient) -> None:
    spec = {"tier": "Admin", "priority": 7, "subject": {"namespaces": {}}}
    kind = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy"}
    api.store.catalog.serve(["clusternetworkpolicies"])
    api.store.load([kind | {"metadata": {"name": "admin"}, "spec": spec}])
    snapshot = listing.read(client())
    assert lists(api)[-1] == "clusternetworkpolicies"
    assert "clusternetworkpolicies" in snapshot.cluster.resource_versions
    assert [(each.name, each.spec) for each in snapshot.cluster_network_policies] == [("admin", spec)]
    api.faults.add(Fault("status", resource="clusternetworkpolicies", code=403))
    with pytest.raises(ApiError, match=r"v1alpha2/clusternetworkpolicies: 403"):
        listing.read(client())


def test_a_version_of_cluster_network_policies_that_we_do_not_know_is_reported(
    monkeypatch: pytest.MonkeyPatch, client: MakeClient
) -> None:
    reader = client()
    ask = reader.get
    group = {"kind": "APIGroup", "versions": [{"version": "v1beta1"}, {"version": "v1alpha1"}]}
    monkeypatch.setattr(reader, "get", lambda path, query=(): group if "policy." in path else ask(path, query))
    assert [str(problem) for problem in listing.read(reader).problems] == [
        "APIGroup policy.networking.k8s.io: versions: is served as v1alpha1, v1beta1, not as v1alpha2 "
        "(policies of this group are not enforced)"
    ]


def test_a_namespace_made_between_two_lists_is_read_once_more(api: ApiServer, client: MakeClient) -> None:
    api.store.load([pod("early", "late"), policy("p", "late")])
    api.faults.add(Fault("mutate", resource="namespaces", verb="list", times=1, apply=(namespace("late", a="b"),)))
    snapshot = listing.read(client())
    assert lists(api)[-1] == "namespaces"
    assert lists(api).count("namespaces") == 2
    assert namespaces(snapshot)["late"]["a"] == "b"
    assert snapshot.problems == ()
    assert int(snapshot.cluster.resource_versions["namespaces"]) == snapshot.cluster.version


def test_objects_of_a_namespace_that_stays_missing_are_left_to_the_compiler(api: ApiServer, client: MakeClient) -> None:
    api.store.load([pod("a", "ghost"), pod("b", "ghost"), policy("p", "ghost")])
    snapshot = listing.read(client())
    assert lists(api).count("namespaces") == 2
    assert "ghost" not in namespaces(snapshot)
    assert [each.namespace for each in snapshot.network_policies] == ["ghost", "shop"]
    assert len(snapshot.pods) == PODS + 2


def test_malformed_objects_of_an_api_are_reported_and_do_not_stop_the_run(client: MakeClient, api: ApiServer) -> None:
    bad = pod("bad")
    bad["metadata"]["labels"] = ["app=web"]
    bad["status"]["podIPs"] = [{"ip": "10.0.0"}]
    api.store.load([bad, policy("odd") | {"spec": "deny"}])
    snapshot = listing.read(client(), page_size=4)
    assert [(problem.object, problem.field) for problem in snapshot.problems] == [
        ("NetworkPolicy shop/odd", "spec"),
        ("Pod shop/bad", "metadata.labels"),
        ("Pod shop/bad", "status.podIPs[0].ip"),
    ]
    assert len(snapshot.network_policies) == 2
    assert [each.name for each in snapshot.pods if each.unreadable] == ["bad"]


def test_an_expired_continue_token_starts_that_list_again_with_larger_pages(api: ApiServer, client: MakeClient) -> None:
    whole = listing.read(client())
    api.requests.clear()
    api.faults.add(Fault("expire", resource="pods", page=3, times=1))
    assert listing.read(client(), page_size=5) == whole
    limits = [record.query["limit"] for record in api.requests.all() if record.path == "/api/v1/pods"]
    assert limits == ["5", "5", "5", "10", "10", "10"]
    assert Counter(lists(api))["namespaces"] == 1


def test_objects_of_an_expired_list_are_not_taken_twice(api: ApiServer, client: MakeClient) -> None:
    api.faults.add(Fault("expire", resource="pods", page=2, times=2))
    snapshot = listing.read(client(), page_size=5)
    assert len(snapshot.pods) == len({each.name for each in snapshot.pods}) == PODS


def test_a_list_that_always_expires_fails(api: ApiServer, client: MakeClient) -> None:
    api.faults.add(Fault("expire", resource="pods"))
    with pytest.raises(ApiError, match=r"/api/v1/pods: the list expired 4 times .* set a larger page_size"):
        listing.read(client(), page_size=1)


@pytest.mark.parametrize("page", [1, 2, 5])
@pytest.mark.parametrize("kind", ["cut", "truncate", "hangup"])
def test_an_answer_that_was_cut_is_asked_for_again(
    api: ApiServer, client: MakeClient, pauses: list[float], kind: str, page: int
) -> None:
    whole = listing.read(client())
    api.faults.add(Fault(kind, resource="pods", page=page, times=2))
    assert listing.read(client(), page_size=5) == whole
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", code=401), "401 Unauthorized"),
        (Fault("status", resource="services", code=403), "GET {url}/api/v1/services: 403 Forbidden"),
        (Fault("status", resource="pods", page=2, code=429), "GET {url}/api/v1/pods: 429 Too Many Requests"),
        (Fault("status", resource="networkpolicies", code=503), "networkpolicies: 503 Service Unavailable"),
        (Fault("status", resource="nodes", code=500), "GET {url}/api/v1/nodes: 500"),
        (Fault("status", resource="nodes", code=404), "GET {url}/api/v1/nodes: 404 Not Found"),
        (Fault("cut", resource="pods", page=3), "pods: the connection broke off before the answer was complete"),
        (Fault("truncate", resource="pods", page=3), "GET {url}/api/v1/pods: the answer is not complete JSON"),
        (Fault("hangup", resource="nodes"), "nodes: the connection broke off before the answer was complete"),
        (Fault("certificate", certificate="other-ca"), "the server's certificate is not trusted"),
        (Fault("certificate", certificate="wrong-host"), "the server's certificate is not trusted"),
        (Fault("certificate", certificate="expired"), "certificate has expired"),
    ],
)
def test_a_cluster_that_cannot_be_read_whole_is_not_read_at_all(
    api: ApiServer, client: MakeClient, fault: Fault, words: str
) -> None:
    api.faults.add(fault)
    with pytest.raises(ApiError) as caught:
        listing.read(client(), page_size=5)
    message = str(caught.value)
    assert words.format(url=api.url) in message
    assert message.startswith(f"GET {api.url}/")
    assert api.token not in message


def test_a_right_that_is_missing_is_named_and_where_to_find_it(api: ApiServer, client: MakeClient) -> None:
    everything_but_pods = Rule(("list",), ("namespaces", "nodes", "services", "networkpolicies"))
    api.identities.add(Identity("reader", "s3cret-of-reader", rules=(everything_but_pods,)))
    with pytest.raises(ApiError) as caught:
        listing.read(client(options={"api_key": "s3cret-of-reader"}))
    assert "/api/v1/pods: 403 Forbidden: pods is forbidden" in str(caught.value)
    assert "docs/rbac.yaml" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ApiError, match="the API does not accept the credentials from options"):
        listing.read(client(options={"api_key": "not-the-token"}))


def test_the_rights_that_we_ship_are_enough_and_only_read(api: ApiServer, client: MakeClient) -> None:
    documents = yaml.safe_load(RBAC.read_text(encoding="utf-8"))["items"]
    role = next(each for each in documents if each["kind"] == "ClusterRole")
    api.store.catalog.serve(["clusternetworkpolicies"])
    api.identities.add(Identity("reader", "s3cret-of-reader", rules=tuple(map(Rule.from_json, role["rules"]))))
    snapshot = listing.read(client(options={"api_key": "s3cret-of-reader"}))
    assert "clusternetworkpolicies" in snapshot.cluster.resource_versions
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    listed = {name for rule in role["rules"] for name in rule["resources"]}
    assert listed == set(snapshot.cluster.resource_versions)


def test_a_server_without_watch_is_read_as_any_other(api: ApiServer, client: MakeClient) -> None:
    api.faults.add(Fault("status", verb="watch", code=405))
    assert len(listing.read(client()).pods) == PODS


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ([], "the answer is not a list but 'list'"),
        ({"kind": "Status", "metadata": {}}, "the answer is not a list but 'Status'"),
        ({"kind": "PodList", "items": []}, "has no metadata"),
        ({"kind": "PodList", "metadata": {}}, "has no items"),
        ({"kind": "PodList", "metadata": {}, "items": {}}, "has no items"),
        ({"kind": "PodList", "metadata": {}, "items": [{"spec": {}}]}, "Namespace has no metadata.name"),
        ({"kind": "PodList", "metadata": {"continue": "x"}, "items": []}, "does not go on"),
    ],
)
def test_an_answer_that_is_no_list_is_not_an_empty_cluster(
    monkeypatch: pytest.MonkeyPatch, client: MakeClient, page: Any, words: str
) -> None:
    reader = client()
    monkeypatch.setattr(reader, "get", lambda path, query=(): page)
    with pytest.raises(ApiError, match=words):
        listing.read(reader)


def test_nothing_listens_there(client: MakeClient) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ApiError, match=rf"GET {url}/api/v1/namespaces: connection refused \(tried 3 times\)"):
            listing.read(client(options={"host": url}))


def test_a_name_that_does_not_resolve(client: MakeClient) -> None:
    with pytest.raises(ApiError, match=r"https://cluster\.invalid:6443/api/v1/namespaces: the name cannot be resolved"):
        listing.read(client(options={"host": "https://cluster.invalid:6443"}))
