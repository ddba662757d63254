# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running the project's playbooks on the lab's controller, as people run them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.access import Connection, inventories
from lab.lab import Lab
from lab.netns import LabError

from .cluster import ROOT

_SUMMARY = re.compile(r"^NETWORK POLICIES \*+\n(.*)", re.MULTILINE | re.DOTALL)
_RECAP = re.compile(r"^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended well: the nodes that its recap reports as changed, and the summary at its end."""

    changed: frozenset[str]
    summary: str

    def section(self, start: str) -> str:
        """The part of the summary whose first line starts so, with the lines below it; empty when there is none."""
        found = re.search(rf"^{re.escape(start)}.*\n(?: .*\n)*", self.summary, re.MULTILINE)
        return found.group() if found else ""


def playbook(lab: Lab, connection: Connection, name: str, *options: str) -> Run:
    """Run ``playbooks/<name>``. Raises LabError with its output when any node did not get through."""
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), f"playbooks/{name}", *inventories(lab, connection), *options]
    done = lab.run_in("ctl", command, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}, check=True, cwd=ROOT)
    recap = {node: [int(each) for each in numbers] for node, *numbers in _RECAP.findall(done.stdout)}
    if recap.keys() != lab.nodes.keys() or any(unreachable or failed for _, unreachable, failed in recap.values()):
        raise LabError(f"{name} did not converge every node:\n{done.stdout}\n{done.stderr}")
    summary = _SUMMARY.search(done.stdout)
    if summary is None:
        raise LabError(f"{name} ended without a summary:\n{done.stdout}\n{done.stderr}")
    return Run(frozenset(node for node, (changed, _, _) in recap.items() if changed), summary.group(1))
