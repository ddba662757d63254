# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The conformance cases on packets, through the whole product: API, snapshot, compile, render, converge."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conformance.case import Case, all_cases, cluster
from conformance.kernel import Cases
from conformance.table import differences
from lab.lab import Lab, unused_id
from lab.spec import Variant

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=["nft", "legacy"])
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


@pytest.fixture(scope="module")
def cases(packets: None, variant: Variant) -> Iterator[Cases]:
    with Lab.up(unused_id(), cluster(variant)) as lab:
        yield Cases(lab)


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)
def test_packets_do_what_the_case_expects(cases: Cases, case: Case) -> None:
    cases.enforce(case)
    seen = cases.ask(list(case.expected))
    difference = differences(case.expected, seen.passes, seen.answers)
    assert not difference, difference
