# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The conformance suites, and random policies, on packets through the whole product: API, snapshot, compile, render,
converge. Both iptables variants, IPv4 and IPv6 together and alone, TCP, UDP, SCTP and ICMP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, get_args

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import dispatch
from conformance import suite
from conformance.case import Case, Enforcement, all_cases
from conformance.flow import FAMILIES
from conformance.kernel import OnKernel
from conformance.random_cases import random_case
from conformance.run import Target, run
from conformance.table import differences
from integration.run.playbooks import ANSIBLE_PLAYBOOK, ROOT
from lab.access import Connection, prepare
from lab.lab import Lab, unused_id

pytestmark = pytest.mark.root

# Most of the time goes into waiting for packets that don't come.
_JOBS = 3
# One in so many cases where time counts. The variants take the same rules: a part will do for the second one.
_PART = {
    ("rules", "nft"): 1,
    ("rules", "legacy"): 5,
    ("services", "nft"): 4,
    ("services", "legacy"): 8,
    ("time", "nft"): 5,
    ("time", "legacy"): 13,
    ("packets", "nft"): 2,
    ("packets", "legacy"): 6,
}
_IN_ONE_FAMILY = ("rules", "packets")
# A whole suite is many tests: one of many minutes would be taken for a test that hangs.
_CASES_AT_ONCE = 16
_PLAYBOOK_PART = 20
_OTHERS = {"nft": 12, "legacy": 48}
_TARGETS = (
    Target("nft"),
    Target("legacy"),
    Target("nft", ("ipv4",)),
    Target("nft", ("ipv6",)),
    Target("legacy", ("ipv4",)),
    Target("legacy", ("ipv6",)),
)
_DUAL_STACK = _TARGETS[:2]


def _parts() -> Iterator[Any]:
    for target in _DUAL_STACK:
        for each in suite.all_suites():
            part = _PART.get((each.name, target.backend), _OTHERS[target.backend])
            cases = slice(None, None, part)
            yield pytest.param(each.name, target, cases, id=f"{each.name} on {target}: one in {part}")


def _wholes() -> Iterator[Any]:
    sizes = Counter(case.suite for case in all_cases())
    for target in _TARGETS:
        for each in suite.all_suites():
            if target in _DUAL_STACK or each.name in _IN_ONE_FAMILY:
                for first in range(0, sizes[each.name], _CASES_AT_ONCE):
                    cases = slice(first, first + _CASES_AT_ONCE)
                    name = f"{each.name} on {target}: {first} to {first + _CASES_AT_ONCE}"
                    yield pytest.param(each.name, target, cases, marks=pytest.mark.full, id=name)


@pytest.mark.parametrize(("name", "target", "cases"), [*_parts(), *_wholes()])
def test_packets_do_what_the_cases_expect(packets: None, name: str, target: Target, cases: slice) -> None:
    check([case for case in all_cases() if case.suite == name][cases], target)


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(4), id="some"),
        *(
            pytest.param(range(first, first + 16), marks=pytest.mark.full, id=f"{first} to {first + 16}")
            for first in range(4, 100, 16)
        ),
    ],
)
@pytest.mark.parametrize("target", _DUAL_STACK, ids=str)
def test_the_kernel_agrees_with_the_oracle_on_random_policies(
    packets: None, target: Target, seeds: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The nodes have few pods; here their dispatch is divided as that of many.
    monkeypatch.setattr(dispatch, "LONGEST_LIST", 1)
    cases = [random_case(seed) for seed in seeds]
    check(cases, Target("walk"))
    check(cases, target)


def check(cases: Sequence[Case], target: Target) -> None:
    outcomes = list(run(cases, target, _JOBS))
    assert len(outcomes) == len(cases)
    assert sum(outcome.flows for outcome in outcomes)
    failures = [f"{outcome.case}\n{outcome.failure}" for outcome in outcomes if not outcome.passed]
    assert not failures, "\n\n".join(failures)


@pytest.mark.parametrize("connection", get_args(Connection))
def test_a_run_of_the_playbook_does_the_same(packets: None, connection: Connection) -> None:
    """A sample by ``ansible-playbook``, from a lab that is new to the state of each case in turn."""
    with Lab.up(unused_id(), suite.narrowed(suite.named("rules").spec, "nft", FAMILIES)) as lab:
        kernel = OnKernel(lab, partial(_enforce, lab, prepare(lab, connection)))
        for case in [case for case in all_cases() if case.suite == "rules"][::_PLAYBOOK_PART]:
            for step in case.steps:
                kernel.enforce(step, invalid=case.invalid)
                seen = kernel.ask(step.expected)
                difference = differences(step.expected, seen.passes)
                assert not difference, f"{case.id}\n{difference}"
                assert not seen.rejected, case.id


def test_a_denial_that_is_told_is_seen(packets: None) -> None:
    """Rule 38: whoever is denied meets silence."""
    with Lab.up(unused_id(), suite.narrowed(suite.named("rules").spec, "nft", ("ipv4",))) as lab:
        kernel = OnKernel(lab, lambda _enforcement: None)
        step = next(case for case in all_cases() if case.suite == "rules").steps[0].over(("ipv4",))
        kernel.enforce(step)
        assert not kernel.ask(step.expected).rejected
        for node in lab.nodes.values():
            node.run("iptables -I FORWARD -j REJECT --reject-with icmp-host-prohibited")
        denied = dict.fromkeys(step.expected, False)
        seen = kernel.ask(denied)
        assert set(seen.rejected.values()) == {"unreachable"}


def _enforce(lab: Lab, options: Sequence[str], _enforcement: Enforcement) -> None:
    done = lab.run_in("ctl", [ANSIBLE_PLAYBOOK, str(ROOT / "playbooks/enforce.yml"), *options])
    assert done.returncode == 0, done.stdout + done.stderr
