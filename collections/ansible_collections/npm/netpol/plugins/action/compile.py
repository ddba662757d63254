# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compile a snapshot and render it, node by node, into a directory of this run alone; and copy that, if asked to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants as C  # noqa: N812 - the name that all of Ansible knows it by
from ansible.module_utils.basic import missing_required_lib
from ansible_collections.npm.netpol.plugins.plugin_utils import cycles, spool
from ansible_collections.npm.netpol.plugins.plugin_utils.ansible_action import ControllerAction
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import store
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot, SnapshotFormatError
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import (
    Renderer,
    RenderError,
    check_readable,
    environment,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.node_selection import Selection, select
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.cidr import NETADDR_ERROR
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings, SettingsError
from ansible_collections.npm.netpol.plugins.plugin_utils.spool import Identity, Run, RunWriter, SpoolError
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader

# Job runners store results; `counts` has the full numbers.
_LONGEST_LIST = 100


class ActionModule(ControllerAction):
    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {
        "snapshot": {"type": "path", "required": True},
        "nodes": {"type": "list", "elements": "str"},
        "inventory": {"type": "list", "elements": "str"},
        "always_allowed_sources": {"type": "list", "elements": "str", "default": []},
        "protected_namespaces": {"type": "list", "elements": "str", "default": ["kube-system", "npm-netpol-nodes"]},
        "template_path": {"type": "list", "elements": "path", "default": []},
        "directory": {"type": "path"},
        "same_for_all": {"type": "list", "elements": "str", "default": []},
    }

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        if NETADDR_ERROR:
            self.fail(missing_required_lib("netaddr"), exception=str(NETADDR_ERROR))
        self.stop_where_hosts_differ(parameters["same_for_all"], task_vars)
        with cycles.unsearched():
            return self._compile(parameters)

    def _compile(self, parameters: dict[str, Any]) -> dict[str, Any]:
        snapshot, snapshot_id = self._read(Path(parameters["snapshot"]))
        compiler = self._compiler(snapshot, parameters)
        self._stop_before_the_cluster_is_cut_off(compiler)
        selection = select(snapshot, parameters["nodes"], parameters["inventory"])
        run = Run(snapshot.cluster.uid, snapshot.cluster.version, snapshot_id, selection.excluded)
        identities = {node.name: Identity(node.uid, node.boot_id) for node in snapshot.nodes}
        directory = self._write(compiler, selection, identities, run, parameters)
        return {
            "run": {
                "directory": str(directory),
                "snapshot": run.snapshot,
                "cluster": run.cluster,
                "resource_version": run.resource_version,
            },
            **_report(compiler, selection),
        }

    def _read(self, path: Path) -> tuple[Snapshot, str]:
        try:
            return store.read_with_id(path)
        except OSError as error:
            self.fail(f"cannot read the snapshot {path}: {error.strerror}")
        except (SnapshotFormatError, UnicodeDecodeError) as error:
            self.fail(f"{path}: {error}")

    def _compiler(self, snapshot: Snapshot, parameters: dict[str, Any]) -> Compiler:
        settings = Settings(
            # A text is split at commas, and people write a space behind each.
            always_allowed_sources=tuple(each.strip() for each in parameters["always_allowed_sources"]),
            protected_namespaces=tuple(each.strip() for each in parameters["protected_namespaces"]),
        )
        try:
            return Compiler(snapshot, settings)
        except SettingsError as error:
            self.fail(f"no node was touched: {error}")

    def _stop_before_the_cluster_is_cut_off(self, compiler: Compiler) -> None:
        if compiler.protected:
            found = "; ".join(str(problem) for problem in compiler.protected)
            self.fail(
                f"no node was touched: {found}. "
                "To enforce it nevertheless, annotate the policy so, or take its namespace out of "
                "npm_protected_namespaces.",
                protected=_texts(compiler.protected),
            )

    def _write(
        self,
        compiler: Compiler,
        selection: Selection,
        identities: Mapping[str, Identity],
        run: Run,
        parameters: dict[str, Any],
    ) -> Path:
        for each in parameters["template_path"]:
            # An empty path would be the directory that ansible-playbook was started in.
            if not each or not Path(each).is_dir():
                self.fail(f"template_path: {each!r} is no directory")
        template_path = [Path(each) for each in parameters["template_path"]]
        renderer = Renderer(environment(loader(template_path)))
        try:
            # Ansible removes its own temporary directory when the run ends.
            writer = RunWriter(Path(tempfile.mkdtemp(prefix="npm-netpol-run-", dir=C.DEFAULT_LOCAL_TMP)))
            for node in selection.compiled:
                ruleset = compiler.ruleset(node)
                rendered = renderer.render(ruleset)
                if template_path:
                    check_readable(rendered)
                writer.add(node, rendered, identities.get(node, Identity()))
            writer.finish(run)
            if parameters["directory"]:
                spool.copy(writer.directory, Path(parameters["directory"]))
        except (RenderError, SpoolError) as error:
            self.fail(f"no node was touched: {error}")
        return writer.directory


def _report(compiler: Compiler, selection: Selection) -> dict[str, Any]:
    names = {
        "nodes_missing_in_inventory": selection.not_in_inventory,
        "inventory_without_node": selection.not_in_cluster,
        "windows_nodes": selection.windows,
        "virtual_nodes": selection.virtual,
    }
    problems = {"problems": compiler.problems, "exposed_services": compiler.exposed_services}
    return {
        "counts": {
            "nodes": len(selection.compiled),
            "nodes_left_out": len(selection.excluded),
            **asdict(compiler.summary),
            **{name: len(values) for name, values in (names | problems).items()},
        },
        **{name: list(values[:_LONGEST_LIST]) for name, values in names.items()},
        **{name: _texts(values) for name, values in problems.items()},
    }


def _texts(problems: Iterable[object]) -> list[str]:
    return [str(problem) for problem in problems][:_LONGEST_LIST]
