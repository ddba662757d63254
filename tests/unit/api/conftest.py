# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server over TLS, and the unmodified official client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client, config
from lab.api import ApiServer
from lab.kubelet.pods import Kubelets
from running_pods import NODE


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(tls=True, bookmark_seconds=0.1) as server:
        yield server


@pytest.fixture
def running(api: ApiServer) -> ApiServer:
    """The server with a node whose kubelet runs pods, as plain processes of this machine."""
    api.store.create(NODE)
    api.run_pods(Kubelets(api.store))
    return api


@pytest.fixture
def official(api: ApiServer) -> Iterator[client.ApiClient]:
    """Configured by the kubeconfig that the server wrote; without retries of its own, so that each answer is seen."""
    configuration = client.Configuration()
    config.load_kube_config(str(api.directory / "kubeconfig"), client_configuration=configuration)
    configuration.retries = False
    with client.ApiClient(configuration) as made:
        yield made
        made.rest_client.pool_manager.clear()


@pytest.fixture
def core(official: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(official)
