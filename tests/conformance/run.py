# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running cases against a backend: the oracle, the packet walk, or the kernel with either iptables variant.

Several processes share the cases, each with a lab of its own: most of a run is waiting for packets that don't come.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Literal, get_args

from lab.lab import Lab, unused_id
from lab.spec import Family

from . import offline, suite
from .case import Case, Step
from .flow import FAMILIES
from .kernel import OnKernel, Seen
from .table import differences, truth

Backend = Literal["oracle", "walk", "nft", "legacy"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
ON_KERNEL: tuple[Backend, ...] = ("nft", "legacy")


@dataclass(frozen=True, slots=True)
class Target:
    """What cases are held against."""

    backend: Backend
    families: tuple[Family, ...] = FAMILIES

    def __str__(self) -> str:
        return self.backend if self.families == FAMILIES else f"{self.backend} {' '.join(self.families)}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went: how many flows were asked, and what is wrong, with its tables (empty: it passed).

    ``left_out``: how many flows could not be asked here (``conformance.kernel.impossible``).
    """

    case: str
    target: Target
    flows: int
    failure: str
    seconds: float
    left_out: int = 0

    @property
    def passed(self) -> bool:
        return not self.failure


def run(cases: Sequence[Case], target: Target, jobs: int = 1) -> Iterator[Outcome]:
    """The outcome of each case, as they come. Raises RuntimeError when a process ends before its cases do."""
    by_suite: dict[str, list[Case]] = {}
    for case in cases:
        by_suite.setdefault(case.suite, []).append(case)
    for name, some in by_suite.items():
        if jobs == 1:
            yield from _run(name, some, target)
        else:
            yield from _share(name, [some[number::jobs] for number in range(min(jobs, len(some)))], target)


def _share(name: str, parts: Sequence[list[Case]], target: Target) -> Iterator[Outcome]:
    context = multiprocessing.get_context("fork")
    outcomes: Any = context.Queue()
    workers = [context.Process(target=_work, args=(name, part, target, outcomes), daemon=True) for part in parts]
    for worker in workers:
        worker.start()
    try:
        for _each in range(sum(map(len, parts))):
            outcome = outcomes.get()
            if isinstance(outcome, str):
                raise RuntimeError(outcome)
            yield outcome
    finally:
        for worker in workers:
            # One that has told of all its cases still has a lab to take down.
            worker.join(timeout=60)
            worker.terminate()


def _work(name: str, cases: list[Case], target: Target, outcomes: Any) -> None:
    try:
        for outcome in _run(name, cases, target):
            outcomes.put(outcome)
    except Exception:
        outcomes.put(f"a process of suite {name} on {target} ended:\n{traceback.format_exc()}")


def _run(name: str, cases: Iterable[Case], target: Target) -> Iterator[Outcome]:
    """Of one suite, in one process."""
    with ExitStack() as stack:
        judge = _judge(name, target, stack)
        for case in cases:
            start = time.monotonic()
            steps = [step.over(target.families) for step in case.steps]
            seen = list(judge(case, steps))
            failures = [_failure(*each) for each in zip(count(1), steps, seen)]
            flows = sum(len(each.passes) for each in seen)
            failure = "\n\n".join(filter(None, failures))
            left_out = sum(len(each.left_out) for each in seen)
            yield Outcome(case.id, target, flows, failure, round(time.monotonic() - start, 3), left_out)


def _failure(number: int, step: Step, seen: Seen) -> str:
    expected = {flow: verdict for flow, verdict in step.expected.items() if flow not in seen.left_out}
    wrong = differences(expected, seen.passes, seen.answers)
    if not wrong and not seen.rejected and not seen.stopped:
        return ""
    does = f" ({step.does})" if step.does else ""
    stopped = [f"did not go on: {flow}" for flow in seen.stopped]
    rejected = [f"was told that it is denied: {flow}: {answer}" for flow, answer in seen.rejected.items()]
    return "\n".join([f"step {number}{does}", truth(expected, seen.passes), "", wrong, *rejected, *stopped])


def _judge(name: str, target: Target, stack: ExitStack) -> Callable[[Case, Sequence[Step]], Iterator[Seen]]:
    match target.backend:
        case "oracle":
            return lambda _case, steps: (Seen(offline.by_oracle(step, step.expected), {}) for step in steps)
        case "walk":
            return lambda _case, steps: (_by_walk(step) for step in steps)
        case variant:
            spec = suite.narrowed(suite.named(name).spec, variant, target.families)
            kernel = OnKernel(stack.enter_context(Lab.up(unused_id(), spec)))
            return partial(_by_kernel, kernel)


def _by_walk(step: Step) -> Seen:
    return Seen(offline.by_walk(step, step.expected), {}, offline.stopped_by_walk(step))


def _by_kernel(kernel: OnKernel, case: Case, steps: Sequence[Step]) -> Iterator[Seen]:
    try:
        for step in steps:
            kernel.enforce(step, invalid=case.invalid)
            seen = kernel.ask(step.expected)
            yield replace(seen, stopped=kernel.stopped())
            kernel.begin(step)
    finally:
        kernel.end()
