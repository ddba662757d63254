# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a change at the API to its enforcement: a policy changes, a run begins at once, and on each node somebody
connects without pause and sees when the verdict is another."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.lab import Lab, unused_id
from lab.netns import LabError
from lab.probe import Attempt, Probe
from lab.spec import LabSpec, Node, Pod

from .results import Row, Table

ROOT = Path(__file__).resolve().parents[2]
NODES, NODES_OF_FULL = (1, 10), (1, 10, 50)
CHANGES = 6
# Of the probes' attempts at one node, and what all of them make in a second: their work is done by the same processors.
_INTERVAL, _ATTEMPTS_A_SECOND = 0.2, 100
_NAMESPACE = "shop"
COLUMNS = ("nodes", "run", "changes", "p50 s", "p99 s", "longest s", "whole run s", "whole run, not probed s")
RUNS = ("full", "only what changed")


def run(*, full: bool = False) -> list[Table]:
    """``full``: 50 nodes, too."""
    rows = [row for count in (NODES_OF_FULL if full else NODES) for row in _measure(count)]
    title = (
        "Over SSH. A policy of pods on every node is tightened, then loosened, and so on; seconds from the API's "
        f"answer until a node's verdict changed, to {_INTERVAL:g} s (of 50 nodes to {_interval(50):g} s), over all "
        "nodes and changes. The run begins at once: with a schedule, its interval comes on top."
    )
    return [Table("propagation", title, COLUMNS, rows)]


def _measure(count: int) -> Iterator[Row]:
    names = [f"node-{number:04}" for number in range(count)]
    pods = [Pod(_NAMESPACE, f"{app}-{name}", name, {"app": app}) for name in names for app in ("web", "client")]
    spec = LabSpec(tuple(map(Node, names)), pods=tuple(pods), families=("ipv4",))
    with tempfile.TemporaryDirectory(prefix="npm-bench-") as state, Lab.up(unused_id(), spec) as lab:
        ways: dict[str, dict[str, Any]] = {
            RUNS[0]: {},
            RUNS[1]: {"npm_scope": "changed", "npm_state_dir": state},
        }
        for way, variables in ways.items():
            _change(lab, 1)
            _enforce(lab, count, variables)
            delays, whole = _delays(lab, names, variables)
            unseen = []
            for number in range(CHANGES // 2):
                answered, ended = _answered_and_ended(lab, number, variables)
                unseen.append(ended - answered)
            cells = (count, way, CHANGES, _percentile(delays, 50), _percentile(delays, 99))
            longest = (round(max(each), 2) for each in (delays, whole, unseen))
            yield dict(zip(COLUMNS, (*cells, *longest), strict=True))


def _delays(lab: Lab, names: Sequence[str], variables: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Of every node and change, and of every run; in seconds."""
    probes = {name: Probe(f"{_NAMESPACE}/client-{name}", lab.ips(f"{_NAMESPACE}/web-{name}")[0]) for name in names}
    interval = _interval(len(names))
    delays, whole = [], []
    for number in range(CHANGES):
        with lab.continuous(list(probes.values()), interval=interval) as prober:
            time.sleep(2 * interval)
            changed, ended = _answered_and_ended(lab, number, variables)
            whole.append(ended - changed)
            time.sleep(2 * interval)
            prober.stop()
            for probe in probes.values():
                delays.append(_first(prober.of(probe), after=changed, allowed=bool(number % 2)) - changed)
    return delays, whole


def _answered_and_ended(lab: Lab, number: int, variables: Mapping[str, Any]) -> tuple[float, float]:
    """When the API had the change, and when the run had ended: all nodes have it by then."""
    _change(lab, number)
    answered = time.monotonic()
    _enforce(lab, len(lab.nodes), variables)
    return answered, time.monotonic()


def _interval(nodes: int) -> float:
    return max(_INTERVAL, nodes / _ATTEMPTS_A_SECOND)


def _first(attempts: Iterator[Attempt], after: float, *, allowed: bool) -> float:
    """When the first attempt began that had the new verdict, as all later ones."""
    seen = [(each.answer.start, each.answer.ok == allowed) for each in attempts if each.answer.start >= after]
    if not seen or not seen[-1][1]:
        raise LabError("the run has ended, and a node judges as before")
    last_as_before = max((start for start, is_new in seen if not is_new), default=after)
    return min(start for start, is_new in seen if is_new and start > last_as_before)


def _change(lab: Lab, number: int) -> None:
    """Tighten with even numbers, loosen with odd ones."""
    peer = {"podSelector": {"matchLabels": {"app": "client" if number % 2 else "nobody"}}}
    lab.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"namespace": _NAMESPACE, "name": "web"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{"from": [peer]}]},
        }
    )


def _enforce(lab: Lab, forks: int, variables: Mapping[str, Any]) -> None:
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [str(program), str(ROOT / "playbooks/enforce.yml"), "--forks", str(min(forks, 50))]
    lab.run_in("ctl", [*command, "-e", json.dumps(dict(variables))], check=True)


def _percentile(values: Sequence[float], percent: int) -> float:
    """By nearest rank."""
    return round(sorted(values)[math.ceil(len(values) * percent / 100) - 1], 2)
