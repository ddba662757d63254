# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the action plugins share: which values are secrets, and what a result never carries."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.executor.task_executor import TaskExecutor  # noqa: F401 - resolves Ansible's circular imports first
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.npm.netpol.plugins.plugin_utils.ansible_action import ControllerAction, _secrets

SPEC: dict[str, Any] = {
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "headers": {"type": "dict", "options": {"basic_auth": {"type": "str", "no_log": True}, "agent": {"type": "str"}}},
    "all": {"type": "list", "elements": "dict", "options": {"token": {"type": "str", "no_log": True}}},
    "count": {"type": "int", "default": 3},
    "names": {"type": "list", "elements": "str", "default": ["a"]},
}


class Echo(ControllerAction):
    ARGUMENT_SPEC = SPEC

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if parameters["host"] == "wrong":
            self.fail(f"no host for {parameters['api_key']}", tried=[parameters["api_key"]])
        return {
            "said": f"{parameters['api_key']} to {parameters['host']}",
            "invocation": parameters,
            "count": parameters["count"],
            "names": parameters["names"],
        }


class _Connection:
    """A connection that was never opened: controller actions use none."""

    class _shell:  # noqa: N801 - the name that ActionBase reads
        tmpdir = "unused"


def run(arguments: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    loader = DataLoader()
    task = Task.load({"action": "npm.netpol.echo"} | attributes, loader=loader)
    task.args = arguments
    action = Echo(task, _Connection(), None, loader, Templar(loader=loader), None)
    return action.run(task_vars={})


def test_secrets_are_those_of_options_marked_so_at_any_depth() -> None:
    parameters = {
        "host": "https://a.example",
        "api_key": "secret-1",
        "headers": {"basic_auth": "secret-2", "agent": "plain-text"},
        "all": [{"token": "secret-3"}, {"token": None}],
    }
    assert _secrets(SPEC, parameters) == {"secret-1", "secret-2", "secret-3"}


def test_a_short_secret_does_not_garble_words() -> None:
    assert _secrets(SPEC, {"api_key": "x"}) == set()


def test_a_result_has_neither_secrets_nor_arguments() -> None:
    result = run({"host": "a", "api_key": "s3cret-token"})
    assert result == {"said": "******** to a", "count": 3, "names": ["a"], "changed": False}


def test_a_failure_has_words_and_facts() -> None:
    result = run({"host": "wrong", "api_key": "s3cret-token"})
    assert result["failed"] is True
    assert (result["msg"], result["changed"]) == ("no host for ********", False)
    assert "s3cret" not in str(result)


@pytest.mark.parametrize("blank", ["", " \n", None])
def test_a_blank_text_is_no_list(blank: str | None) -> None:
    assert run({"names": blank})["names"] == ["a"]


@pytest.mark.parametrize(
    ("given", "names"),
    [([], []), ([""], [""]), ("b,c", ["b", "c"]), (0, ["0"])],
)
def test_only_a_blank_text_is_no_list(given: Any, names: list[str]) -> None:
    assert run({"names": given})["names"] == names


def test_a_blank_text_stays_one_where_no_list_is_asked_for() -> None:
    assert run({"host": "", "api_key": "k"})["said"] == "k to "
