# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two ways in which playbooks reach a lab's nodes: SSH, and the Kubernetes API alone (npm.netpol.node_pod)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml

from .lab import Lab

Connection = Literal["ssh", "node_pod"]

_ROOT = Path(__file__).resolve().parents[2]
_WITHOUT_SSH = _ROOT / "inventories" / "aks_without_ssh"
# Overrides what holds for Azure only, and says where the lab's nodes have their programs.
_OF_THE_LAB = _ROOT / "inventories" / "demo" / "hosts.yml"
_ACCESS = _ROOT / "collections/ansible_collections/npm/netpol/docs/node-pod/access.yaml"


def prepare(lab: Lab, connection: Connection) -> list[str]:
    """Make what the connection takes in the cluster, and return the options that ``ansible-playbook`` takes for it."""
    if connection == "node_pod":
        lab.apply(namespace_of_helper_pods())
    return inventories(lab, connection)


def inventories(lab: Lab, connection: Connection) -> list[str]:
    """The options of ``ansible-playbook`` that name the lab's nodes, and how they are reached."""
    nodes = lab.inventory if connection == "ssh" else _WITHOUT_SSH
    return ["-i", str(nodes), "-i", str(_OF_THE_LAB)]


def namespace_of_helper_pods() -> dict[str, Any]:
    """Of what users apply for npm.netpol.node_pod, that which the lab's API knows."""
    items: list[dict[str, Any]] = yaml.safe_load(_ACCESS.read_text())["items"]
    return next(each for each in items if each["kind"] == "Namespace")
