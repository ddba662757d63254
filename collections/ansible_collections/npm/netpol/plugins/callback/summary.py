# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collects what our actions reported during a run, and prints it in words at the end."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: What became of nodes, pods and policies, in words, at the end of a run
version_added: 0.1.0
description:
  - Adds a summary to the output of a run that used the modules of this collection. It says how many nodes converged,
    changed, failed, could not be reached or were left out, and why; how many pods are isolated and policies enforced;
    which objects were refused; and where inventory and cluster disagree.
  - A run that ends early, by C(Ctrl-C) or an error, has a summary too. It says so, and which nodes were cut off or not
    reached.
  - Prints nothing when none of them was used, unless a play on the group C(npm_nodes) had no hosts.
requirements:
  - enable in configuration (C(callbacks_enabled=npm.netpol.summary))
author:
  - npm.netpol maintainers (!UNKNOWN)
"""

import atexit  # noqa: E402 - Ansible wants DOCUMENTATION first
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

from ansible.plugins.callback import CallbackBase  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.summary_text import (  # noqa: E402
    NodeResult,
    Outcome,
    RunResult,
    outcomes,
    summary,
)

_COMPILE = "npm.netpol.compile"
_RULESET = "npm.netpol.ruleset"
_STATE = "npm.netpol.state"
_BEFORE_THE_NODES = ("npm.netpol.snapshot", _COMPILE)
_SHORT_NAMES = ("snapshot", "compile", "ruleset", "state")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "npm.netpol.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nodes: list[NodeResult] = []
        self._compiled: dict[str, Any] = {}
        self._stopped = ""
        # Hosts whose visit has begun and has no result yet, and what it is then.
        self._visits: dict[str, NodeResult] = {}
        self._is_ours = False
        self._check_mode = False
        self._play_is_ours = False
        self._nobody = False

    def v2_playbook_on_start(self, playbook: Any) -> None:
        # Ansible tells callbacks of no end but the regular one.
        atexit.register(self._end_early)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._play_is_ours = "npm_nodes" in (play.hosts if isinstance(play.hosts, list) else [play.hosts])

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._nobody = self._nobody or self._play_is_ours

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        action = _action(task)
        if action == _RULESET or action in _BEFORE_THE_NODES:
            self._is_ours = True
            self._check_mode = self._check_mode or bool(task.check_mode)
        if action == _RULESET:
            # Whatever failed before did not keep the run from its nodes.
            self._stopped = ""
            name = host.get_name()
            self._visits[name] = NodeResult(name, Outcome.CUT_OFF, removing=_removes(task))

    def v2_runner_on_ok(self, result: Any) -> None:
        action = _action(result._task)
        if action == _COMPILE:
            self._compiled = dict(result._result)
            self._nodes = [replace(node, overtaken=node.removing) for node in self._nodes]
        elif action == _RULESET:
            self._add_node(result, _outcome(result._result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        action = _action(result._task)
        if action in _BEFORE_THE_NODES or (action == _STATE and result._task.args.get("step") == "begin"):
            self._stopped = _message(result)
        elif action == _RULESET:
            self._add_node(result, Outcome.FAILED)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if _action(result._task) == _RULESET:
            self._add_node(result, Outcome.UNREACHABLE)

    def v2_runner_on_skipped(self, result: Any) -> None:
        if _action(result._task) == _RULESET:
            self._add_node(result, Outcome.LEFT_OUT)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        atexit.unregister(self._end_early)
        # Some other task failed, of a play that has more than ours, before it came to any node.
        failed = bool(stats.failures or stats.dark)
        self._tell(ended_early=failed and bool(self._compiled) and all(node.overtaken for node in self._nodes))

    def _end_early(self) -> None:
        if self._is_ours:
            self._tell(ended_early=True)

    def _tell(self, *, ended_early: bool) -> None:
        lines = summary(
            RunResult(
                nodes=outcomes([*self._nodes, *self._visits.values()]),
                compiled=self._compiled,
                stopped=self._stopped,
                ended_early=ended_early,
                check_mode=self._check_mode,
                nobody=self._nobody,
            )
        )
        if lines:
            self._display.banner("NETWORK POLICIES")
        for line in lines:
            self._display.display(line)

    def _add_node(self, result: Any, outcome: Outcome) -> None:
        host = result._host.get_name()
        self._visits.pop(host, None)
        self._nodes.append(
            NodeResult(
                host=host,
                outcome=outcome,
                reason=_message(result),
                drift=tuple(result._result.get("drift", ())),
                removing=_removes(result._task),
            )
        )


def _outcome(result: dict[str, Any]) -> Outcome:
    if not result.get("verified", True):
        return Outcome.NOT_VISITED
    return Outcome.CHANGED if result.get("changed", False) else Outcome.UNCHANGED


def _removes(task: Any) -> bool:
    return bool(task.args.get("state") == "absent")


def _action(task: Any) -> str:
    # Whoever lists the collection in `collections:` may use the short names.
    name = task.resolved_action if task.action in _SHORT_NAMES else task.action
    return str(name)


def _message(result: Any) -> str:
    return str(result._result.get("msg") or result._result.get("skip_reason") or "no reason given")
