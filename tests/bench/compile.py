# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What it costs to compile every node's ruleset, from a snapshot that is loaded. Each case has a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler

from .clusters import CASES, cluster, nodes

COLUMNS = ("case", "pods", "policies", "nodes", "chains", "wall s", "CPU s", "MiB above the snapshot", "MiB in all")


def run() -> list[dict[str, Any]]:
    rows = []
    for case in CASES:
        done = subprocess.run([sys.executable, "-m", "bench.compile", case], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
    return rows


def measure(case: str) -> dict[str, Any]:
    snapshot = cluster(case)
    before, wall, processor = _peak(), time.monotonic(), time.process_time()
    compiler = Compiler(snapshot)
    rulesets = [compiler.ruleset(node) for node in nodes(snapshot)]
    return dict(
        zip(
            COLUMNS,
            (
                case,
                len(snapshot.pods),
                len(snapshot.network_policies),
                len(rulesets),
                sum(len(each.ipv4.chains) for each in rulesets),
                round(time.monotonic() - wall, 2),
                round(time.process_time() - processor, 2),
                _peak() - before,
                _peak(),
            ),
            strict=True,
        )
    )


def _peak() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
