# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The conformance cases, and random policies, on packets through the whole product: API, snapshot, compile, render,
converge. Both iptables variants, IPv4 and IPv6, TCP, UDP, SCTP and ICMP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from random import Random
from typing import Any

import pytest
from conformance import generate, offline
from conformance.case import Case, all_cases, cluster, policy
from conformance.kernel import Cases, matrix
from conformance.table import differences
from lab.lab import Lab, unused_id
from lab.spec import Variant

pytestmark = pytest.mark.root

CasesOn = Callable[[Variant], Cases]
VARIANTS: tuple[Variant, ...] = ("nft", "legacy")
# Every case runs with nft. The other variant takes the same rules: a part will do where time counts.
_LEGACY_PART = 5


def _cases() -> Iterator[Any]:
    for variant in VARIANTS:
        for number, case in enumerate(all_cases()):
            usual = variant == "nft" or number % _LEGACY_PART == 0
            marks = () if usual else (pytest.mark.full,)
            yield pytest.param(variant, case, marks=marks, id=f"{variant}: {case.id}")


def _seeds() -> Iterator[Any]:
    for variant in VARIANTS:
        for seed in range(50):
            marks = () if seed < 2 else (pytest.mark.full,)
            yield pytest.param(variant, seed, marks=marks, id=f"{variant}: {seed}")


@pytest.fixture(scope="module")
def cases_on(packets: None) -> Iterator[CasesOn]:
    """One lab for each variant, made when it is first asked for."""
    with ExitStack() as labs:

        @cache
        def cases_on(variant: Variant) -> Cases:
            return Cases(labs.enter_context(Lab.up(unused_id(), cluster(variant))))

        yield cases_on


@pytest.mark.parametrize(("variant", "case"), list(_cases()))
def test_packets_do_what_the_case_expects(cases_on: CasesOn, variant: Variant, case: Case) -> None:
    cases = cases_on(variant)
    cases.enforce(case)
    seen = cases.ask(case.expected)
    difference = differences(case.expected, seen.passes, seen.answers)
    assert not difference, difference


@pytest.mark.parametrize(("variant", "seed"), list(_seeds()))
def test_oracle_walk_and_kernel_agree_on_random_policies(cases_on: CasesOn, variant: Variant, seed: int) -> None:
    """Every pod to every other, outside and the nodes to every pod."""
    cases = cases_on(variant)
    policies = generate.policies(Random(seed))  # noqa: S311 (a test's dice)
    manifests = tuple(policy(f"{each.namespace}/{each.name}", dict(each.spec)) for each in policies)
    case = Case("random", str(seed), (), manifests, labels={}, invalid=True, expected={})
    expected = offline.by_oracle(case, matrix(case))
    cases.enforce(case)
    seen = cases.ask(expected)
    told = f"{manifests}\n"
    for name, verdicts in (("kernel", seen.passes), ("walk", offline.by_walk(case, expected))):
        difference = differences(expected, verdicts, seen.answers)
        assert not difference, f"{name}:\n{difference}\n{told}"
