# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Many nodes of a lab for Ansible: what they hold, how they are reached, and commands on all of them, timed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lab import netns
from lab.access import namespace_of_helper_pods
from lab.lab import Lab, unused_id
from lab.spec import LabSpec, Namespace
from lab.spec import Node as NodeSpec

ROOT = Path(__file__).resolve().parents[2]
_CALLBACKS = Path(__file__).with_name("callbacks")
_PODS_A_NODE = 10
_TEAMS = 10
_PATIENCE = 1200.0
_PYTHON = Path("/usr/bin/python3").resolve()
# What Ansible's sudo plugin calls in sudo's place, with "-u root" and the command: the way into a node of the lab.
_ENTER = """#!/bin/sh
shift 2
{delay}exec {command}
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """One command: seconds of wall time, and of CPU of the controller's processes (on SSH: ssh's own, too)."""

    wall: float
    cpu: float
    events: tuple[Mapping[str, Any], ...] = ()


class Fleet:
    """The nodes and their inventories.

    "ssh", "node_pod" (by helper pods), "local", and "late" (local, but every node takes a while to answer).
    """

    def __init__(self, lab: Lab, directory: Path, delay: float = 0.25) -> None:
        self.lab = lab
        self.delay = delay
        self._directory = directory
        self._inventories = {
            "ssh": self._ssh(),
            "node_pod": self._node_pod(),
            "local": self._local("local", ""),
            "late": self._local("late", delay),
        }

    def ansible(self, way: str, arguments: Sequence[str], **options: Any) -> Cost:
        """``ansible npm_nodes -m MODULE …``."""
        return self._run(way, ["ansible", "npm_nodes", "-m", *arguments], **options)

    def enforce(self, way: str, *arguments: str, **options: Any) -> Cost:
        """The playbook, as anybody runs it."""
        return self._run(way, ["ansible-playbook", str(ROOT / "playbooks/enforce.yml"), *arguments], **options)

    def enforce_in_slices(self, way: str, slices: int, **options: Any) -> Cost:
        """As a job runner slices a job: so many runs at once, each of a part of the inventory."""
        names = sorted(self.lab.nodes)
        parts = [",".join(names[number::slices]) for number in range(slices)]
        start, before = time.time(), self._cpu()
        with ThreadPoolExecutor(slices) as pool:
            for _ in pool.map(lambda part: self.enforce(way, "--limit", part, **options), parts):
                pass
        return Cost(time.time() - start, self._cpu() - before)

    def _run(
        self,
        way: str,
        command: Sequence[str],
        *,
        forks: int = 25,
        strategy: str = "linear",
        control: Path | None = None,
    ) -> Cost:
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="phases-") as phases:
            environment = {
                "ANSIBLE_FORKS": str(forks),
                "ANSIBLE_STRATEGY": strategy,
                "ANSIBLE_INVENTORY": str(self._inventories[way]),
                # Or root on the controller would not enter the nodes but stay there.
                "ANSIBLE_BECOME_ALLOW_SAME_USER": "true",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(control or self._directory),
                "ANSIBLE_CALLBACK_PLUGINS": str(_CALLBACKS),
                "ANSIBLE_CALLBACKS_ENABLED": "npm.netpol.summary,phases",
                "BENCH_PHASES": phases.name,
            }
            start, before = time.time(), self._cpu()
            self.lab.run_in("ctl", command, env=environment, check=True, timeout=_PATIENCE)
            end, after = time.time(), self._cpu()
            events = [json.loads(line) for line in phases]
        marks = ({"event": "begin", "time": start}, *events, {"event": "exit", "time": end})
        return Cost(end - start, after - before, marks)

    def _cpu(self) -> float:
        """Of our children that have ended, and of the ssh processes that keep connections open."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime + sum(map(_ssh_cpu, netns.processes([self.lab.namespace("ctl")])))

    @contextmanager
    def connections(self) -> Iterator[Path]:
        """A directory for ssh's shared connections: cold to begin with. At the end they are closed."""
        with tempfile.TemporaryDirectory(prefix="cp-", dir=self._directory) as directory:
            yield Path(directory)
            for path in Path(directory).iterdir():
                subprocess.run(["ssh", "-O", "exit", "-S", str(path), "x"], check=False, capture_output=True)

    def _ssh(self) -> Path:
        inventory = yaml.safe_load(self.lab.inventory.read_text())
        group = inventory["npm_nodes"]
        group["vars"]["ansible_python_interpreter"] = str(_PYTHON)
        # Given for each run.
        del group["vars"]["ansible_control_path_dir"]
        return self._write("ssh", inventory)

    def _node_pod(self) -> Path:
        self.lab.apply(namespace_of_helper_pods())
        variables = {"ansible_connection": "npm.netpol.node_pod", "npm_node_pod_path": "/run/lab/bin"}
        return self._write(
            "node_pod", {"npm_nodes": {"hosts": {name: {} for name in self.lab.nodes}, "vars": variables}}
        )

    def _local(self, name: str, delay: float | str) -> Path:
        hosts = {}
        for node in self.lab.nodes.values():
            path = self._directory / f"{name}-{node.name}"
            text = _ENTER.format(delay=f"sleep {delay}\n" if delay else "", command=" ".join(node.command(['"$@"'])))
            path.write_text(text)
            path.chmod(0o755)
            hosts[node.name] = {"ansible_become_exe": str(path)}
        variables = {
            "ansible_connection": "local",
            "ansible_become": True,
            "ansible_become_flags": "",
            "ansible_python_interpreter": str(_PYTHON),
        }
        return self._write(name, {"npm_nodes": {"hosts": hosts, "vars": variables}})

    def _write(self, name: str, inventory: Mapping[str, Any]) -> Path:
        path = self._directory / f"{name}.yml"
        path.write_text(yaml.safe_dump(inventory, width=1000))
        return path


