# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""That the suites notice faults: each mutant of the compiler and the templates makes a case fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conformance import mutation
from conformance.mutation import ROOT, Mutant

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
