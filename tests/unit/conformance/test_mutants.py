# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""That the suites notice faults: each mutant of the compiler and the templates makes a case fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance import __main__ as command
from conformance import documentation, mutation
from conformance.mutation import ROOT, Judgement, Mutant

COLLECTION = ROOT / "collections/ansible_collections/npm/netpol"
# Rules that no line of ours decides: 13 (each run reads all labels anew), 27 (packets have what kube-proxy made of
# them), 33 (the FORWARD hook does not see such traffic), 35 and 37 (each run compiles all anew), and 41 to 43 (other
# programs' defects).
NO_LINE_OF_OURS = {13, 27, 33, 35, 37, 41, 42, 43}
# The suite that catches most of them in the least time is asked first.
_QUICK = ("rules",)
# One in so many is enough where time counts.
_PART = 4


def _mutants() -> Iterator[Any]:
    for number, mutant in enumerate(mutation.mutants()):
        yield pytest.param(mutant, id=mutant.name, marks=[pytest.mark.full] if number % _PART else [])


@pytest.mark.parametrize("mutant", list(_mutants()))
def test_a_fault_is_caught(mutant: Mutant) -> None:
    assert any(next(mutation.judge([mutant], suites)).caught for suites in (_QUICK, ()))


@pytest.mark.parametrize("mutant", mutation.mutants(), ids=lambda mutant: mutant.name)
def test_a_fault_is_one_that_the_code_could_have(mutant: Mutant) -> None:
    for edit in mutant.edits:
        assert (COLLECTION / edit.file).read_text().count(edit.old) == 1
        assert edit.new != edit.old


def test_every_rule_has_a_fault_that_breaks_it() -> None:
    assert {mutant.rule for mutant in mutation.mutants()} == set(range(1, 44)) - NO_LINE_OF_OURS


def test_without_a_fault_nothing_is_caught() -> None:
    [judgement] = mutation.judge([Mutant("none", 0, ())], ["rules"])
    assert judgement.caught == {}


# The table


def test_faults_that_were_not_judged_keep_their_line() -> None:
    first, second, *_others = sorted(mutation.mutants(), key=lambda mutant: mutant.rule)
    old = mutation.markdown([Judgement(first, {}), Judgement(second, {"time": "some case"})])
    new = mutation.markdown([Judgement(first, {"rules": "some case"})], old)
    assert [line.count("caught") for line in new.splitlines()[2:]] == [1, 1]
    assert new.splitlines()[3] == old.splitlines()[3]
    assert mutation.markdown([], new) == new


def test_a_line_of_a_fault_that_is_no_more_goes() -> None:
    table = mutation.markdown([])
    assert mutation.markdown([], f"{table}| 1 | what no line can do any more | caught |\n") == table


def test_a_table_of_other_suites_is_not_gone_on_with() -> None:
    with pytest.raises(ValueError, match="of other suites"):
        mutation.markdown([], "| rule | fault | rules |\n|---|---|---|\n")


def test_the_documentation_has_every_fault_and_who_catches_it() -> None:
    lines = documentation.get("mutants").splitlines()[2:]
    assert [line.split(" | ")[1] for line in lines if "caught" in line] == [
        mutant.name for mutant in sorted(mutation.mutants(), key=lambda mutant: mutant.rule)
    ]


def test_the_command_judges_only_the_faults_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless all suites have judged a fault, the documentation can't say who catches it."""
    assert command.main(["--mutants", "--only", "no such fault"]) == 2
    assert command.main(["--mutants", "--only", "its networks OVERLAP", "--suite", "rules", "--jobs", "1"]) == 0
    assert "1 caught, 0 not" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="of all suites"):
        command.main(["--mutants", "--suite", "rules", "--document"])
