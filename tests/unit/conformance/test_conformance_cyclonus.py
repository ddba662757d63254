# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The suite ``cyclonus``: that it is whole, and that its tables say what a person reads off the policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from conformance import cyclonus, suite
from conformance.case import Case, Step, all_cases
from conformance.flow import Flow, Matrix, read

# By file, as cyclonus 0.5.6 counts its own.
HOW_MANY = {
    "targets": 6,
    "rules": 4,
    "peers": 112,
    "ports": 70,
    "examples": 1,
    "actions": 6,
    "conflicts": 16,
    "namespaces": 2,
    "upstream": 13,
}

# Who reaches x/a, and at which ports; nobody else does, nor at another port. Written down by hand from what each
# policy says: neither the generator nor the oracle has a part in it.
REACHED = {
    "x/a is reached from anywhere if there are no peers": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"],
    "x/a is reached from all pods of its namespace only": ["x/b x/c at 80/TCP"],
    "x/a is reached from pods c of its namespace only": ["x/c at 80/TCP"],
    "x/a is reached from all namespaces only": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"],
    "x/a is reached from all pods of all namespaces only": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"],
    "x/a is reached from pods c of all namespaces only": ["x/c y/c z/c at 80/TCP"],
    "x/a is reached from namespaces labelled x only": ["x/b x/c at 80/TCP"],
    "x/a is reached from all pods of namespaces labelled x only": ["x/b x/c at 80/TCP"],
    "x/a is reached from pods c of namespaces labelled x only": ["x/c at 80/TCP"],
    "x/a is reached from an IPv4 block only": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP over ipv4"],
    "x/a is reached from an IPv4 block with a hole only": ["x/b y/a y/b z/a z/b at 80/TCP over ipv4"],
    "x/a is reached from pods c of its namespace and from all namespaces only": [
        "x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"
    ],
    "x/a is reached from pods c of its namespace and from pods c of all namespaces only": ["x/c y/c z/c at 80/TCP"],
    "x/a is reached from pods c of all namespaces and from namespaces labelled x only": ["x/b x/c y/c z/c at 80/TCP"],
    "x/a is reached from all pods of its namespace and from an IPv4 block with a hole only": [
        "x/b x/c at 80/TCP",
        "y/a y/b z/a z/b at 80/TCP over ipv4",
    ],
    "x/a is reached from pods c of all namespaces and from an IPv4 block with a hole only": [
        "x/c y/c z/c at 80/TCP",
        "x/b y/a y/b z/a z/b at 80/TCP over ipv4",
    ],
    "x/a is reached from an IPv4 block and from an IPv4 block with a hole only": [
        "x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP over ipv4"
    ],
    "x/a is reached at all ports if there are no items": [
        "x/b x/c y/b y/c at 80/TCP 81/TCP 80/UDP 81/UDP 80/SCTP 81/SCTP"
    ],
    "x/a is reached at an empty item's ports only": ["x/b x/c y/b y/c at 80/TCP 81/TCP"],
    "x/a is reached at port 81 only": ["x/b x/c y/b y/c at 81/TCP"],
    "x/a is reached at all of SCTP only": ["x/b x/c y/b y/c at 80/SCTP 81/SCTP"],
    "x/a is reached at UDP 80 only": ["x/b x/c y/b y/c at 80/UDP"],
    "x/a is reached at SCTP serve-81-sctp only": ["x/b x/c y/b y/c at 81/SCTP"],
    "x/a is reached at TCP 53 to 80 only": ["x/b x/c y/b y/c at 80/TCP"],
    "x/a is reached at UDP 53 to 84 only": ["x/b x/c y/b y/c at 80/UDP 81/UDP"],
    "x/a is reached at TCP serve-81-udp (a name of UDP) only": [],
    "x/a is reached at TCP serve-7981-udp (a name of no pod) only": [],
    "x/a is reached at TCP 7981 (which no container has) only": [],
    "x/a is reached at an empty item's ports and all of UDP only": ["x/b x/c y/b y/c at 80/TCP 81/TCP 80/UDP 81/UDP"],
    "x/a is reached at port 80 and UDP serve-81-udp only": ["x/b x/c y/b y/c at 80/TCP 81/UDP"],
    "a policy of namespace x isolates its pod there": ["x/b x/c y/b y/c at 80/TCP"],
    "a list of no ingress rules lets nothing in": [],
    "traffic comes in from a namespace that is meant by its name's label": ["z/a z/b z/c at 80/TCP"],
    "two selectors of one peer mean pods that both fit": [
        "y/b y/c z/b z/c at 80/TCP 81/TCP 80/UDP 81/UDP 80/SCTP 81/SCTP"
    ],
}
# Whom x/a reaches, likewise.
REACHES = {
    "x/a reaches everything if there are no peers": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"],
    "x/a reaches pods c of its namespace only": ["x/c at 80/TCP"],
    "x/a reaches all namespaces only": ["x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP"],
    "x/a reaches pods c of all namespaces only": ["x/c y/c z/c at 80/TCP"],
    "x/a reaches namespaces labelled x only": ["x/b x/c at 80/TCP"],
    "x/a reaches an IPv4 block with a hole only": ["x/b y/a y/b z/a z/b at 80/TCP over ipv4"],
    "x/a reaches pods c of namespaces labelled x and an IPv4 block only": [
        "x/c at 80/TCP",
        "x/b y/a y/b y/c z/a z/b z/c at 80/TCP over ipv4",
    ],
    "x/a reaches others at all ports if there are no items": [
        "y/a y/b z/a z/b at 80/TCP 81/TCP 80/UDP 81/UDP 80/SCTP 81/SCTP"
    ],
    "x/a reaches others at all of TCP only": ["y/a y/b z/a z/b at 80/TCP 81/TCP"],
    "x/a reaches others at UDP serve-80-udp only": ["y/a y/b z/a z/b at 80/UDP"],
    "x/a reaches others at SCTP 53 to 80 only": ["y/a y/b z/a z/b at 80/SCTP"],
    "x/a reaches others at TCP serve-81-udp (a name of UDP) only": [],
    "x/a reaches others at UDP 80 and UDP serve-81-udp only": ["y/a y/b z/a z/b at 80/UDP 81/UDP"],
    "a list of no egress rules lets nothing out": [],
    "an egress rule without conditions lets everything out": [
        "x/b x/c y/a y/b y/c z/a z/b z/c at 80/TCP 81/TCP 80/UDP 81/UDP 80/SCTP 81/SCTP"
    ],
    "what the client's policy does not allow is denied though the server's allows it": [
        "y/a at 80/TCP 81/TCP 80/UDP 81/UDP 80/SCTP 81/SCTP"
    ],
}
# What the steps of a case do to one connection.
STEP_BY_STEP = {
    "a policy isolates until it is deleted": ("y/a -> x/a at 80/TCP", [False, True]),
    "a policy means what it was changed to": ("y/b -> x/a at 81/UDP", [False, True]),
    "a namespace is meant as long as it has the label": ("y/a -> x/a at 80/TCP", [False, True, False]),
    "a pod is meant as long as it has the label": ("y/b -> x/a at 80/TCP", [False, True, False]),
    "a policy that lets all out prevails over one that lets nothing out": ("x/b -> y/c at 81/SCTP", [True, False]),
    "a second policy of the same pod adds what it allows": ("y/c -> x/a at 80/TCP", [False, False, True]),
    "a policy that let everything in is changed to let nothing in": ("x/a -> x/b at 80/UDP", [True, False]),
    "a namespace that gets the label is let in": ("y/c -> x/a at 81/TCP", [False, True]),
    "a pod that gets the label is let in": ("x/b -> x/a at 80/SCTP", [False, True]),
    "a pod that gets the label of a policy's subject is isolated": ("z/a -> x/a at 80/TCP", [True, False]),
    "nothing is isolated any more when the policy is deleted": ("x/a -> z/b at 80/TCP", [False, True]),
}

