# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs a playbook in the lab's controller and reads what it printed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lab.lab import Lab

ROOT = Path(__file__).resolve().parents[3]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
FIRST, SECOND = "aks-nodepool1-12345678-vmss000000", "aks-nodepool1-12345678-vmss000001"

# Otherwise a node that is down is waited for, again and again.
QUICK_SSH = ("-e", "ansible_ssh_retries=0")


@dataclass(frozen=True, slots=True)
class Output:
    """A finished run: its exit code and all that it printed."""

    code: int
    text: str

    @property
    def summary(self) -> list[str]:
        """The lines of our summary; none when there was none."""
        lines = self.text.splitlines()
        start = next((number for number, line in enumerate(lines, 1) if line.startswith("NETWORK POLICIES ")), None)
        return [line for line in lines[start:] if line] if start else []

    def recap(self, host: str) -> dict[str, int]:
        """The numbers of Ansible's recap for one host: ``{"ok": 1, "changed": 0, …}``."""
        (line,) = (line for line in self.text.splitlines() if line.startswith(f"{host} ") and " : ok=" in line)
        return {name: int(number) for name, number in (word.split("=") for word in line.split(" : ")[1].split())}


def run(
    lab: Lab,
    playbook: str | Path,
    *arguments: str,
    variables: dict[str, Any] | None = None,
    env: dict[str, str] | None = None,
) -> Output:
    """Run a playbook of the repository by its name, or any by its path."""
    path = ROOT / "playbooks" / f"{playbook}.yml" if isinstance(playbook, str) else playbook
    extra = ("-e", json.dumps(variables)) if variables else ()
    done = lab.run_in("ctl", [ANSIBLE_PLAYBOOK, str(path), *arguments, *extra], env=env)
    return Output(done.returncode, done.stdout + done.stderr)


def inventory_with(lab: Lab, path: Path, hosts: dict[str, dict[str, Any]], without: tuple[str, ...] = ()) -> Path:
    """The lab's inventory, with ``hosts`` added or replaced, at ``path``."""
    inventory = yaml.safe_load(lab.inventory.read_text())
    listed = inventory["npm_nodes"]["hosts"]
    listed.update(hosts)
    for name in without:
        del listed[name]
    path.write_text(yaml.safe_dump(inventory))
    return path


def policy(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A NetworkPolicy of all pods of the namespace, unless ``spec`` says otherwise."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


# The servers are web-1 on FIRST, and web-2 on SECOND.
FROM_CLIENTS = policy(
    "from-clients",
    podSelector={"matchLabels": {"app": "web"}},
    ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
)


def ours(lab: Lab, node: str) -> str:
    """What a node's kernel holds of ours, in one text; empty when there is nothing."""
    script = "{ ipset list -n; iptables-nft-save; ip6tables-nft-save; } 2>/dev/null | grep -i npm-"
    return str(lab.nodes[node].run(script, check=False).stdout)


def netfilter(lab: Lab, node: str) -> str:
    """All that a node's kernel holds of anybody's: rules with their handles, sets, names of legacy tables."""
    each = lab.nodes[node]
    texts = [each.run_tool(["/usr/sbin/nft", "--stateless", "--handle", "list", "ruleset"])]
    texts += [each.run_tool(["/usr/sbin/ipset", "save"])]
    for family, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        for table in sorted(each.run_tool(["/usr/bin/cat", f"/proc/net/{names}"]).split()):
            saved = each.run_tool([f"/usr/sbin/{family}-legacy-save", "-t", table]).splitlines()
            texts += [f"{family} legacy {table}", *(line for line in saved if not line.startswith(("#", ":")))]
    return "\n".join(texts)


def visits(lab: Lab, node: str) -> int:
    """How often somebody came: logins over SSH, and commands as root."""
    logins = lab.nodes[node].log().count("Accepted publickey")
    return logins + commands(lab, node)


def commands(lab: Lab, node: str) -> int:
    """How many commands sudo has run on the node: one for each of our exchanges."""
    return sum("COMMAND=" in line for line in lab.nodes[node].sudo_log())
