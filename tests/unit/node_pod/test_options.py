# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection's options: where they come from, what they may be, and what they are in the code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible_collections.npm.netpol.plugins.connection import node_pod
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import connect as connect_module
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import manifest

NAME = "npm.netpol.node_pod"
OPTIONS = yaml.safe_load(node_pod.DOCUMENTATION)["options"]


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """As Ansible's loader makes it; nothing is left behind that waits for the end of this process."""
    monkeypatch.setattr(connect_module.reaper, "start", lambda *told: None)
    monkeypatch.setattr(node_pod.C, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "K8S_AUTH_KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    node_pod.C.config.initialize_plugin_configuration_definitions("connection", NAME, OPTIONS)
    made = node_pod.Connection(PlayContext())
    made._load_name = NAME
    yield made
    made.close()


def test_no_option_is_named_as_a_keyword_of_tasks() -> None:
    """Ansible takes the keyword's value then: ``retries`` would be that of ``until``."""
    assert set(OPTIONS) & set(Task.fattributes) == set()


def test_the_options_are_those_of_the_code() -> None:
    defaults = manifest.Settings()
    documented = {name: option["default"] for name, option in OPTIONS.items()}
    assert {each.name: getattr(defaults, each.name) for each in fields(defaults)} == {
        each.name: tuple(documented[each.name]) if each.name == "pull_secrets" else documented[each.name]
        for each in fields(defaults)
    }
    assert set(OPTIONS) == {*node_pod._OPTIONS, "node", "delegate", "host", "kubernetes", "pipelining"}
    named = {option["vars"][-1]["name"] for name, option in OPTIONS.items() if name in node_pod._OPTIONS}
    assert named == {f"npm_node_pod_{name}" for name in node_pod._OPTIONS}


@pytest.mark.parametrize(
    ("variables", "node"),
    [
        ({}, "one"),
        ({"npm_node_name": "aks-1"}, "aks-1"),
        ({"npm_node_name": ""}, "one"),
        ({"npm_node_name": " "}, "one"),
        ({"npm_node_name": None}, "one"),
    ],
)
def test_a_node_is_named_as_the_role_names_it(connection: Any, variables: dict[str, Any], node: str) -> None:
    api = {"npm_kubernetes": {"host": "https://cluster.example", "api_key": "s3cret", "verify_ssl": False}}
    connection.set_options(var_options={"inventory_hostname": "one", **api, **variables})
    connection._connect()
    assert connection._node_name == connection._node._helper._node == node


@pytest.mark.parametrize(
    ("variables", "node"), [({}, "two"), ({"npm_node_name": ""}, "two"), ({"npm_node_name": "aks-2"}, "aks-2")]
)
def test_a_delegated_task_is_for_the_other_hosts_node(connection: Any, variables: dict[str, Any], node: str) -> None:
    """Ansible gives the other host's variables, but for ``inventory_hostname``, which stays that of the first."""
    api = {"npm_kubernetes": {"host": "https://cluster.example", "api_key": "s3cret", "verify_ssl": False}}
    given = {"inventory_hostname": "one", **api, **variables}
    connection.set_options(task_keys={"delegate_to": "two"}, var_options=given)
    connection._connect()
    assert connection._node_name == node


def test_the_snapshots_options_do_for_the_nodes_too(connection: Any, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("")
    api = {"host": "https://cluster.example", "api_key": "s3cret", "verify_ssl": False}
    kubernetes = api | {"page_size": 50, "state_dir": "state"}
    connection.set_options(var_options={"inventory_hostname": "aks-1", "npm_kubernetes": kubernetes})
    connection._connect()
    assert connection._client.connection.host == "https://cluster.example"
    assert not connection._client.connection.verify


def test_the_environment_does_without_variables(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8S_AUTH_HOST", "https://another.example")
    monkeypatch.setenv("K8S_AUTH_API_KEY", "s3cret")
    connection.set_options(var_options={"inventory_hostname": "aks-1"})
    connection._connect()
    assert connection._client.connection.host == "https://another.example"


def test_no_api_at_all(connection: Any) -> None:
    connection.set_options(var_options={"inventory_hostname": "aks-1"})
    with pytest.raises(AnsibleConnectionFailure, match="node aks-1: no Kubernetes API to read: set kubeconfig or host"):
        connection._connect()


def test_an_option_that_there_is_not(connection: Any) -> None:
    connection.set_options(var_options={"inventory_hostname": "aks-1", "npm_kubernetes": {"hots": "https://c.example"}})
    with pytest.raises(AnsibleError, match="npm_kubernetes: hots"):
        connection._connect()


@pytest.mark.parametrize(("name", "value"), [("deadline", 10), ("api_retries", -1), ("ping", 0)])
def test_a_value_that_cannot_be(connection: Any, name: str, value: int) -> None:
    variables = {"inventory_hostname": "aks-1", "npm_kubernetes": {"host": "https://c.example"}}
    connection.set_options(var_options=variables | {f"npm_node_pod_{name}": value})
    with pytest.raises(AnsibleConnectionFailure, match=f"node aks-1: {name} is {float(value):g}.*: the least is"):
        connection._connect()


def test_it_carries_input_and_has_no_terminal(connection: Any) -> None:
    connection.set_options(var_options={"inventory_hostname": "aks-1"})
    assert connection.get_option("pipelining") is True
    assert (connection.has_pipelining, connection.has_tty, connection.default_user) == (True, False, "root")