@contextmanager
def fleet(count: int) -> Iterator[Fleet]:
    """So many nodes, with Python (for ping: nodes of ours need none), in sync with a cluster of small teams."""
    nodes = tuple(NodeSpec(f"node-{number:04}") for number in range(count))
    spec = LabSpec(
        nodes, tuple(Namespace(f"team-{n}") for n in range(_TEAMS)), families=("ipv4",), objects=_objects(nodes)
    )
    with tempfile.TemporaryDirectory(prefix="npm-bench-") as directory, Lab.up(unused_id(), spec) as lab:
        for node in lab.nodes.values():
            # Each of its names has been hidden for itself.
            node.run_tool(["/bin/sh", "-c", f"while /bin/umount {_PYTHON} 2>/dev/null; do :; done"])
        made = Fleet(lab, Path(directory))
        made.enforce("local")
        yield made


def _objects(nodes: Sequence[NodeSpec]) -> tuple[dict[str, Any], ...]:
    """Ten pods a node in ten teams; in each team, "app" may be entered by "client", and "client" by nobody."""
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": f"team-{n}",
                "name": f"pod-{index}",
                "labels": {"app": ("app", "client")[index % 2]},
            },
            "spec": {"nodeName": node.name, "containers": [{"name": "app", "image": "app"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": f"10.{244 + index // 256}.{index % 256}.{n + 4}"}]},
        }
        for index, node in enumerate(nodes)
        for n in range(_PODS_A_NODE)
    ]
    policies = [policy for n in range(_TEAMS) for policy in (_policy(n, "app", ["client"]), _policy(n, "client", []))]
    return (*pods, *policies)


def _policy(team: int, app: str, clients: Sequence[str]) -> dict[str, Any]:
    peers = [{"podSelector": {"matchLabels": {"app": client}}} for client in clients]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"namespace": f"team-{team}", "name": app},
        "spec": {
            "podSelector": {"matchLabels": {"app": app}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": 8080}]}] if peers else [],
        },
    }


def _ssh_cpu(pid: int) -> float:
    try:
        head, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = rest.split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if head.endswith("(ssh") else 0.0
