# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run did, in words: the lines that a person reads at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LONGEST_LIST = 20
_LONGEST_REASON = 400
# What is in a message because it also has to stand alone, as a task's result.
_SAID_ANYWAY = ("no node was touched: ", ", and no node was touched")
_ENDED_EARLY = "The run ended early: it was interrupted, or an error above ended it"
_STOPPED_LATER = "The run ended early, after its visits to the nodes below"


class Outcome(StrEnum):
    """What became of one node. One that was not visited holds, for all that is known, what it is to hold."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NOT_VISITED = "not visited"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    LEFT_OUT = "left out"
    CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class NodeResult:
    """One host's last result; ``drift`` is what differed on the node although nothing new was to be enforced.

    ``removing``: everything of ours was to go. ``overtaken``: that was before something was compiled, to be enforced.
    """

    host: str
    outcome: Outcome
    reason: str = ""
    drift: tuple[str, ...] = ()
    removing: bool = False
    overtaken: bool = False


@dataclass(frozen=True, slots=True)
class RunResult:
    """All that a run reported.

    ``compiled`` is the result of :mod:`npm.netpol.compile`, empty when there was none. ``stopped`` is the reason
    why the run ended before it came to its nodes, or empty; those that it has were visited before, as where a playbook
    has two runs of ours. ``ended_early``: it did not come to its end. ``nobody``: a play of ours had no hosts.
    """

    nodes: tuple[NodeResult, ...] = ()
    compiled: Mapping[str, Any] = field(default_factory=dict)
    stopped: str = ""
    ended_early: bool = False
    check_mode: bool = False
    nobody: bool = False


def summary(run: RunResult) -> list[str]:
    """The lines of the summary; none when the run had nothing to do with us."""
    lines: list[str] = []
    if run.stopped:
        lines.append(f"{_STOPPED_LATER if run.nodes else 'No node was touched'}: {_reason(run.stopped)}")
    elif run.ended_early:
        lines.append(_ENDED_EARLY if run.nodes else f"No node was touched. {_ENDED_EARLY}")
    if run.nodes:
        lines += _nodes(run)
    if run.compiled:
        lines += _cluster(run)
    if run.nobody:
        lines.append("Nothing was done: the inventory has no host in the group npm_nodes, or --limit left none")
    return lines


def _reason(stopped: str) -> str:
    beginning, within = _SAID_ANYWAY
    return _one_line(stopped).removeprefix(beginning).replace(within, "", 1)


def _holders(run: RunResult) -> int:
    """How many of the nodes that were compiled for hold it now."""
    good = (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.NOT_VISITED)
    return 0 if run.check_mode else sum(node.outcome in good and not node.removing for node in run.nodes)


def _nodes(run: RunResult) -> Iterator[str]:
    numbers = Counter(node.outcome for node in run.nodes)
    with_reason = (Outcome.FAILED, Outcome.UNREACHABLE, Outcome.LEFT_OUT)
    counts: Mapping[str, int] = run.compiled.get("counts", {})
    others = (*with_reason, Outcome.CUT_OFF)
    others_text = [f"{_number(numbers[outcome])} {outcome}" for outcome in others if numbers[outcome]]
    reached = sum(not node.overtaken for node in run.nodes)
    not_reached = counts.get("nodes", 0) + counts.get("nodes_left_out", 0) - reached
    if not_reached > 0:
        others_text.append(f"{_number(not_reached)} not reached, because the run ended early")
    if not_visited := numbers[Outcome.NOT_VISITED]:
        others_text.append(f"{_number(not_visited)} left out: unchanged since their last run")
    yield f"Nodes: {', '.join([*_good(run), *others_text])}"
    for outcome in with_reason:
        named = [f"{node.host}: {_one_line(node.reason)}" for node in run.nodes if node.outcome is outcome]
        yield from _list(outcome.capitalize(), sorted(named))
    cut_off = [node.host for node in run.nodes if node.outcome is Outcome.CUT_OFF]
    yield from _list("Cut off in a visit, of which the next run finds out what came", sorted(cut_off))
    drifted = [f"{node.host}: {_one_line('; '.join(node.drift))}" for node in run.nodes if node.drift]
    yield from _list("Drift found" if run.check_mode else "Drift found and healed", sorted(drifted))


def _good(run: RunResult) -> Iterator[str]:
    """Those that were enforced on, then those that were cleaned: mostly a run has only one sort."""
    for removing in sorted({node.removing for node in run.nodes}):
        numbers = Counter(node.outcome for node in run.nodes if node.removing is removing)
        changed, unchanged = (_number(numbers[outcome]) for outcome in (Outcome.CHANGED, Outcome.UNCHANGED))
        if removing:
            yield f"{changed} {'would be cleaned' if run.check_mode else 'cleaned'}, {unchanged} had nothing of ours"
        elif run.check_mode:
            yield f"{changed} would change, {unchanged} in sync"
        else:
            converged = _number(numbers[Outcome.CHANGED] + numbers[Outcome.UNCHANGED])
            yield f"{converged} converged ({changed} changed, {unchanged} unchanged)"


def _cluster(run: RunResult) -> Iterator[str]:
    counts: Mapping[str, int] = run.compiled["counts"]
    holders, nodes = _holders(run), counts["nodes"]
    in_force = not run.check_mode and holders >= nodes
    # What is to come after a run, other than in check mode, was meant to come by it.
    is_missing = not run.check_mode and not in_force and bool(run.nodes or run.ended_early)
    so_far = f"; so far on {_number(holders)} of {_number(nodes)} nodes" if is_missing else ""
    pods, ingress, egress = (
        _number(counts[name]) for name in ("pods", "pods_isolated_ingress", "pods_isolated_egress")
    )
    enforced, refused = (_number(counts[name]) for name in ("policies_enforced", "policies_refused"))
    to_be = "" if in_force else "to be "
    yield f"Pods: {pods}; {to_be}isolated: {ingress} for ingress, {egress} for egress{so_far}"
    yield f"Policies: {enforced} {to_be}enforced, {refused} refused{so_far}"
    for name, title in _LISTS.items():
        yield from _list(title, run.compiled[name], counts[name])


_LISTS = {
    "problems": "Refused, in whole or in part",
    "exposed_services": "Services that hide their clients' addresses from the policies of their pods",
    "nodes_missing_in_inventory": "Nodes of the cluster that the inventory lacks: nobody enforces for their pods",
    "inventory_without_node": "Hosts of the inventory that the cluster lacks",
    "windows_nodes": "Windows nodes, which are left out",
    "virtual_nodes": "Virtual nodes, which are left out",
}


def _list(title: str, items: Sequence[str], total: int | None = None) -> Iterator[str]:
    total = len(items) if total is None else total
    if not total:
        return
    shown = items[:LONGEST_LIST]
    yield f"{title} ({_number(total)}):"
    yield from (f"  {_one_line(item)}" for item in shown)
    if total > len(shown):
        yield f"  … and {_number(total - len(shown))} more"


def _one_line(text: str) -> str:
    words = " ".join(text.split()).removeprefix("Task failed: ")
    return words if len(words) <= _LONGEST_REASON else f"{words[: _LONGEST_REASON - 1]}…"


def _number(number: int) -> str:
    return f"{number:,}"


def outcomes(nodes: Iterable[NodeResult]) -> tuple[NodeResult, ...]:
    """One result for each host, the last one given, sorted by host."""
    last = {node.host: node for node in nodes}
    return tuple(last[host] for host in sorted(last))
