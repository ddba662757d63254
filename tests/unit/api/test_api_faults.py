# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each fault as the official client meets it."""

from __future__ import annotations

import json
import time

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from lab.api import ApiServer, Client, Fault
from urllib3.exceptions import HTTPError


def pod(name: str, namespace: str = "default") -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": []},
    }


def failure(call: object) -> ApiException:
    with pytest.raises(ApiException) as caught:
        call()  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("code", [401, 403, 404, 405, 429, 500, 503])
def test_a_status_as_often_as_asked(api: ApiServer, core: client.CoreV1Api, code: int) -> None:
    number = api.faults.add(Fault("status", resource="pods", verb="list", code=code, times=2))
    for _ in range(2):
        error = failure(core.list_pod_for_all_namespaces)
        assert error.status == code
        assert json.loads(error.body)["code"] == code
    assert core.list_pod_for_all_namespaces().items == []
    assert api.faults.hits(number) == 2
    assert [record.fault for record in api.requests.all()] == ["status", "status", ""]


def test_too_many_requests_say_when_to_come_back(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("status", code=429, retry_after=3, times=1))
    error = failure(core.list_node)
    assert error.headers["Retry-After"] == "3"
    assert json.loads(error.body)["details"]["retryAfterSeconds"] == 3


def test_other_resources_and_verbs_are_spared(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("status", resource="pods", verb="watch", code=405))
    core.list_pod_for_all_namespaces()
    core.list_node(watch=True, timeout_seconds=1, _preload_content=False)
    assert failure(lambda: core.list_pod_for_all_namespaces(watch=True, timeout_seconds=1)).status == 405


def test_cut_in_the_middle_of_the_second_page(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load(pod(f"p{number}") for number in range(6))
    api.faults.add(Fault("cut", resource="pods", page=2))
    first = json.loads(core.list_pod_for_all_namespaces(limit=2, _preload_content=False).data)
    token = first["metadata"]["continue"]
    with pytest.raises((HTTPError, ConnectionError)):
        core.list_pod_for_all_namespaces(limit=2, _continue=token)
    api.faults.clear()
    assert len(core.list_pod_for_all_namespaces(limit=2, _continue=token).items) == 2


def test_hangup_gives_no_answer(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("hangup", times=1))
    with pytest.raises((HTTPError, ConnectionError)):
        core.list_node()
    core.list_node()


def test_truncated_json_in_a_whole_answer(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a")])
    api.faults.add(Fault("truncate", resource="pods"))
    answer = core.list_pod_for_all_namespaces(_preload_content=False)
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.data)


def test_a_token_expires_at_the_page_asked(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load(pod(f"p{number}") for number in range(6))
    api.faults.add(Fault("expire", resource="pods", page=3, times=1))
    token = ""
    for _ in range(2):
        page = core.list_pod_for_all_namespaces(limit=2, **({"_continue": token} if token else {}))
        token = page.metadata._continue
    error = failure(lambda: core.list_pod_for_all_namespaces(limit=2, _continue=token))
    status = json.loads(error.body)
    assert (error.status, status["reason"]) == (410, "Expired")
    assert status["metadata"]["continue"]
    assert len(core.list_pod_for_all_namespaces(limit=2, _continue=token).items) == 2


def test_the_first_page_has_no_token_to_expire(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("expire"))
    core.list_pod_for_all_namespaces()


def test_a_delayed_answer_outlasts_a_short_timeout(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("delay", seconds=60, times=1))
    with pytest.raises(HTTPError):
        core.list_node(_request_timeout=0.3)
    core.list_node()


def test_stopping_does_not_wait_for_a_delay(api: ApiServer, core: client.CoreV1Api) -> None:
    api.faults.add(Fault("delay", seconds=600))
    with pytest.raises(HTTPError):
        core.list_node(_request_timeout=0.3)
    before = time.monotonic()
    api.stop()
    assert time.monotonic() - before < 60


def test_any_version_may_be_stale(api: ApiServer, core: client.CoreV1Api) -> None:
    old = api.store.resource_version
    api.store.load([pod("new")])
    api.faults.add(Fault("stale", resource_version=old))
    assert core.list_pod_for_all_namespaces(resource_version="0").items == []
    assert len(core.list_pod_for_all_namespaces().items) == 1


def test_a_namespace_appears_only_after_the_first_list(api: ApiServer, core: client.CoreV1Api) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}}
    api.store.load([pod("early", "late")])
    api.faults.add(Fault("mutate", resource="namespaces", verb="list", times=1, apply=(namespace,)))
    assert "late" not in [item.metadata.name for item in core.list_namespace().items]
    assert [item.metadata.namespace for item in core.list_pod_for_all_namespaces().items] == ["late"]
    assert "late" in [item.metadata.name for item in core.list_namespace().items]


def test_an_object_disappears_after_a_list(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a")])
    api.faults.add(Fault("mutate", resource="pods", verb="list", times=1, remove=(pod("a"),)))
    assert len(core.list_pod_for_all_namespaces().items) == 1
    assert core.list_pod_for_all_namespaces().items == []


def test_a_watch_is_cut_in_the_middle_of_an_event(api: ApiServer, core: client.CoreV1Api) -> None:
    api.store.load([pod("a")])
    api.faults.add(Fault("cut", verb="watch"))
    answer = core.list_pod_for_all_namespaces(watch=True, timeout_seconds=5, _preload_content=False)
    with pytest.raises((HTTPError, ConnectionError)):
        list(answer.stream())


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ("other-ca", "self-signed|unable to get local issuer|signature"),
        ("wrong-host", "IP address mismatch"),
        ("expired", "expired"),
    ],
)
def test_wrong_certificates_are_refused(api: ApiServer, core: client.CoreV1Api, certificate: str, message: str) -> None:
    api.faults.add(Fault("certificate", certificate=certificate, times=1))
    with pytest.raises(ApiException, match=message):
        core.list_node()
    assert core.list_node().items == []


def test_control_over_http_is_spared_and_counts_nothing(api: ApiServer) -> None:
    control = Client.http(api.url, api.token, api.ca_file)
    number = control.add_fault(Fault("status", code=503, times=1))
    assert [(each["id"], each["hits"], each["fault"]["code"]) for each in control.faults()] == [(number, 0, 503)]
    with pytest.raises(Exception, match="503"):
        control.list("pods")
    assert control.faults()[0]["hits"] == 1
    assert [record["code"] for record in control.requests()] == [503]
    control.clear_requests()
    control.clear_faults()
    assert control.list("pods") == []
    assert len(control.requests()) == 1


@pytest.mark.parametrize("data", [{"kind": "nonsense"}, {"kind": "status", "colour": 1}, {"kind": "certificate"}])
def test_faults_that_make_no_sense_are_refused(data: dict) -> None:
    with pytest.raises(ValueError, match="fault"):
        Fault.from_json(data)
