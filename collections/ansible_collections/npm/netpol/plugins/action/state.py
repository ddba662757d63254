# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say in the cluster which nodes a run visits, and what the visits have left: the hosts' variables, and the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.npm.netpol.plugins.plugin_utils import spool, visits
from ansible_collections.npm.netpol.plugins.plugin_utils.api_action import ApiAction
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.configmaps import ConfigMapStore, StoreError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.hook import HOOKS
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import VARIANTS
from ansible_collections.npm.netpol.plugins.plugin_utils.node_names import name_of
from ansible_collections.npm.netpol.plugins.plugin_utils.node_records import (
    ALL,
    CHANGED,
    SCOPES,
    Record,
    RecordError,
    Records,
)

_BEGIN, _END = "begin", "end"
# The options of the ruleset module that decide what a node holds.
_TEXTS, _TRUTHS = ("variant", "hook"), ("accept", "datapath_check")


class ActionModule(ApiAction):
    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {
        **ApiAction.API,
        "step": {"type": "str", "choices": [_BEGIN, _END], "required": True},
        "state_configmap": {"type": "str", "required": True},
        "state_dir": {"type": "path"},
        "run": {"type": "path"},
        "hosts": {"type": "list", "elements": "str", "default": []},
        "same_for_all": {"type": "list", "elements": "str", "default": []},
        "scope": {"type": "str", "choices": list(SCOPES), "default": ALL},
        "variant": {"type": "str", "choices": ["auto", *VARIANTS], "default": "auto"},
        "hook": {"type": "str", "choices": list(HOOKS), "default": HOOKS[0]},
        "accept": {"type": "bool", "default": False},
        "datapath_check": {"type": "bool", "default": True},
        "page_size": {"type": "int"},
    }

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.check_least(parameters)
        self.stop_where_hosts_differ(parameters["same_for_all"], task_vars)
        place = self.place(parameters["state_configmap"])
        try:
            with self.client(parameters) as client:
                store = ConfigMapStore(client, place)
                if parameters["step"] == _BEGIN:
                    result = self._begin(store, self._for_all(parameters, task_vars), task_vars["hostvars"])
                else:
                    result = self._end(store, parameters["state_dir"])
                warnings = [*result.pop("warnings"), *store.warnings]
                return result | {"requests": client.requests} | ({"warnings": warnings} if warnings else {})
        except AuthError as error:
            self.fail(f"the state in the cluster cannot be reached: {error}")

    def _begin(
        self, store: ConfigMapStore, parameters: dict[str, Any], hostvars: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, Any]:
        try:
            cluster, wanted = self._wanted(parameters, hostvars)
        except spool.SpoolError as error:
            self.fail(f"no run to enforce: {error}")
        directory = self.run_directory()
        try:
            begun, warnings = visits.begin(store, directory, cluster, wanted, check_mode=self.check_mode)
        except OSError as error:
            self.fail(f"no node was touched: cannot write {error.filename or directory}: {error.strerror}")
        if parameters["state_dir"] and not self.check_mode:
            try:
                self._forget(Path(parameters["state_dir"]), begun.nodes)
            except RecordError as error:
                self.fail(str(error))
        return {"directory": str(directory), "left_out": len(wanted) - len(begun.nodes), "warnings": warnings}

    def _for_all(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Without what is the own of the host that this runs for: it is no other host's."""
        own = task_vars["hostvars"][task_vars["inventory_hostname"]]
        names = [name for name in ("scope", *_TEXTS, *_TRUTHS) if f"npm_{name}" in own]
        return parameters | {name: self.ARGUMENT_SPEC[name]["default"] for name in names}

    def _wanted(
        self, parameters: dict[str, Any], hostvars: Mapping[str, Mapping[str, Any]]
    ) -> tuple[str, dict[str, Record | None]]:
        """The cluster, and of each node the record with which it may be left out. Raises :class:`SpoolError`."""
        run = Path(parameters["run"]) if parameters["run"] else None
        cluster = spool.read_run(run).cluster if run else ""
        wanted: dict[str, Record | None] = {}
        for host in parameters["hosts"]:
            node = name_of(hostvars[host].get("npm_node_name"), host)
            if run is None:
                wanted[node] = None
            elif spool.has_node(run, node):
                wanted[node] = self._record(run, cluster, node, hostvars[host], parameters)
        return cluster, wanted

    def _record(
        self, run: Path, cluster: str, node: str, own: Mapping[str, Any], parameters: dict[str, Any]
    ) -> Record | None:
        """None for a node that is to be visited, or of which its visit will say what is wrong."""
        try:
            asked = {name: own.get(f"npm_{name}", parameters[name]) for name in ("scope", *_TEXTS, *_TRUTHS)}
            texts = {name: str(asked[name]) for name in _TEXTS}
            truths = {name: boolean(asked[name]) for name in _TRUTHS}
        except (AnsibleError, TypeError):
            return None
        if asked["scope"] != CHANGED:
            return None
        identity = spool.read_identity(run, node)
        return Record(cluster, node, identity.uid, identity.boot_id, spool.read_target(run, node), **texts, **truths)

    def _forget(self, state: Path, nodes: Iterable[str]) -> None:
        """What a directory knows of them, from runs that had no ConfigMap, becomes untrue by their visits."""
        records = Records(state)
        for node in nodes:
            records.forget(node)

    def _end(self, store: ConfigMapStore, state_dir: str | None) -> dict[str, Any]:
        if self.check_mode:
            return {"warnings": []}
        directory = self.run_directory()
        try:
            try:
                return {"warnings": visits.end(store, directory)}
            finally:
                if state_dir:
                    self._forget(Path(state_dir), Records(directory).visited())
        except RecordError as error:
            self.fail(
                f"the nodes are as they should be, but what the directory {state_dir} has noted of them may be untrue. "
                f"Delete it: {error.__cause__}"
            )
        except (StoreError, OSError) as error:
            self.fail(
                "the nodes are as they should be, but what the cluster has noted of them may be untrue. Delete the "
                f"ConfigMaps with the label npm.netpol/state={store.place.name}, or run with npm_scope all: {error}"
            )
