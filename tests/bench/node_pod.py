# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection npm.netpol.node_pod beside SSH and beside others' exec: commands, files, and runs over many nodes."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.access import namespace_of_helper_pods
from lab.lab import Lab, unused_id
from lab.spec import LabSpec, Node

from .fleet import Cost, Fleet, fleet
from .results import Row, Table
from .ways import COLD, OURS, WARM, Plan, Ways, facts, helper_pods, wait_until_gone, ways

NODE = "node-0"
NODES, NODES_OF_FULL = 5, 50
MEGABYTES, MEGABYTES_OF_FULL = 10, 100
# Of a small image that the node has already, on AKS.
START_SECONDS = 1.0
_TURNS, _ROUNDS = 3, 10
_REMOTE = "/dev/shm/npm-netpol-bench"  # noqa: S108 (of the node; its /tmp is small)

COMMANDS = ("way", "command ms", "command x", "script ms", "script x")
FILES = ("way", "MB", "in s", "in x", "in MiB", "in grows", "out s", "out x", "out MiB", "out grows", "programs MiB")
RUNS = (
    "nodes", "forks", f"{COLD} s", f"{WARM} s", f"{OURS} s", f"{OURS} - {COLD} s", "one pod s", "all pods s",
    f"{COLD} CPU s", f"{OURS} CPU s",
)  # fmt: skip


def run(*, full: bool = False) -> list[Table]:
    """``full``: files of 100 MB instead of 10, and 50 nodes instead of 5."""
    with _one_node() as (lab, ways_there):
        plans = {name: way for name, way in ways_there.items() if isinstance(way, Plan)}
        missing = [f"{name}: not measured, {way}" for name, way in ways_there.items() if isinstance(way, str)]
        commands = [*_commands(lab, plans), *_empty(COMMANDS, missing)]
        files = [*_files(lab, plans, MEGABYTES_OF_FULL if full else MEGABYTES), *_empty(FILES, missing)]
    runs = [_over_nodes(NODES_OF_FULL if full else NODES)]
    return [
        Table(
            "commands",
            "A command (`true`), and a script of 3 kB through the input of `sh`, each by a new connection; x: times "
            f"{WARM}. SSH is with sudo, {OURS} enters the node, the two below stay in the helper pod.",
            COMMANDS,
            commands,
        ),
        Table(
            "files",
            f"One file to the node and back; x: times {WARM}. MiB: the most memory that the process has held; grows: "
            "what came with the file; programs: those that it starts (ssh, kubectl; ours: what removes pods).",
            FILES,
            files,
        ),
        Table(
            "over nodes",
            f"playbooks/enforce.yml over nodes in sync, the quickest of {_TURNS} turns. A pod of the lab takes "
            f"{START_SECONDS:g} s to start, and what making its processes takes: one alone, and all at once, both "
            "without Ansible. CPU is the controller's.",
            RUNS,
            runs,
        ),
    ]


@contextlib.contextmanager
def _one_node() -> Iterator[tuple[Lab, Ways]]:
    with Lab.up(unused_id(), LabSpec((Node(NODE),), families=("ipv4",))) as lab:
        lab.apply(namespace_of_helper_pods())
        with helper_pods(lab, NODE) as pods:
            yield lab, ways(lab, NODE, pods.names[NODE])


def _commands(lab: Lab, plans: Mapping[str, Plan]) -> Iterator[Row]:
    commands: dict[str, list[float]] = {name: [] for name in plans}
    scripts: dict[str, list[float]] = {name: [] for name in plans}
    # They take turns, so that what disturbs one disturbs all.
    for _ in range(_TURNS):
        for name, plan in plans.items():
            # The first makes the pod, or the shared connection.
            _first, *times = facts(lab, plan, ["command", 1], ["command", _ROUNDS], ["script", _ROUNDS])
            commands[name] += times[0]
            scripts[name] += times[1]
    for name in plans:
        cells = (*_beside_warm(commands, name), *_beside_warm(scripts, name))
        yield dict(zip(COMMANDS, (name, *cells), strict=True))


def _beside_warm(seconds: Mapping[str, list[float]], name: str) -> tuple[float, float]:
    """The median in milliseconds, and as a ratio."""
    median, of_warm = statistics.median(seconds[name]), statistics.median(seconds[WARM])
    return round(median * 1000, 1), round(median / of_warm, 2)


def _files(lab: Lab, plans: Mapping[str, Plan], megabytes: int) -> Iterator[Row]:
    local, back = (lab.directory / "bench" / each for each in ("sent", "back"))
    for directory in (local, back):
        directory.mkdir(parents=True)
    (local / "file").write_bytes(os.urandom(megabytes * 1000 * 1000))
    taken: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for name, plan in plans.items():
        # The name of the one that comes back is what kubectl's plugin would give it in any case.
        remote, fetched = f"{_REMOTE}-{len(taken)}", back / f"{Path(_REMOTE).name}-{len(taken)}"
        (sent,) = facts(lab, plan, ["put", str(local / "file"), remote])
        (received,) = facts(lab, plan, ["fetch", remote, str(fetched)])
        if fetched.read_bytes() != (local / "file").read_bytes():
            raise RuntimeError(f"{name}: not the file that was sent came back")
        lab.nodes[NODE].run(["/run/lab/bin/rm", "-f", remote])
        taken[name] = (sent, received)
    for name in plans:
        cells = [cell for at in (0, 1) for cell in _transfer(taken[name][at], taken[WARM][at])]
        programs = _mib(max(each["programs"] for each in taken[name]))
        yield dict(zip(FILES, (name, megabytes, *cells, programs), strict=True))


def _transfer(taken: Mapping[str, Any], of_warm: Mapping[str, Any]) -> tuple[float, float, int, int]:
    return (
        round(taken["seconds"], 2),
        round(taken["seconds"] / of_warm["seconds"], 2),
        _mib(taken["after"]),
        _mib(taken["after"] - taken["before"]),
    )


def _over_nodes(count: int) -> Row:
    with fleet(count) as nodes:
        nodes.lab.api.settings(kubelet={"start_delay": START_SECONDS})
        names = sorted(nodes.lab.nodes)
        with helper_pods(nodes.lab, names[0]) as one:
            one_pod = one.seconds
        with helper_pods(nodes.lab, *names) as every:
            all_pods = every.seconds
        turns = [_turn(nodes, count) for _ in range(_TURNS)]
    costs = {way: min((turn[way] for turn in turns), key=lambda cost: cost.wall) for way in turns[0]}
    cold, warm, ours = (costs[way] for way in (COLD, WARM, OURS))
    walls = (cold.wall, warm.wall, ours.wall, ours.wall - cold.wall, one_pod, all_pods)
    cells = (*(round(each, 2) for each in walls), *(round(each.cpu, 1) for each in (cold, ours)))
    return dict(zip(RUNS, (count, count, *cells), strict=True))


def _turn(nodes: Fleet, forks: int) -> dict[str, Cost]:
    with nodes.connections() as control:
        cold = nodes.enforce("ssh", forks=forks, control=control)
        warm = nodes.enforce("ssh", forks=forks, control=control)
    ours = nodes.enforce("node_pod", forks=forks)
    wait_until_gone(nodes.lab)
    return {COLD: cold, WARM: warm, OURS: ours}


def _empty(columns: tuple[str, ...], names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        yield dict.fromkeys(columns, "") | {"way": name}


def _mib(kib: int) -> int:
    return round(kib / 1024)
