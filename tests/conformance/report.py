# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The outcomes of a run for machines and for the documentation: JSON, JUnit XML, and a table by feature and suite."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from . import features
from .case import Case
from .run import Outcome


def write_json(file: Path, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> None:
    known = {case.id: case for case in cases}
    data = [
        {
            "suite": known[each.case].suite,
            "case": known[each.case].name,
            "file": known[each.case].file,
            "rules": list(known[each.case].rules),
            "features": sorted(features.features(known[each.case])),
            "backend": each.target.backend,
            "families": list(each.target.families),
            "flows": each.flows,
            "left_out": each.left_out,
            "passed": each.passed,
            "failure": each.failure,
            "seconds": each.seconds,
        }
        for each in outcomes
    ]
    file.write_text(json.dumps({"version": 1, "outcomes": data}, indent=1) + "\n")


def write_junit(file: Path, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> None:
    """A ``testsuite`` for each suite and backend, in the form that CI servers read."""
    known = {case.id: case for case in cases}
    root = ElementTree.Element("testsuites")
    for name in dict.fromkeys(f"{known[each.case].suite} on {each.target}" for each in outcomes):
        own = [each for each in outcomes if f"{known[each.case].suite} on {each.target}" == name]
        suite = ElementTree.SubElement(root, "testsuite", _counts(name, own))
        for each in own:
            case = known[each.case]
            attributes = {"classname": f"{case.suite}.{case.file}", "name": case.name, "time": str(each.seconds)}
            element = ElementTree.SubElement(suite, "testcase", attributes)
            if not each.passed:
                ElementTree.SubElement(element, "failure", {"message": "not as expected"}).text = each.failure
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)


def _counts(name: str, outcomes: Sequence[Outcome]) -> dict[str, str]:
    return {
        "name": name,
        "tests": str(len(outcomes)),
        "failures": str(sum(not each.passed for each in outcomes)),
        "time": str(round(sum(each.seconds for each in outcomes), 3)),
    }


def markdown(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str:
    """What passes by suite and backend, and by feature and suite."""
    return "\n".join([*_by_backend(cases, outcomes), "", *_by_feature(cases, outcomes)]) + "\n"


def _by_backend(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Iterator[str]:
    suites = list(dict.fromkeys(case.suite for case in cases))
    targets = list(dict.fromkeys(str(each.target) for each in outcomes))
    of = {case.id: case.suite for case in cases}
    yield f"| suite | cases | connections | {' | '.join(targets)} |"
    yield f"|{'---|' * (3 + len(targets))}"
    for suite in suites:
        own = [each for each in outcomes if of[each.case] == suite]
        flows = sum(len(step.expected) for case in cases if case.suite == suite for step in case.steps)
        cells = [_passed(each for each in own if str(each.target) == target) for target in targets]
        yield f"| {suite} | {sum(case.suite == suite for case in cases)} | {flows} | {' | '.join(cells)} |"


def _by_feature(cases: Sequence[Case], outcomes: Sequence[Outcome]) -> Iterator[str]:
    suites = list(dict.fromkeys(case.suite for case in cases))
    used = {case.id: (case.suite, features.features(case)) for case in cases}
    yield f"| feature | {' | '.join(suites)} |"
    yield f"|{'---|' * (1 + len(suites))}"
    for name in features.NAMES:
        cells = [
            _passed(each for each in outcomes if used[each.case][0] == suite and name in used[each.case][1])
            for suite in suites
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _passed(outcomes: Iterable[Outcome]) -> str:
    """Of so many cases, how many passed wherever they ran."""
    of: dict[str, bool] = {}
    for each in outcomes:
        of[each.case] = of.get(each.case, True) and each.passed
    if not of:
        return ""
    return f"{len(of)} pass" if all(of.values()) else f"{sum(of.values())} of {len(of)}"
