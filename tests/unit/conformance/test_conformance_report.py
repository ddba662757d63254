# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run of the suites tells: truth tables, JSON, JUnit, tables of the documentation, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from conformance import __main__ as command
from conformance import documentation, features, report
from conformance.case import all_cases
from conformance.flow import Flow
from conformance.run import Outcome, Target, run
from conformance.table import truth

CASES = tuple(case for case in all_cases() if case.suite == "rules")[:2]
WALK, NFT = Target("walk"), Target("nft", ("ipv4",))
OUTCOMES = [
    Outcome(CASES[0].id, WALK, 8, "", 0.5),
    Outcome(CASES[1].id, WALK, 4, "", 0.25),
    Outcome(CASES[1].id, NFT, 4, "a & b", 2.0),
]


def flow(source: str, target: str, port: int = 80) -> Flow:
    return Flow(source, target, port, "TCP", "ipv4")


def test_a_truth_table_shows_expected_beside_seen() -> None:
    expected = {flow("x/a", "x/b"): True, flow("x/b", "x/a"): False, flow("x/a", "x/b", 81): True}
    seen = {**expected, flow("x/b", "x/a"): True}
    assert truth(expected, seen).splitlines() == [
        "80/TCP over ipv4  expected  | seen",
        "                  x/b  x/a  | x/b  x/a",
        "x/a               +         | +",
        "x/b                    -    |      +!",
    ]
    assert truth(expected, expected) == ""


def test_json_has_every_outcome_with_what_the_case_is_about(tmp_path: Path) -> None:
    report.write_json(file := tmp_path / "results.json", CASES, OUTCOMES)
    data = json.loads(file.read_text())
    assert data["version"] == 1
    assert [(each["case"], each["backend"], each["passed"]) for each in data["outcomes"]] == [
        (CASES[0].name, "walk", True),
        (CASES[1].name, "walk", True),
        (CASES[1].name, "nft", False),
    ]
    assert data["outcomes"][0]["rules"] == list(CASES[0].rules)
    assert data["outcomes"][2]["families"] == ["ipv4"]


def test_junit_counts_failures_and_quotes_them(tmp_path: Path) -> None:
    report.write_junit(file := tmp_path / "junit.xml", CASES, OUTCOMES)
    suites = ElementTree.parse(file).getroot().findall("testsuite")  # noqa: S314 (what we have just written)
    assert [(each.get("name"), each.get("tests"), each.get("failures")) for each in suites] == [
        ("rules on walk", "2", "0"),
        ("rules on nft ipv4", "1", "1"),
    ]
    [failure] = suites[1].iter("failure")
    assert failure.text == "a & b"


def test_the_documentation_tells_how_many_pass() -> None:
    text = report.markdown(CASES, OUTCOMES)
    assert (
        f"| rules | 2 | {sum(len(step.expected) for case in CASES for step in case.steps)} | 2 pass | 0 of 1 |" in text
    )


def test_a_generated_part_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- x: generated -->\nold\n<!-- x: end -->\nafter\n")
    documentation.put("x", "new", page)
    documentation.put("x", "new", page)
    assert page.read_text() == "before\n<!-- x: generated -->\n\nnew\n<!-- x: end -->\nafter\n"
    assert documentation.get("x", page) == "new\n"
    with pytest.raises(ValueError, match="needs"):
        documentation.put("y", "new", page)
    with pytest.raises(ValueError, match="needs"):
        documentation.get("y", page)


def test_every_feature_is_used_by_some_case() -> None:
    assert {name for case in all_cases() for name in features.features(case)} == set(features.NAMES)


def test_processes_share_cases_and_tell_of_each_once() -> None:
    outcomes = list(run(all_cases()[:5], WALK, jobs=2))
    assert sorted(outcome.case for outcome in outcomes) == sorted(case.id for case in all_cases()[:5])
    assert all(outcome.passed and outcome.flows for outcome in outcomes)


def test_a_process_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("conformance.offline.by_walk", lambda *_arguments: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(run(all_cases()[:4], WALK, jobs=2))


def test_the_command_reports_and_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--suite", "rules", "--case", CASES[0].name, "--backend", "walk", "--backend", "oracle"]
    assert command.main([*options, "--jobs", "1", "--report", str(tmp_path)]) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out
    assert {each.name for each in tmp_path.iterdir()} == {"results.json", "junit.xml"}


def test_the_command_fails_and_shows_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("conformance.offline.by_walk", lambda _step, flows: dict.fromkeys(flows, True))
    assert command.main(["--suite", "rules", "--case", CASES[0].name, "--backend", "walk", "--jobs", "1"]) == 1
    said = capsys.readouterr().out
    assert f"FAILED on walk: {CASES[0].id}" in said
    assert "+!" in said


def test_the_command_knows_no_case_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--case", "nothing is called so"]) == 2
    assert "--list" in capsys.readouterr().err
