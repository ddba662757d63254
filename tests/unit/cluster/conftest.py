# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real API server over TLS with a small cluster in it, and a client for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from lab.api import ApiServer
from small_cluster import cluster


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(tls=True) as server:
        server.store.load(cluster())
        yield server


@pytest.fixture
def options(api: ApiServer) -> dict[str, Any]:
    return {"host": api.url, "api_key": api.token, "ca_cert": str(api.ca_file)}


@pytest.fixture
def pauses() -> list[float]:
    """How long the client meant to wait before each retry."""
    return []


@pytest.fixture
def client(options: dict[str, Any], pauses: list[float]) -> Iterator[Callable[..., ApiClient]]:
    """Makes clients that do not really sleep; keywords are those of ApiClient, and ``options``."""
    made: list[ApiClient] = []

    def make(**more: Any) -> ApiClient:
        connect = partial(auth.connect, options | more.pop("options", {}), more.pop("environment", {}))
        made.append(ApiClient(connect, sleep=pauses.append, **({"retries": 2, "timeout": 10} | more)))
        return made[-1]

    yield make
    for each in made:
        each.__exit__()
