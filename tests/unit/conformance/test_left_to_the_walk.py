# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which flows are left out on the kernel: those that no packets can show, and no others."""

from __future__ import annotations

import pytest
from conformance import suite
from conformance.case import Case, all_cases
from conformance.flow import Flow, Matrix, read
from conformance.kernel import impossible
from lab.cluster import Cluster

CLUSTER = Cluster.of(suite.named("packets").spec)


def flow(line: str) -> Flow:
    [found] = read(line, Matrix())
    return found


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("x/a -> x/c at ND", "not forwarded"),
        ("ext as node-1 -> x/a at 80/UDP over ipv4", "own address"),
        ("x/a as node-1 -> x/c at 80/UDP over ipv4", "own address"),
        ("x/c as node-1 -> x/a at 80/UDP over ipv4", "own address"),
    ],
)
def test_what_never_comes_to_forward_is_left_to_the_walk(line: str, why: str) -> None:
    assert why in impossible(CLUSTER, flow(line))


@pytest.mark.parametrize(
    "line",
    [
        "ext as node-1 -> x/a at 80/UDP over ipv6",
        "ext as node-2 -> x/a at 80/UDP over ipv4",
        "x/b as node-2 -> x/a at 80/UDP over ipv4",
        "x/a -> x/c at 253/IP over ipv4",
        "x/a -> x/c at 80/TCP/bulk over ipv6",
    ],
)
def test_all_else_is_asked(line: str) -> None:
    assert impossible(CLUSTER, flow(line)) == ""


@pytest.mark.parametrize("case", [case for case in all_cases() if case.suite == "packets"], ids=lambda case: case.name)
def test_what_is_left_of_a_case_still_says_something(case: Case) -> None:
    [step] = case.steps
    assert {verdict for flow, verdict in step.expected.items() if not impossible(CLUSTER, flow)} == {True, False}
