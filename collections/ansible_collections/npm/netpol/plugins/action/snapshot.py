# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a cluster once, from its API or from manifests, into a snapshot file on the controller."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

from ansible import constants as C  # noqa: N812 - the name that all of Ansible knows it by
from ansible_collections.npm.netpol.plugins.plugin_utils import whole_file
from ansible_collections.npm.netpol.plugins.plugin_utils.api_action import ApiAction
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import incremental, listing, manifests, store
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.configmaps import ConfigMapStore, Place, StoreError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.incremental import Reading
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot

# Job runners store results; the snapshot file has every problem.
_LONGEST_LIST = 100


class ActionModule(ApiAction):
    ARGUMENT_SPEC: ClassVar[dict[str, Any]] = {
        **ApiAction.API,
        "src": {"type": "list", "elements": "path"},
        "path": {"type": "path"},
        "state_dir": {"type": "path"},
        "state_configmap": {"type": "str"},
        "page_size": {"type": "int", "default": 500},
    }

    def act(self, parameters: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        self.check_least(parameters, page_size=1)
        if parameters["src"]:
            snapshot, details = self._from_manifests(parameters["src"])
            return self._written(snapshot, parameters["path"]) | details
        configmap = parameters["state_configmap"]
        return self._from_api(parameters, self.place(configmap) if configmap else None)

    def _from_manifests(self, paths: list[str]) -> tuple[Snapshot, dict[str, Any]]:
        try:
            found = manifests.read(map(Path, paths))
        except manifests.ManifestError as error:
            self.fail(f"no node was touched: {error}")
        return found.snapshot, {"requests": 0, "ignored": dict(found.ignored)}

    def _from_api(self, parameters: dict[str, Any], place: Place | None) -> dict[str, Any]:
        try:
            with self.client(parameters) as client:
                reading = self._read(client, parameters, place)
                snapshot = reading.snapshot if reading else listing.read(client, parameters["page_size"])
                result = self._written(snapshot, parameters["path"])
                warnings = []
                if not client.connection.verify and client.connection.host.startswith("https:"):
                    warnings.append(
                        f"the certificate of {client.connection.host} was not verified (validate_certs is false)"
                    )
                if reading:
                    result |= self._told(reading)
                    warnings += self._kept(reading, Path(result["path"]))
                if warnings:
                    result["warnings"] = warnings
                return result | {"requests": client.requests, "ignored": {}}
        except (AuthError, ApiError) as error:
            self.fail(f"the cluster could not be read, and no node was touched: {error}")

    def _read(self, client: ApiClient, parameters: dict[str, Any], place: Place | None) -> Reading | None:
        """None where no state is to be kept."""
        if not place and not parameters["state_dir"]:
            return None
        directory = Path(parameters["state_dir"]) if parameters["state_dir"] else None
        shared = ConfigMapStore(client, place) if place else None
        return incremental.read(client, directory, parameters["page_size"], shared)

    def _told(self, reading: Reading) -> dict[str, Any]:
        self._display.vv(f"the cluster was read in the mode {reading.mode}, changes: {reading.events}")
        if reading.reason:
            self._display.vv(f"listed in full: {reading.reason}")
        return {"mode": reading.mode, "reason": reading.reason, "events": reading.events}

    def _kept(self, reading: Reading, path: Path) -> list[str]:
        """Keep what was read, which is at ``path``, for the next run; returns warnings."""
        content = path.read_bytes()
        warnings = list(reading.warnings)
        try:
            reading.keep(content)
        except OSError as error:
            warnings.append(
                f"what was read could not be kept for the next run: {error.filename or reading.file}: {error.strerror}"
            )
        if reading.store and not self.check_mode:
            try:
                reading.share(content)
            except StoreError as error:
                warnings.append(
                    f"what was read could not be kept in the cluster, so that a run elsewhere lists all of it: {error}"
                )
            warnings += reading.store.warnings
        return warnings

    def _written(self, snapshot: Snapshot, option: str | None) -> dict[str, Any]:
        path, snapshot_id = self._write(snapshot, option)
        return {"path": str(path), "id": snapshot_id, **_report(snapshot)}

    def _write(self, snapshot: Snapshot, option: str | None) -> tuple[Path, str]:
        """To a file of this run alone, which no other run replaces before it is compiled; and a copy, if asked to."""
        # Ansible removes its own temporary directory when the run ends.
        place = C.DEFAULT_LOCAL_TMP
        try:
            path = Path(tempfile.mkdtemp(prefix="npm-netpol-", dir=place)) / "snapshot.json"
            snapshot_id = store.write(snapshot, path)
            if option:
                place = option
                whole_file.write(Path(option), path.read_bytes())
        except OSError as error:
            self.fail(f"no node was touched: the snapshot cannot be written to {place}: {error.strerror}")
        return path, snapshot_id


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
