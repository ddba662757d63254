# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one full node costs: 250 pods, 2,000 rules, 500 sets, 150,000 members; first converge, steady state, changes."""

from __future__ import annotations

import gzip
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils import spool
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader
from lab.lab import Lab, unused_id
from lab.node import Node
from lab.spec import LabSpec
from lab.spec import Node as NodeSpec

from .one_node import in_own_process
from .results import Row, Table
from .workload import FULL, Size, Workload, workload

NAME = "node-1"
TORN = 100
CHURN = 0.01
COLUMNS = (
    "iptables",
    "step",
    "compile CPU s",
    "converge s",
    "node CPU s",
    "controller CPU s",
    "exchanges",
    "processes",
    "bytes sent",
    "bytes received",
    "byte limit",
    "controller MiB",
)


def run(*, full: bool = False) -> list[Table]:
    """Nothing is larger with ``full``: this is the full node."""
    rows = [row for variant in ("nft", "legacy") for row in steps(variant)]
    return [Table("steps", __doc__ or "", COLUMNS, rows)]


def steps(variant: Any, size: Size = FULL) -> Iterator[Row]:
    """One row for each thing that happens to the node, one after the other."""
    start = workload(NAME, size)
    with (
        tempfile.TemporaryDirectory(prefix="npm-bench-") as directory,
        Lab.up(unused_id(), spec(variant), api=None) as lab,
    ):
        runs = _Runs(lab, Path(directory), variant)
        yield runs.row("first converge", start)
        yield runs.row("in sync", now := start.newer())
        churned = now.churned(CHURN)
        yield runs.row("1% of members churn", churned)
        yield runs.row("one policy edited", edited := churned.edited())
        tear(lab.nodes[NAME], variant)
        yield runs.row(f"{TORN} rules torn out", edited.newer())


def spec(variant: Any) -> LabSpec:
    return LabSpec((NodeSpec(NAME),), families=("ipv4",), variant=variant)


def tear(node: Node, variant: str, count: int = TORN) -> None:
    """Delete so many of our rules, as somebody might who meant well."""
    rules = [
        line
        for line in node.run(f"iptables-{variant}-save -t filter").stdout.splitlines()
        if line.startswith("-A NPM-")
    ]
    torn = random.Random(1).sample(rules, count)  # noqa: S311 - a benchmark's input
    text = "\n".join(["*filter", *(f"-D{line[2:]}" for line in torn), "COMMIT", ""])
    node.run(f"iptables-{variant}-restore --noflush", input=text)


class _Runs:
    """The runs of one node, each with what the one before had rendered."""

    def __init__(self, lab: Lab, directory: Path, variant: str) -> None:
        self._lab = lab
        self._directory = directory
        self._variant = variant
        self._renderer = render.Renderer(render.environment(loader()))
        self._held = ""

    def row(self, step: str, cluster: Workload) -> Row:
        snapshot = cluster.snapshot()
        start = time.process_time()
        rendered = self._renderer.render(Compiler(snapshot).ruleset(NAME))
        writer = spool.RunWriter(self._directory)
        writer.add(NAME, rendered)
        writer.finish(spool.Run(snapshot.cluster.uid, snapshot.cluster.version, snapshot.id))
        compiled = time.process_time() - start
        cost = in_own_process(self._lab, NAME, self._directory)
        text = rendered.ipset + rendered.iptables + rendered.ip6tables
        limit = 2 * compressed_change(self._held, text) + len(gzip.compress(text.encode(), 6))
        self._held = text
        cells = (
            self._variant,
            step,
            round(compiled, 2),
            round(cost["wall"], 2),
            round(cost["node_cpu"], 2),
            round(cost["controller_cpu"], 2),
            cost["exchanges"],
            cost["processes"],
            cost["bytes_sent"],
            cost["bytes_received"],
            limit,
            cost["peak"],
        )
        return dict(zip(COLUMNS, cells, strict=True))


def compressed_change(old: str, new: str) -> int:
    """The bytes of what differs between two rendered states, compressed: no fewer could tell it."""
    before, after = set(old.splitlines()), set(new.splitlines())
    lines = [f"-{line}" for line in old.splitlines() if line not in after]
    lines += [f"+{line}" for line in new.splitlines() if line not in before]
    return len(gzip.compress("\n".join(lines).encode(), 6))
