# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ways to a node of a lab that are measured beside each other, each in a process of its own in the controller."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from lab.lab import Lab, wait_for

from . import kubernetes_core
from .helper_pods import SETTINGS

COLD, WARM, OURS = "SSH, cold", "SSH, warm", "node_pod"
KUBECTL, CLIENT = "kubernetes.core.kubectl", "kubernetes.stream"
_PATIENCE = 1200.0


@dataclass(frozen=True, slots=True)
class Plan:
    """``kind`` and ``options``: those of :mod:`bench.one_way`; ``env``: what its process needs."""

    kind: str
    options: Mapping[str, Any]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pods:
    """Helper pods by their nodes, and how long it took until all of them ran."""

    seconds: float
    names: Mapping[str, str]


# In words, why this machine does not have one.
Ways = Mapping[str, Plan | str]


def ways(lab: Lab, node: str, pod: str) -> Ways:
    """``pod``: a helper pod on the node, for those ways that make none."""
    ssh = yaml.safe_load(lab.inventory.read_text())["npm_nodes"]["vars"] | {"ansible_host": lab.ip(node)}
    # Each command is a connection of its own.
    cold = ssh | {"ansible_ssh_args": "-o ControlMaster=no -o ControlPath=none"}
    ours = {"inventory_hostname": node, "npm_node_pod_path": "/run/lab/bin"}
    return {
        COLD: _plugin("ansible.builtin.ssh", cold, prefix="sudo -n "),
        WARM: _plugin("ansible.builtin.ssh", ssh, prefix="sudo -n "),
        OURS: _plugin("npm.netpol.node_pod", ours),
        KUBECTL: _kubectl(pod),
        CLIENT: Plan("client", {"pod": pod, "namespace": SETTINGS.namespace}),
    }


def _plugin(name: str, variables: Mapping[str, Any], **options: str) -> Plan:
    return Plan("ansible", {"plugin": name, "variables": variables, **options})


def _kubectl(pod: str) -> Plan | str:
    try:
        collections = kubernetes_core.collections_path()
    except kubernetes_core.UnavailableError as error:
        return str(error)
    variables = {"ansible_kubectl_pod": pod, "ansible_kubectl_namespace": SETTINGS.namespace}
    options = {"plugin": KUBECTL, "variables": variables}
    return Plan("ansible", options, {"ANSIBLE_COLLECTIONS_PATH": str(collections)})


def facts(lab: Lab, plan: Plan, *steps: Sequence[Any]) -> list[Any]:
    """What :func:`bench.one_way.measure` gives, of a new process; what it leaves on the cluster has gone then."""
    before = _pods(lab)
    told = {"kind": plan.kind, "options": plan.options, "steps": steps}
    done = _in_controller(lab, "bench.one_way", json.dumps(told), env=plan.env)
    wait_for(lambda: _pods(lab) <= before, "the end of a helper pod", _PATIENCE)
    result: list[Any] = done
    return result


@contextlib.contextmanager
def helper_pods(lab: Lab, *nodes: str) -> Iterator[Pods]:
    """One on each of the nodes, made at once and without Ansible."""
    made = _in_controller(lab, "bench.helper_pods", *nodes)
    yield Pods(made["seconds"], made["pods"])
    for name in made["pods"].values():
        lab.api.delete(lab.api.get("pods", name, SETTINGS.namespace))
    wait_until_gone(lab)


def wait_until_gone(lab: Lab) -> None:
    wait_for(lambda: not _pods(lab), "the end of the helper pods", _PATIENCE)


def _pods(lab: Lab) -> set[str]:
    return {pod["metadata"]["name"] for pod in lab.api.list("pods", SETTINGS.namespace)}


def _in_controller(lab: Lab, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """What ``python -m MODULE`` prints there, which is JSON. It finds what this process finds."""
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", module, *arguments]
    done = lab.run_in("ctl", command, env={"PYTHONPATH": path, **(env or {})}, check=True, timeout=_PATIENCE)
    return json.loads(done.stdout.splitlines()[-1])
