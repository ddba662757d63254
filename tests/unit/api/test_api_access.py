# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is let in, what each may do, and the log of all requests."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from lab.api import ApiError, ApiServer, Client, Identity, Rule

READER = Identity("reader", "reader-token", rules=(Rule(("get", "list"), ("pods", "nodes"), ("",)),))


def as_identity(api: ApiServer, token: str, **headers: str) -> client.CoreV1Api:
    configuration = client.Configuration()
    configuration.host = api.url
    configuration.ssl_ca_cert = str(api.ca_file)
    configuration.retries = False
    if token:
        configuration.api_key = {"BearerToken": f"Bearer {token}"}
    made = client.ApiClient(configuration)
    for name, value in headers.items():
        made.set_default_header(name.replace("_", "-"), value)
    return client.CoreV1Api(made)


@pytest.mark.parametrize("token", ["", "nobody's"])
def test_who_is_not_known_gets_401(api: ApiServer, token: str) -> None:
    with pytest.raises(ApiException) as caught:
        as_identity(api, token).list_node()
    assert caught.value.status == 401
    assert json.loads(caught.value.body)["reason"] == "Unauthorized"


def test_the_version_is_public(api: ApiServer) -> None:
    version = client.VersionApi(as_identity(api, "").api_client).get_code()
    assert version.git_version.startswith("v1.")


def test_rules_of_a_role_decide(api: ApiServer) -> None:
    api.identities.add(READER)
    core = as_identity(api, "reader-token")
    assert core.list_node().items == []
    for forbidden in (core.list_namespace, core.list_service_for_all_namespaces):
        with pytest.raises(ApiException) as caught:
            forbidden()
        assert caught.value.status == 403
    with pytest.raises(ApiException) as caught:
        core.patch_node("n1", {})
    status = json.loads(caught.value.body)
    assert (status["reason"], status["details"]) == ("Forbidden", {"name": "n1", "kind": "nodes"})


def test_a_subresource_has_rules_of_its_own(api: ApiServer) -> None:
    api.identities.add(Identity("x", "x-token", rules=(Rule(("patch",), ("nodes",), ("",), ("n1",)),)))
    api.store.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    core = as_identity(api, "x-token")
    core.patch_node("n1", {"metadata": {"labels": {"a": "b"}}})
    for refused in (lambda: core.patch_node_status("n1", {"status": {}}), lambda: core.patch_node("n2", {})):
        with pytest.raises(ApiException) as caught:
            refused()
        assert caught.value.status == 403


def test_a_denied_pair_is_refused_to_who_may_all_else(api: ApiServer) -> None:
    api.identities.add(Identity("most", "most-token", deny=frozenset({("list", "networkpolicies")})))
    core = as_identity(api, "most-token")
    core.list_pod_for_all_namespaces()
    networking = client.NetworkingV1Api(core.api_client)
    with pytest.raises(ApiException) as caught:
        networking.list_network_policy_for_all_namespaces()
    assert caught.value.status == 403


def test_impersonation_is_judged_as_the_other_and_logged(api: ApiServer) -> None:
    api.identities.add(READER)
    core = as_identity(api, api.token, Impersonate_User="reader", Impersonate_Group="team")
    core.list_node()
    record = api.requests.all()[-1]
    assert (record.identity, record.impersonate_user, record.impersonate_groups) == ("admin", "reader", ("team",))
    with pytest.raises(ApiException) as caught:
        core.list_namespace()
    assert 'User "reader"' in json.loads(caught.value.body)["message"]
    with pytest.raises(ApiException) as caught:
        as_identity(api, api.token, Impersonate_User="stranger").list_node()
    assert caught.value.status == 403
    with pytest.raises(ApiException) as caught:
        as_identity(api, "reader-token", Impersonate_User="admin").list_namespace()
    assert "impersonate" in json.loads(caught.value.body)["message"]


def test_an_access_review_tells_what_is_allowed(api: ApiServer) -> None:
    api.identities.add(READER)
    reviews = client.AuthorizationV1Api(as_identity(api, "reader-token").api_client)

    def may(verb: str, resource: str) -> bool:
        body = {"spec": {"resourceAttributes": {"verb": verb, "resource": resource}}}
        return bool(reviews.create_self_subject_access_review(body).status.allowed)

    assert may("list", "pods")
    assert not may("delete", "pods")


def test_the_log_has_each_request_with_its_options(api: ApiServer, core: client.CoreV1Api) -> None:
    core.list_pod_for_all_namespaces(limit=7, label_selector="a=b")
    with pytest.raises(ApiException):
        core.read_node("n1")
    first, second = api.requests.all()
    assert (first.method, first.path, first.query) == ("GET", "/api/v1/pods", {"limit": "7", "labelSelector": "a=b"})
    assert (first.verb, first.resource, first.code, first.identity) == ("list", "pods", 200, "admin")
    assert "python" in first.user_agent
    assert (second.verb, second.resource, second.code) == ("get", "nodes", 404)
    assert (api.requests.count("list", "pods"), api.requests.count("list")) == (1, 1)


def test_the_kubeconfig_of_another_identity(api: ApiServer, tmp_path: Path) -> None:
    api.identities.add(READER)
    assert "reader-token" in api.kubeconfig("reader")
    assert api.token not in api.kubeconfig("reader")


def test_only_admin_controls_the_lab(api: ApiServer) -> None:
    api.identities.add(READER)
    for token, code in (("reader-token", 403), ("nobody's", 401)):
        with pytest.raises(ApiError) as caught:
            Client.http(api.url, token, api.ca_file).faults()
        assert caught.value.code == code
    assert Client.http(api.url, api.token, api.ca_file).faults() == []


def test_a_body_without_a_length_is_refused_and_the_connection_ends(api: ApiServer) -> None:
    connection = http.client.HTTPSConnection(
        api.url.removeprefix("https://"), context=ssl.create_default_context(cafile=api.ca_file)
    )
    try:
        connection.putrequest("POST", "/api/v1/nodes")
        connection.putheader("Authorization", f"Bearer {api.token}")
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        assert connection.getresponse().status == 411
        assert connection.sock is None
    finally:
        connection.close()