CASES = {case.name: case for case in all_cases() if case.suite == "cyclonus"}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=lambda case: case.id)


def test_every_case_of_cyclonus_is_there() -> None:
    assert Counter(case.file for case in CASES.values()) == HOW_MANY
    assert len(CASES) == 230


@pytest.mark.parametrize("file", cyclonus.files())
def test_the_regular_families_are_as_generated(file: str) -> None:
    """``python -m conformance.cyclonus`` writes them anew."""
    assert (cyclonus.DIRECTORY / file).read_text() == cyclonus.files()[file]


@pytest.mark.parametrize("name", REACHED)
def test_who_reaches_a_pod(name: str) -> None:
    expected = _of_the_matrix(CASES[name].steps[0])
    assert {flow for flow, passes in expected.items() if passes and flow.target == "x/a"} == {
        flow
        for line in REACHED[name]
        for flow in read(f"{line.partition(' at ')[0]} -> x/a at {line.partition(' at ')[2]}", Matrix())
    }


@pytest.mark.parametrize("name", REACHES)
def test_whom_a_pod_reaches(name: str) -> None:
    expected = _of_the_matrix(CASES[name].steps[0])
    assert {flow for flow, passes in expected.items() if passes and flow.source == "x/a"} == {
        flow for line in REACHES[name] for flow in read(f"x/a -> {line}", Matrix())
    }


@pytest.mark.parametrize("name", STEP_BY_STEP)
def test_what_steps_do(name: str) -> None:
    line, verdicts = STEP_BY_STEP[name]
    steps = CASES[name].steps
    assert [{step.expected[flow] for flow in read(line, Matrix())} for step in steps] == [{each} for each in verdicts]


@every_case
def test_pods_are_on_the_same_node_and_on_different_ones(case: Case) -> None:
    for step in case.steps:
        node_of = {pod.key: pod.node for pod in step.spec.pods}
        pairs = [flow for flow in step.expected if flow.source in node_of and flow.target in node_of]
        assert {node_of[flow.source] == node_of[flow.target] for flow in pairs} == {True, False}, step.does


def test_both_families_are_asked_alike() -> None:
    for case in CASES.values():
        for step in case.steps:
            families = Counter(flow.family for flow in _of_the_matrix(step))
            assert families["ipv4"] == families["ipv6"] > 0, f"{case.id}: {step.does}"


def _of_the_matrix(step: Step) -> Mapping[Flow, bool]:
    ports = set(suite.named("cyclonus").matrix["ports"])
    pods = {pod.key for pod in step.spec.pods}
    return {
        flow: passes
        for flow, passes in step.expected.items()
        if flow.at in ports and flow.source in pods and flow.target in pods
    }
