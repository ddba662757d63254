# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the conformance suites: by the oracle, by the packet walk, and on packets in a lab (which needs root).

Without options: every case, on all of these, in both families. 0 when all passed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import documentation, mutation, report, suite
from .case import Case, all_cases
from .flow import FAMILIES
from .progress import Progress
from .run import BACKENDS, ON_KERNEL, Outcome, Target, run

_FAMILIES = {"dual": FAMILIES, "ipv4": ("ipv4",), "ipv6": ("ipv6",)}


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    cases = _chosen(options.suite, options.case)
    if not cases:
        print("no case has that suite and name: --list shows them", file=sys.stderr)
        return 2
    if options.list:
        for case in cases:
            print(case.id)
        return 0
    if options.mutants:
        return _mutants(options)
    targets = [Target(backend, _FAMILIES[options.families]) for backend in options.backend or BACKENDS]
    if os.geteuid() != 0 and any(target.backend in ON_KERNEL for target in targets):
        print("packets need root; --backend oracle and --backend walk do not", file=sys.stderr)
        return 2
    outcomes = [outcome for target in targets for outcome in _shown(cases, target, options.jobs)]
    _write(options, cases, outcomes)
    failed = sum(not each.passed for each in outcomes)
    if left_out := sum(each.left_out for each in outcomes):
        print(f"{left_out} connections left to the packet walk: no packets can show them")
    print(f"{len(outcomes) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev conformance", description=__doc__.partition("\n\n")[0])
    known = [each.name for each in suite.all_suites()]
    parser.add_argument("--suite", action="append", choices=known, help="only this one; may be repeated")
    parser.add_argument("--case", metavar="TEXT", default="", help="only cases that have this in their file or name")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="only this one; may be repeated")
    parser.add_argument("--families", choices=_FAMILIES, default="dual", help="of the cluster's network (dual)")
    parser.add_argument("--jobs", type=int, default=3, metavar="N", help="processes, each with a lab of its own (3)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write results.json and junit.xml there")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument(
        "--mutants", action="store_true", help="instead, see which suites catch the faults of mutants.yaml"
    )
    parser.add_argument(
        "--only", metavar="TEXT", default="", help="of these faults, only those with this in their name"
    )
    parser.add_argument("--document", action="store_true", help="put the tables of this run into docs/conformance.md")
    return parser


def _mutants(options: argparse.Namespace) -> int:
    if options.document and options.suite:
        raise SystemExit("--document is for a run of all suites")
    mutants = [mutant for mutant in mutation.mutants() if options.only.lower() in mutant.name.lower()]
    if not mutants:
        print("no fault has that in its name", file=sys.stderr)
        return 2
    judgements = []
    with Progress("mutants", len(mutants)) as progress:
        for judgement in mutation.judge(mutants, options.suite or (), options.jobs):
            judgements.append(judgement)
            progress.step(failed=not judgement.caught)
            if not judgement.caught:
                progress.say(f"NOT CAUGHT: {judgement.mutant.name} (rule {judgement.mutant.rule})")
    if options.document:
        before = documentation.get("mutants") if options.only else ""
        documentation.put("mutants", mutation.markdown(judgements, before))
    missed = sum(not each.caught for each in judgements)
    print(f"{len(judgements) - missed} caught, {missed} not")
    return 1 if missed else 0


def _chosen(suites: Sequence[str] | None, text: str) -> list[Case]:
    return [case for case in all_cases() if (not suites or case.suite in suites) and text.lower() in case.id.lower()]


def _shown(cases: Sequence[Case], target: Target, jobs: int) -> list[Outcome]:
    place = {case.id: number for number, case in enumerate(cases)}
    outcomes = []
    with Progress(str(target), len(cases)) as progress:
        for outcome in run(cases, target, jobs):
            outcomes.append(outcome)
            progress.step(failed=not outcome.passed)
            if not outcome.passed:
                progress.say(f"\nFAILED on {target}: {outcome.case}\n{outcome.failure}\n")
    # Processes finish when they do; reports are in the order of the cases.
    return sorted(outcomes, key=lambda outcome: place[outcome.case])


def _write(options: argparse.Namespace, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> None:
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)
        report.write_json(options.report / "results.json", cases, outcomes)
        report.write_junit(options.report / "junit.xml", cases, outcomes)
        print(f"written: {options.report / 'results.json'}, {options.report / 'junit.xml'}")
    if options.document:
        if len(cases) < len(all_cases()):
            raise SystemExit("--document is for a run of all cases")
        documentation.put("suites", report.markdown(cases, outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
