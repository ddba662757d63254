# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What our action plugins share: they run on the controller, validate like modules and keep secrets to themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase

from .host_variables import disagreements

# A shorter secret is part of ordinary words, and blotting it out would garble every message.
_SHORTEST_SECRET = 6


class ActionError(Exception):
    """Ends the task as failed: ``message`` for people, ``facts`` for whoever registers the result."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts


class ControllerAction(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """An action whose work is done in Ansible's own interpreter.

    A plugin sets ``ARGUMENT_SPEC`` (and ``CONSTRAINTS``: ``mutually_exclusive`` and its like, as keywords of
    ``ActionBase.validate_argument_spec``) and defines :meth:`act`. Check mode and diff mode are its own matter.
    A plugin that talks to the node sets ``_requires_connection = True``.
    """

    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {}
    CONSTRAINTS: ClassVar[dict[str, Any]] = {}

    _requires_connection = False
    _supports_check_mode = True

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Do the work with validated, typed ``parameters`` (every option is there) and return the task's result."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._task.args = _without_blank_lists(self.ARGUMENT_SPEC, self._task.args)
        _validation, parameters = self.validate_argument_spec(argument_spec=self.ARGUMENT_SPEC, **self.CONSTRAINTS)
        try:
            result.update(self.act(parameters, task_vars or {}))
        except ActionError as failure:
            result.update(failure.facts, failed=True, msg=failure.message)
        result.setdefault("changed", False)
        # Our results never carry an `invocation`: it would echo every argument into the job's record.
        result.pop("invocation", None)
        cleaned: dict[str, Any] = remove_values(result, _secrets(self.ARGUMENT_SPEC, parameters))
        return cleaned

    def fail(self, message: str, **facts: Any) -> NoReturn:
        """End the task as failed; ``facts`` become keys of the result."""
        raise ActionError(message, **facts)

    def stop_where_hosts_differ(self, names: Sequence[str], task_vars: Mapping[str, Any]) -> None:
        """End a task that runs once for all hosts of the play, where these variables are not the same for all."""
        if not names:
            return
        # As they are written: a template may ask a vault, for each host anew.
        variables_of = task_vars["hostvars"].raw_get
        found = [str(each) for each in disagreements(names, task_vars["ansible_play_hosts_all"], variables_of)]
        if found:
            self.fail(
                f"no node was touched: {'; '.join(found)}. Of these variables the value of one host counts for all: "
                "set it for the whole group, and for no host apart"
            )

    @property
    def check_mode(self) -> bool:
        return bool(self._task.check_mode)

    @property
    def diff(self) -> bool:
        return bool(self._task.diff)

    def environment(self) -> dict[str, str]:
        """The controller's environment with the ``environment:`` of the task, block, play and role over it."""
        of_the_task: dict[str, Any] = {}
        self._compute_environment_string(of_the_task)
        return {**os.environ, **{name: str(value) for name, value in of_the_task.items()}}


def _without_blank_lists(argument_spec: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """A survey's empty field is as good as none, where Ansible would make a list of it that holds an empty text."""
    lists = {name for name, option in argument_spec.items() if option.get("type") == "list"}
    return {name: value for name, value in arguments.items() if name not in lists or not _is_blank(value)}


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _secrets(argument_spec: dict[str, Any], parameters: dict[str, Any]) -> set[str]:
    """The values of options marked ``no_log``, their suboptions included."""
    found: set[str] = set()
    for name, option in argument_spec.items():
        value = parameters.get(name)
        if option.get("no_log"):
            found.update(_texts(value))
        elif "options" in option:
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    found |= _secrets(option["options"], each)
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_texts(each) for each in value.values()))
    if isinstance(value, (list, tuple)):
        return set().union(*(_texts(each) for each in value))
    return {str(value)} if value is not None else set()
