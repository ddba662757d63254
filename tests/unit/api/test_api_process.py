# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server as a process: its files, its Unix socket, its end; and the proxy."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from lab.api import ApiError, ApiProcess, ApiServer, Client, ConnectProxy, Fault, Identity
from urllib3.exceptions import HTTPError

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": []}}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for a Unix socket's name."""
    with tempfile.TemporaryDirectory(prefix="lab-api-") as path:
        yield Path(path)


def official(kubeconfig: Path) -> client.CoreV1Api:
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    configuration.retries = False
    return client.CoreV1Api(client.ApiClient(configuration))


def test_a_process_serves_over_tls_and_is_controlled_by_its_socket(short: Path) -> None:
    with ApiProcess(short, "--tls", "--token", "jane=secret") as process:
        control = process.client
        with pytest.raises(ApiError, match="shop") as caught:
            control.create(POD)
        assert caught.value.code == 404
        assert control.load([NAMESPACE, POD]) == 2
        control.apply(POD | {"spec": {"nodeName": "n1", "containers": []}})
        control.apply(POD | {"spec": {"nodeName": "n2", "containers": []}})
        control.patch("pods", "p", "shop", {"metadata": {"labels": {"a": "b"}}})
        control.add_identity(Identity("none", "none-token", rules=()))
        control.add_fault(Fault("status", code=503, times=1))
        assert control.get("pods", "p", "shop")["spec"]["nodeName"] == "n2"
        core = official(process.kubeconfig)
        with pytest.raises(client.ApiException) as refused:
            core.list_pod_for_all_namespaces()
        assert refused.value.status == 503
        (pod,) = core.list_pod_for_all_namespaces().items
        assert (pod.spec.node_name, pod.metadata.labels) == ("n2", {"a": "b"})
        assert [record["code"] for record in control.requests()] == [503, 200]
        control.settings(serve=["clusternetworkpolicies"], validate=False)
        assert control.list("clusternetworkpolicies") == []
        control.delete(POD)
        assert control.list("pods", "shop") == []
        for name in ("token", "kubeconfig", "ready", "server-right.key"):
            assert (short / name).stat().st_mode & 0o777 == 0o600
        pid = json.loads((short / "ready").read_text())["pid"]
    assert not (short / "ready").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_objects_of_a_file_are_loaded_at_the_start(short: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "objects.yaml"
    manifest.write_text(json.dumps(NAMESPACE) + "\n---\n" + json.dumps({"kind": "List", "items": [POD]}))
    with ApiProcess(short, "--load", str(manifest), "--serve", "clusternetworkpolicies") as process:
        assert [each["metadata"]["name"] for each in process.client.list("pods")] == ["p"]
        with urllib.request.urlopen(f"{process.url}/version") as answer:  # noqa: S310 - its own URL
            assert json.load(answer)["major"] == "1"


def test_a_server_that_cannot_start_says_why(short: Path) -> None:
    with pytest.raises(RuntimeError, match="assign"):
        ApiProcess(short, "--bind", "192.0.2.1").start()


def test_the_server_ends_with_the_process_that_started_it(short: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from lab.api import ApiProcess\n"
        "p = ApiProcess(Path(sys.argv[1])).start(); print('up', flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, str(short)], stdout=subprocess.PIPE, env=environment) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        pid = json.loads((short / "ready").read_text())["pid"]
        gone = os.pidfd_open(pid)
        starter.send_signal(signal.SIGKILL)
    try:
        # A pidfd turns readable when its process ends.
        assert select.select([gone], [], [], 20)[0]
    finally:
        os.close(gone)


def test_ipv6_addresses_are_bound_and_certified() -> None:
    with ApiServer(tls=True, bind="::1") as api:
        assert api.url.startswith("https://[::1]:")
        assert Client.http(api.url, api.token, api.ca_file).list("nodes") == []


def test_a_temporary_directory_goes_with_the_server() -> None:
    with ApiServer() as api:
        assert api.socket_file.is_socket()
        assert Client.unix(api.socket_file).list("nodes") == []
    assert not api.directory.exists()


def test_clients_reach_the_server_through_the_proxy(api: ApiServer) -> None:
    with ConnectProxy() as proxy:
        configuration = client.Configuration()
        config.load_kube_config(str(api.directory / "kubeconfig"), client_configuration=configuration)
        configuration.proxy = proxy.url
        configuration.no_proxy = ""
        assert client.CoreV1Api(client.ApiClient(configuration)).list_node().items == []
        assert proxy.targets == [api.url.removeprefix("https://")]


def test_a_proxy_that_wants_a_password(api: ApiServer) -> None:
    with ConnectProxy(authorization="Basic eDp5") as proxy:
        configuration = client.Configuration()
        config.load_kube_config(str(api.directory / "kubeconfig"), client_configuration=configuration)
        configuration.proxy, configuration.no_proxy, configuration.retries = proxy.url, "", False
        with pytest.raises((HTTPError, OSError), match="407"):
            client.CoreV1Api(client.ApiClient(configuration)).list_node()
        configuration.proxy_headers = {"Proxy-Authorization": "Basic eDp5"}
        assert client.CoreV1Api(client.ApiClient(configuration)).list_node().items == []
