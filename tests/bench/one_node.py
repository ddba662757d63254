# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings one node of a lab to a run's directory, in a process of its own, and says what that cost whom.

The same code as in the action plugin; the way to the node is short (nsenter): what SSH adds is the benchmark "ansible".
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils import spool
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import exchange, script
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import Options, Wanted, converge
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from lab.lab import Lab
from lab.node import Node

from .processes import facts_of


def in_own_process(lab: Lab, node: str, run: Path) -> dict[str, Any]:
    """What :func:`measure` gives, of a new process."""
    return facts_of("bench.one_node", lab.id, node, str(run))


def measure(node: Node, run: Path) -> dict[str, Any]:
    """The result of the product's own steps, and beside it CPU seconds, processes started and this process's peak."""
    processes, ours, theirs, wall = last_process(node), _cpu("SELF"), _cpu("CHILDREN"), time.monotonic()
    result = converge(
        lambda data: node.run(exchange.RECEIVER, input=data).stdout, _scripts(), wanted(node, run), Options()
    )
    return {
        **asdict(result),
        "wall": time.monotonic() - wall,
        "controller_cpu": _cpu("SELF") - ours,
        "node_cpu": _cpu("CHILDREN") - theirs,
        # The process that reads the number is one itself.
        "processes": last_process(node) - processes - 1,
        "peak": peak(),
    }


def wanted(node: Node, directory: Path) -> Wanted:
    run = spool.read_run(directory)
    return Wanted(
        id=spool.read_target(directory, node.name),
        cluster=run.cluster,
        version=run.resource_version,
        snapshot=run.snapshot,
        texts=lambda: spool.read_rendered(directory, node.name),
    )


def last_process(node: Node) -> int:
    """The number of a process that starts on the node now. Nodes count their own, one by one."""
    return int(node.run("echo $$").stdout)


def peak() -> int:
    """The most memory that this process has held, in MiB (not what it inherited, as ru_maxrss would have it)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def _scripts() -> Any:
    return script.environment(loader())


def _cpu(whose: str) -> float:
    usage = resource.getrusage(getattr(resource, f"RUSAGE_{whose}"))
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("lab", "node"):
        parser.add_argument(name)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(measure(Lab.attach(arguments.lab).nodes[arguments.node], arguments.run)))
