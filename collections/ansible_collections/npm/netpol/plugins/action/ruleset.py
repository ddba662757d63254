# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bring a node to what this run has compiled for it: the connection, the run's files and the result's form."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import jinja2
from ansible.plugins.loader import connection_loader
from ansible_collections.npm.netpol.plugins.plugin_utils import spool
from ansible_collections.npm.netpol.plugins.plugin_utils.ansible_action import ControllerAction
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import (
    NotConvergedError,
    Options,
    Result,
    Wanted,
    converge,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.exchange import END, RECEIVER
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.hook import HOOKS
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.script import environment, prepared
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import VARIANTS
from ansible_collections.npm.netpol.plugins.plugin_utils.node_names import name_of
from ansible_collections.npm.netpol.plugins.plugin_utils.node_records import (
    ALL,
    CHANGED,
    SCOPES,
    Record,
    RecordError,
    Records,
    Remember,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader

# Ansible reads this file once, before it forks a process for each node: what is made ready here, none of them has to
# make for itself. Its own connections it reads as early, but not those of collections.
_OWN_SCRIPTS = prepared(environment(loader()))
connection_loader.get("npm.netpol.node_pod", class_only=True)

# They ask for a password on a terminal of their own, or have no standard input to give away.
_BECOME_WITHOUT_INPUT = ("su", "runas", "machinectl", "ksu", "pbrun")

# How much of a program's complaint a message repeats.
_LONGEST_REASON = 1000


class _LeftOutError(Exception):
    """The run leaves this node out on purpose."""

    def __init__(self, left_out: spool.Excluded) -> None:
        super().__init__(left_out.reason)
        self.left_out = left_out


class ActionModule(ControllerAction):
    _requires_connection = True

    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "run": {"type": "path"},
        "node": {"type": "str"},
        "variant": {"type": "str", "choices": ["auto", *VARIANTS], "default": "auto"},
        "hook": {"type": "str", "choices": list(HOOKS), "default": HOOKS[0]},
        "accept": {"type": "bool", "default": False},
        "datapath_check": {"type": "bool", "default": True},
        "allow_older": {"type": "bool", "default": False},
        "allow_other_cluster": {"type": "bool", "default": False},
        "lock_timeout": {"type": "int", "default": 60},
        "diff_limit": {"type": "int", "default": 200},
        "template_path": {"type": "list", "elements": "path", "default": []},
        "scope": {"type": "str", "choices": list(SCOPES), "default": ALL},
        "state_dir": {"type": "path"},
    }

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self._check(parameters)
        node = name_of(parameters["node"], task_vars["inventory_hostname"])
        self._refuse_connections_without_input()
        try:
            wanted = self._wanted(parameters["run"], node) if parameters["state"] == "present" else None
        except _LeftOutError as error:
            if error.left_out.kind is spool.Exclusion.UNKNOWN:
                self.fail(str(error), node=node)
            return {"skipped": True, "skip_reason": str(error), "msg": str(error), "node": node}
        record = self._record(parameters, node, wanted)
        if record and parameters["scope"] == CHANGED and Records(Path(parameters["state_dir"])).hold(record):
            return {"verified": False, "node": node, "msg": "left out: unchanged since its last run"}
        return self._bring(node, wanted, record, parameters)

    def _bring(
        self, node: str, wanted: Wanted | None, record: Record | None, parameters: dict[str, Any]
    ) -> dict[str, Any]:
        """Visit the node, and note in the state that it holds what it is to hold."""
        options = Options(
            **{name: parameters[name] for name in Options.__slots__ if name in parameters},
            check_mode=self.check_mode,
            diff=self.diff,
        )
        try:
            with self._visit(parameters, node, wanted) as remember:
                result = converge(self._exchange, _scripts(parameters["template_path"]), wanted, options)
                # With a warning something is left to do, for the next run.
                if record and not result.warnings and (warning := remember(record)):
                    result.warnings.append(warning)
        except RecordError as error:
            self.fail(str(error), node=node)
        except NotConvergedError as error:
            self.fail(str(error), **self._facts(node, None, error.result))
        except spool.SpoolError as error:
            self.fail(f"no run to enforce: {error}", node=node)
        except jinja2.TemplateError as error:
            self.fail(f"a template of the node's scripts is wrong: {error}", node=node)
        return {**self._facts(node, wanted, result), "verified": True}

    def _check(self, parameters: dict[str, Any]) -> None:
        for name in ("lock_timeout", "diff_limit"):
            if parameters[name] < 0:
                self.fail(f"{name} is {parameters[name]}: the least is 0")
        if parameters["scope"] == CHANGED and not parameters["state_dir"]:
            self.fail(
                "npm_scope is changed, but neither npm_state_dir nor npm_state_configmap is set: without a state of "
                "earlier runs, nobody knows which nodes have changed"
            )

    def _wanted(self, run_directory: str | None, node: str) -> Wanted:
        if not run_directory:
            self.fail(
                "run is required when state is present: the directory that npm.netpol.compile returned in this run"
            )
        directory = Path(run_directory)
        try:
            run = spool.read_run(directory)
            if left_out := run.excluded.get(node):
                raise _LeftOutError(left_out)
            if not spool.has_node(directory, node):
                self.fail(
                    f"this run has compiled nothing for the node {node}: it was not among the hosts of the play, or "
                    "npm_node_name is a variable of a play or of a role, and not of the host"
                )
            return Wanted(
                id=spool.read_target(directory, node),
                cluster=run.cluster,
                version=run.resource_version,
                snapshot=run.snapshot,
                texts=lambda: spool.read_rendered(directory, node),
                boot_id=spool.read_identity(directory, node).boot_id,
            )
        except spool.SpoolError as error:
            self.fail(f"no run to enforce: {error}")

    def _record(self, parameters: dict[str, Any], node: str, wanted: Wanted | None) -> Record | None:
        """What will be known of the node once it holds ``wanted``; None where nothing is, or no state is kept."""
        if wanted is None or not parameters["state_dir"]:
            return None
        try:
            identity = spool.read_identity(Path(parameters["run"]), node)
        except spool.SpoolError as error:
            self.fail(f"no run to enforce: {error}")
        asked = {name: parameters[name] for name in ("variant", "hook", "accept", "datapath_check")}
        return Record(wanted.cluster, node, identity.uid, identity.boot_id, wanted.id, **asked)

    def _visit(
        self, parameters: dict[str, Any], node: str, wanted: Wanted | None
    ) -> contextlib.AbstractContextManager[Remember]:
        """Around all that is done on the node. Check mode leaves the state as it is, like the node."""
        if self.check_mode or not parameters["state_dir"]:
            return contextlib.nullcontext(lambda _record: "")
        # A node that we leave, or take over, may be known as one of any cluster. It is asked for its own only once it
        # is visited, and a record that goes for nothing costs no more than a visit.
        may_be_anothers = wanted is None or parameters["allow_other_cluster"]
        cluster = None if may_be_anothers else wanted.cluster
        return Records(Path(parameters["state_dir"])).visit(node, cluster, parameters["lock_timeout"])

    def _refuse_connections_without_input(self) -> None:
        if not self._connection.has_pipelining:
            self.fail(
                f"the connection {self._connection.transport} cannot carry a script's standard input: use ssh, "
                "local or another one that supports pipelining"
            )
        become = self._connection.become
        if become is not None and become.name.rpartition(".")[2] in _BECOME_WITHOUT_INPUT:
            self.fail(
                f"become_method {become.name} cannot carry a script's standard input: use sudo, or log in as root"
            )

    def _exchange(self, data: bytes) -> str:
        answer = self._low_level_execute_command(RECEIVER, in_data=data, sudoable=True)
        output: str = answer["stdout"]
        if END not in output:
            reason = answer["stderr"].strip() or output.strip() or "no message"
            self.fail(f"the node's script ended early (exit status {answer['rc']}): {reason[-_LONGEST_REASON:]}")
        return output

    def _facts(self, node: str, wanted: Wanted | None, result: Result) -> dict[str, Any]:
        facts = {name: value for name, value in asdict(result).items() if name not in ("diff", "warnings")}
        facts["node"] = node
        if wanted is not None:
            facts["snapshot"] = wanted.snapshot
        if result.warnings:
            facts["warnings"] = result.warnings
        if self.diff and result.diff:
            facts["diff"] = {"prepared": result.diff}
        return facts


def _scripts(template_path: list[str]) -> jinja2.Environment:
    return environment(loader(template_path)) if template_path else _OWN_SCRIPTS
