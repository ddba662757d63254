# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What it costs to compile, from a snapshot that is loaded: every node's ruleset; all nodes' files, rendered and
written; and the files of one node alone, with all that is reported of the cluster. Each is a process of its own, which
reads the snapshot from a file and searches for no reference cycles, as :mod:`npm.netpol.compile` does."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils import cycles
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import store
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import Renderer, environment
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from ansible_collections.npm.netpol.plugins.plugin_utils.spool import RunWriter
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader

from .clusters import CASES, cluster, nodes
from .processes import facts_of

_COSTS = ("wall s", "CPU s", "MiB above the snapshot", "MiB in all")
COLUMNS = (
    "case",
    "pods",
    "policies",
    "nodes",
    "chains",
    *_COSTS,
    "rendered: wall s",
    "rendered: CPU s",
    "rendered: MiB in all",
    "one node: CPU s",
)

Facts = dict[str, Any]


def run(cases: Iterable[str] = CASES) -> list[Facts]:
    return [_row(case) for case in cases]


def _row(case: str) -> Facts:
    with TemporaryDirectory(prefix="npm-netpol-bench-") as directory:
        given = str(Path(directory) / "snapshot.json")
        facts_of("bench.compile", "make", case, given)
        every, rendered, one = (facts_of("bench.compile", each, case, given) for each in ("every", "render", "one"))
    return {
        "case": case,
        **every,
        **{f"rendered: {name}": rendered[name] for name in ("wall s", "CPU s", "MiB in all")},
        "one node: CPU s": one["CPU s"],
    }


def _every_ruleset(snapshot: Snapshot, _directory: Path) -> Facts:
    compiler = Compiler(snapshot)
    rulesets = [compiler.ruleset(node) for node in nodes(snapshot)]
    return {
        "pods": len(snapshot.pods),
        "policies": len(snapshot.network_policies),
        "nodes": len(rulesets),
        "chains": sum(len(each.ipv4.chains) for each in rulesets),
    }


def _every_file(snapshot: Snapshot, directory: Path) -> Facts:
    _write(Compiler(snapshot), nodes(snapshot), directory)
    return {}


def _one_node(snapshot: Snapshot, directory: Path) -> Facts:
    compiler = Compiler(snapshot)
    for found in (compiler.problems, compiler.protected, compiler.exposed_services):
        assert not found, found[0]
    assert compiler.summary.pods == len(snapshot.pods)
    _write(compiler, ["node-7"], directory)
    return {}


def _write(compiler: Compiler, names: Iterable[str], directory: Path) -> None:
    renderer, writer = Renderer(environment(loader())), RunWriter(directory)
    for name in names:
        writer.add(name, renderer.render(compiler.ruleset(name)))


def _measure(do: Callable[[Snapshot, Path], Facts], path: Path) -> Facts:
    """What is done, and what it cost beyond the snapshot that is there."""
    with TemporaryDirectory(prefix="npm-netpol-bench-") as directory, cycles.unsearched():
        snapshot = store.read(path)
        # From here on the peak: reading the file had one of its own.
        Path("/proc/self/clear_refs").write_text("5")
        before, wall, processor = _memory("VmRSS"), time.monotonic(), time.process_time()
        facts = do(snapshot, Path(directory))
        wall, processor, peak = time.monotonic() - wall, time.process_time() - processor, _memory("VmHWM")
    return facts | dict(zip(_COSTS, (round(wall, 2), round(processor, 2), peak - before, peak), strict=True))


def _memory(field: str) -> int:
    """Of this process, in MiB."""
    match = re.search(rf"^{field}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match, field
    return int(match[1]) // 1024


def main(what: str, case: str, path: Path) -> Facts:
    match what:
        case "make":
            store.write(cluster(case), path)
            return {}
        case "every":
            return _measure(_every_ruleset, path)
        case "render":
            return _measure(_every_file, path)
        case _:
            return _measure(_one_node, path)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
