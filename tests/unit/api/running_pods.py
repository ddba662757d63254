# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pods for tests of exec: one node, pods as plain processes of this machine, and waiting for what they become."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kubernetes import client
from lab.api import ApiServer
from tools.exec_client import ExecClient, Outcome

Object = dict[str, Any]
NODE: Object = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "n1", "labels": {"disk": "fast"}},
    "status": {
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "10.240.0.10"}],
    },
}
_PATIENCE_SECONDS = 20


def pod(name: str = "helper", *, container: Object | None = None, **spec: Any) -> Object:
    command = {"name": "main", "image": "registry.invalid/tools:1", "command": ["sleep", "1000"]}
    more = {"nodeName": "n1", "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [command | (container or {})], **more},
    }


def wait_for(core: client.CoreV1Api, condition: Callable[[Any], bool], name: str = "helper") -> Any:
    """The pod as the API has it when the condition holds."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition(found := core.read_namespaced_pod(name, "default")):
        assert time.monotonic() < deadline, found.status
        time.sleep(0.02)
    return found


def started(core: client.CoreV1Api, document: Object | None = None) -> Any:
    document = document or pod()
    core.create_namespaced_pod("default", document)
    return wait_for(core, lambda each: each.status.phase == "Running", document["metadata"]["name"])


def connected(
    api: ApiServer, *command: str, pod: str = "default/helper", token: str = "", **options: Any
) -> ExecClient:
    return ExecClient(api.url, token or api.token, pod, command, ca_file=api.ca_file, **options)


def executed(api: ApiServer, *command: str, data: bytes = b"", **options: Any) -> Outcome:
    """With v5, unless the options say otherwise."""
    return connected(api, *command, stdin="true", **options).run(data)
