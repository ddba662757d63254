# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reaches the nodes of a lab through its API: an inventory, playbooks, and what the API saw of it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from integration.run.playbooks import FIRST, SECOND, Output
from integration.run.playbooks import run as run_playbook
from lab.access import namespace_of_helper_pods
from lab.lab import Lab

__all__ = ["FIRST", "NAMESPACE", "SECOND", "Reach"]

NAMESPACE = "npm-netpol-nodes"
_PATIENCE_SECONDS = 30


@dataclass
class Reach:
    """A lab whose nodes are reached by helper pods. ``variables``: of the group; ``env``: of Ansible."""

    lab: Lab
    directory: Path
    variables: dict[str, Any] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.lab.apply(namespace_of_helper_pods())
        self.lab.api.clear_requests()

    @property
    def inventory(self) -> Path:
        path = self.directory / "inventory.yml"
        variables = {
            "ansible_connection": "npm.netpol.node_pod",
            "npm_node_pod_path": "/run/lab/bin",
            "npm_node_pod_ping": 1,
            **self.variables,
        }
        hosts: dict[str, Any] = {name: {} for name in self.lab.cluster.nodes}
        path.write_text(yaml.safe_dump({"npm_nodes": {"hosts": hosts, "vars": variables}}, allow_unicode=True))
        return path

    def play(self, *tasks: dict[str, Any], arguments: tuple[str, ...] = (), **play: Any) -> Output:
        """Run one play with these tasks on the nodes, or on ``hosts``."""
        return self.plays(
            {"hosts": "npm_nodes", "gather_facts": False, "tasks": list(tasks), **play}, arguments=arguments
        )

    def plays(self, *plays: dict[str, Any], arguments: tuple[str, ...] = ()) -> Output:
        path = self.directory / "play.yml"
        path.write_text(yaml.safe_dump(list(plays), allow_unicode=True))
        return self.playbook(path, *arguments)

    def playbook(self, playbook: str | Path, *arguments: str) -> Output:
        return run_playbook(self.lab, playbook, "-i", str(self.inventory), *arguments, env=self.env)

    def drive(self, *steps: list[str], node: str = FIRST) -> list[Any]:
        """What the connection itself returns of each step (``drive.py``)."""
        return self.measure(*steps, node=node)[2]

    def measure(self, *steps: list[str], node: str = FIRST) -> tuple[int, int, list[Any]]:
        """The most memory before and after, in KiB, and the results."""
        variables = {"inventory_hostname": node, "npm_node_pod_path": "/run/lab/bin", **self.variables}
        command = [sys.executable, str(Path(__file__).with_name("drive.py")), json.dumps(variables)]
        done = self.lab.run_in("ctl", [*command, *map(json.dumps, steps)], check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        return told["before"], told["after"], told["results"]

    # What the API has and saw

    def pods(self) -> list[dict[str, Any]]:
        return self.lab.api.list("pods", NAMESPACE)

    def created(self) -> int:
        """How many pods were made."""
        return sum(
            each["verb"] == "create" and each["resource"] == "pods" and each["code"] == 201 for each in self._requests()
        )

    def execs(self) -> list[dict[str, Any]]:
        return [each for each in self._requests() if each["resource"] == "pods/exec"]

    def is_clear(self) -> bool:
        """Whether the helper pods go, now that the run has ended: a process that it left behind sees to that."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while self.pods() and time.monotonic() < until:
            time.sleep(0.05)
        return not self.pods()

    def _requests(self) -> list[dict[str, Any]]:
        return list(self.lab.api.requests())
