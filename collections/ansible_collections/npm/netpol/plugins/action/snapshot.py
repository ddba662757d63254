# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a cluster once, from its API or from manifests, into a snapshot file on the controller."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants as C  # noqa: N812 - the name that all of Ansible knows it by
from ansible.module_utils.basic import missing_required_lib
from ansible_collections.npm.netpol.plugins.plugin_utils.ansible_action import ControllerAction
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import (
    auth,
    incremental,
    listing,
    manifests,
    options,
    store,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.incremental import Reading
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.transport import URLLIB3_ERROR
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot

# Job runners store results; the snapshot file has every problem.
_LONGEST_LIST = 100


class ActionModule(ControllerAction):
    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {
        **options.ARGUMENT_SPEC,
        "src": {"type": "list", "elements": "path"},
        "path": {"type": "path"},
        "state_dir": {"type": "path"},
        "page_size": {"type": "int", "default": 500},
        "retries": {"type": "int", "default": 4},
        "timeout": {"type": "float", "default": 30.0},
    }

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        for name, least in (("page_size", 1), ("retries", 0), ("timeout", 0.001)):
            if parameters[name] < least:
                self.fail(f"{name} is {parameters[name]}: the least is {least}")
        reading: Reading | None = None
        if parameters["src"]:
            snapshot, details = self._from_manifests(parameters["src"])
        else:
            snapshot, reading, details = self._from_api(parameters)
        path, snapshot_id = self._write(snapshot, parameters["path"])
        if reading:
            details |= self._keep(reading, path, details.get("warnings", []))
        return {"path": str(path), "id": snapshot_id, **_report(snapshot), **details}

    def _from_manifests(self, paths: list[str]) -> tuple[Snapshot, dict[str, Any]]:
        try:
            found = manifests.read(map(Path, paths))
        except manifests.ManifestError as error:
            self.fail(f"no node was touched: {error}")
        return found.snapshot, {"requests": 0, "ignored": dict(found.ignored)}

    def _from_api(self, parameters: dict[str, Any]) -> tuple[Snapshot, Reading | None, dict[str, Any]]:
        if URLLIB3_ERROR:
            self.fail(missing_required_lib("kubernetes", reason="to read an API"), exception=str(URLLIB3_ERROR))
        try:
            with ApiClient(
                partial(auth.connect, parameters, self.environment()),
                retries=parameters["retries"],
                timeout=parameters["timeout"],
                tell=self._display.vv,
            ) as client:
                reading: Reading | None = None
                if parameters["state_dir"]:
                    reading = incremental.read(client, Path(parameters["state_dir"]), parameters["page_size"])
                snapshot = reading.snapshot if reading else listing.read(client, parameters["page_size"])
                details: dict[str, Any] = {"requests": client.requests, "ignored": {}}
                if not client.connection.verify and client.connection.host.startswith("https:"):
                    warning = f"the certificate of {client.connection.host} was not verified (validate_certs is false)"
                    details["warnings"] = [warning]
        except (AuthError, ApiError) as error:
            self.fail(f"the cluster could not be read, and no node was touched: {error}")
        return snapshot, reading, details

    def _keep(self, reading: Reading, path: Path, warnings: list[str]) -> dict[str, Any]:
        """Keep what was read, which is at ``path``, for the next run; returns what is told about it."""
        self._display.vv(f"the cluster was read in the mode {reading.mode}, changes: {reading.events}")
        if reading.reason:
            self._display.vv(f"listed in full: {reading.reason}")
        try:
            reading.keep(path.read_bytes())
        except OSError as error:
            words = (
                f"what was read could not be kept for the next run: {error.filename or reading.file}: {error.strerror}"
            )
            warnings = [*warnings, words]
        told = {"mode": reading.mode, "reason": reading.reason, "events": reading.events}
        return told | ({"warnings": warnings} if warnings else {})

    def _write(self, snapshot: Snapshot, option: str | None) -> tuple[Path, str]:
        # Ansible removes its own temporary directory when the run ends.
        path = Path(option or Path(tempfile.mkdtemp(prefix="npm-netpol-", dir=C.DEFAULT_LOCAL_TMP)) / "snapshot.json")
        try:
            return path, store.write(snapshot, path)
        except OSError as error:
            self.fail(f"no node was touched: the snapshot cannot be written to {path}: {error.strerror}")


def _report(snapshot: Snapshot) -> dict[str, Any]:
    counts = {
        "namespaces": len(snapshot.namespaces),
        "pods": len(snapshot.pods),
        "nodes": len(snapshot.nodes),
        "services": len(snapshot.services),
        "network_policies": len(snapshot.network_policies),
        "cluster_network_policies": len(snapshot.cluster_network_policies),
        "problems": len(snapshot.problems),
    }
    return {
        "cluster_uid": snapshot.cluster.uid,
        "resource_version": snapshot.cluster.version,
        "counts": counts,
        "problems": [str(problem) for problem in snapshot.problems[:_LONGEST_LIST]],
    }
