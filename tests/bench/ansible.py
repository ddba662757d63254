# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run over nodes in sync, beside ``ansible -m ping`` and one raw command a node: same nodes, same forks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from .fleet import Cost, Fleet, fleet
from .results import Row, Table

NODES, NODES_OF_FULL = (30, 100), (100, 300)
NODES_OF_CHOICES = 100
FORKS = (5, 25, 50, 100)
LARGER = (1000, 5000)
PING, RAW, RUN = "ping", "raw command", "run"
COMMANDS: Mapping[str, tuple[str, ...]] = {PING: ("ping",), RAW: ("raw", "-a", "true")}
RUNS = (
    "connection", "nodes", "ping s", "raw s", "run s", "run / ping", "run / raw",
    "ping CPU s", "raw CPU s", "run CPU s", "run / ping CPU", "run / raw CPU",
)  # fmt: skip
PHASES = (
    "connection", "nodes", "start s", "snapshot s", "compile s", "nodes s", "end s",
    "exchanges a node", "tasks a node", "bytes a node",
)  # fmt: skip
CHOICES = ("nodes", "forks", "strategy", "slices", "wall s", "CPU s")
SCALE = ("connection", "nodes", "forks", "run s", "raw s", "ping s", "run CPU s", "raw CPU s", "ping CPU s")


def run(*, full: bool = False) -> list[Table]:
    """``full``: 100 and 300 nodes instead of 30 and 100."""
    runs: list[Row] = []
    phases: list[Row] = []
    choices: list[Row] = []
    for count in NODES_OF_FULL if full else NODES:
        with fleet(count) as nodes:
            for connection, costs in _all_ways(nodes):
                runs.append(_compared(connection, count, costs))
                phases.append({"connection": connection, "nodes": count, **phases_of(costs[RUN])})
            if count == NODES_OF_CHOICES:
                choices += _choices(nodes, count)
    scale = "An extrapolation, not a measurement: a straight line through the two sizes measured; CPU as above."
    return [
        Table(
            "runs", "Whole commands; CPU is the controller's, with local connections the nodes' as well.", RUNS, runs
        ),
        Table("phases", "Where the time of the run went, and what it did on each node.", PHASES, phases),
        Table("choices", "The run where each node answers 0.25 s late.", CHOICES, choices),
        Table("scale", scale, SCALE, list(_scale(runs))),
    ]


def _all_ways(nodes: Fleet) -> Iterator[tuple[str, dict[str, Cost]]]:
    commands: dict[str, Callable[..., Cost]] = {
        name: partial(nodes.ansible, arguments=arguments) for name, arguments in COMMANDS.items()
    }
    commands[RUN] = nodes.enforce
    yield "local", {name: command("local") for name, command in commands.items()}
    cold, warm = {}, {}
    for name, command in commands.items():
        # One right after the other: a shared connection that nobody uses is closed after a while.
        with nodes.connections() as control:
            cold[name] = command("ssh", control=control)
            warm[name] = command("ssh", control=control)
    yield "SSH, cold", cold
    yield "SSH, warm", warm


def _compared(connection: str, count: int, costs: Mapping[str, Cost]) -> Row:
    walls, cpus = ([getattr(costs[name], what) for name in (PING, RAW, RUN)] for what in ("wall", "cpu"))
    cells = [*(round(wall, 1) for wall in walls), *_ratios(walls), *(round(cpu, 1) for cpu in cpus), *_ratios(cpus)]
    return dict(zip(RUNS, (connection, count, *cells), strict=True))


def _ratios(values: Sequence[float]) -> tuple[float, float]:
    ping, raw, ours = values
    return round(ours / ping, 2), round(ours / raw, 2)


def phases_of(cost: Cost) -> Row:
    """From one mark to the next; and of what the nodes answered, the most of any node."""
    # Without a state in the cluster, what keeps it is skipped.
    marks = [event for event in cost.events if event["event"] != "ok" and event.get("task") != "npm.netpol.state"]
    begin, start, snapshot, compiling, nodes, end, gone = (mark["time"] for mark in marks)
    answers = [event for event in cost.events if event["event"] == "ok" and "exchanges" in event]
    hosts = [event["host"] for event in answers]
    spent = (start - begin, compiling - snapshot, nodes - compiling, end - nodes, gone - end + snapshot - start)
    cells = (
        *(round(each, 1) for each in spent),
        max(event["exchanges"] for event in answers),
        max(map(hosts.count, hosts)),
        max(event["bytes_sent"] + event["bytes_received"] for event in answers),
    )
    return dict(zip(PHASES[2:], cells, strict=True))


def _choices(nodes: Fleet, count: int) -> Iterator[Row]:
    def row(forks: int, strategy: str, slices: int, cost: Cost) -> Row:
        cells = (count, forks, strategy, slices, round(cost.wall, 1), round(cost.cpu, 1))
        return dict(zip(CHOICES, cells, strict=True))

    for forks in FORKS:
        yield row(forks, "linear", 1, nodes.enforce("late", forks=forks))
    for strategy in ("free", "host_pinned"):
        yield row(25, strategy, 1, nodes.enforce("late", forks=25, strategy=strategy))
    for slices in (2, 4):
        yield row(25, "linear", slices, nodes.enforce_in_slices("late", slices, forks=25))


def _scale(runs: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    """A straight line through the two sizes that were measured."""
    for connection in dict.fromkeys(row["connection"] for row in runs):
        measured = [row for row in runs if row["connection"] == connection]
        if len(measured) < 2:
            continue
        few, *_, many = measured
        for count in LARGER:
            share = (count - few["nodes"]) / (many["nodes"] - few["nodes"])
            seconds = {name: round(few[name] + share * (many[name] - few[name])) for name in SCALE[3:]}
            yield {"connection": connection, "nodes": count, "forks": 25, **seconds}
