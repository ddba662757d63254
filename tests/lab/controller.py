# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller needs to reach the nodes: keys, known hosts, the Ansible inventory, the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from .cluster import Cluster
from .node import USER

_ROOT = Path(__file__).resolve().parents[2]


def make_keys(directory: Path) -> None:
    """A host key (shared by the lab's nodes) and a client key; ed25519, made for this lab."""
    directory.mkdir(mode=0o700)
    for name in ("host_key", "client_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {name}", "-f", str(directory / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def write_inventory(directory: Path, cluster: Cluster) -> None:
    """``inventory.yml`` (group npm_nodes; no interpreter: nodes have none) and ``known_hosts``."""
    key = " ".join((directory / "keys" / "host_key.pub").read_text().split()[:2])
    addresses = {name: cluster.node_ips(name) for name in cluster.nodes}
    lines = [f"{ip} {key}\n" for ips in addresses.values() for ip in ips]
    (directory / "known_hosts").write_text("".join(lines))
    (directory / "cp").mkdir(mode=0o700, exist_ok=True)
    variables = {
        "ansible_user": USER,
        "ansible_become": True,
        "ansible_ssh_private_key_file": str(directory / "keys" / "client_key"),
        "ansible_ssh_common_args": " ".join(ssh_options(directory)),
        # Labs beside each other have the same addresses: their connections must not be shared.
        "ansible_control_path_dir": str(directory / "cp"),
    }
    hosts = {name: {"ansible_host": ips[0]} for name, ips in addresses.items()}
    inventory = {"npm_nodes": {"hosts": hosts, "vars": variables}}
    (directory / "inventory.yml").write_text(yaml.safe_dump(inventory, sort_keys=False, width=1000))


def ssh_options(directory: Path) -> list[str]:
    return [
        "-o StrictHostKeyChecking=yes",
        f"-o UserKnownHostsFile={directory / 'known_hosts'}",
        "-o GlobalKnownHostsFile=/dev/null",
        "-o IdentitiesOnly=yes",
        "-o ConnectTimeout=5",
    ]


def environment(directory: Path) -> dict[str, str]:
    """This process's environment with the lab's kubeconfig, inventory and ansible.cfg in it."""
    result = {name: value for name, value in os.environ.items() if not name.startswith(("K8S_AUTH_", "KUBE"))}
    kubeconfig = directory / "api" / "kubeconfig"
    return result | {
        # The tools of the environment that runs the lab: ansible-playbook and its like.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{result.get('PATH', os.defpath)}",
        "KUBECONFIG": str(kubeconfig),
        "K8S_AUTH_KUBECONFIG": str(kubeconfig),
        "ANSIBLE_CONFIG": str(_ROOT / "ansible.cfg"),
        "ANSIBLE_INVENTORY": str(directory / "inventory.yml"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(directory / "cp"),
        "ANSIBLE_COLLECTIONS_PATH": str(_ROOT / "collections"),
    }
