# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the project's playbooks on the lab's controller, as people run them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.lab import Lab
from lab.netns import LabError

from .cluster import INVENTORY, ROOT

_RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended well: its whole output and the nodes that it reports as changed."""

    output: str
    changed: frozenset[str]


def inventories(lab: Lab) -> list[str]:
    """The lab's nodes, and the demo's variables for them."""
    return ["-i", str(lab.inventory), "-i", str(INVENTORY / "hosts.yml")]


def playbook(lab: Lab, name: str, *options: str) -> Run:
    """Run ``playbooks/<name>`` over SSH. Raises LabError with its output when any node did not get through."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), f"playbooks/{name}", *inventories(lab), *options]
    done = lab.run_in("ctl", command, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, check=True, cwd=ROOT)
    recap = {node: [int(each) for each in numbers] for node, *numbers in _RECAP.findall(done.stdout)}
    if recap.keys() != lab.nodes.keys() or any(unreachable or failed for _, unreachable, failed in recap.values()):
        raise LabError(f"{name} did not converge every node:\n{done.stdout}\n{done.stderr}")
    return Run(done.stdout, frozenset(node for node, (changed, _, _) in recap.items() if changed))
