# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading cases: lines of connections, patterns and the rest, steps, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conformance import case, suite
from conformance.case import Case, Enforcement
from conformance.flow import Flow, FlowError, Matrix, read
from conformance.suite import SuiteError

MATRIX = Matrix(sources=("x/a", "x/b", "ext"), targets=("x/a", "x/b"), ports=("80/TCP", "ICMP"))
DENY: dict[str, Any] = {"x/a": {"podSelector": {}}}


def flows(line: str) -> set[str]:
    return {str(flow) for flow in read(line, MATRIX)}


def read_case(tmp_path: Path, item: dict[str, Any]) -> Case:
    """A case of the suite ``rules``."""
    file = tmp_path / "some.yaml"
    file.write_text(yaml.safe_dump([{"name": "it", "rules": [1], **item}]))
    [found] = case.read_file(suite.named("rules"), file)
    return found


# Lines


def test_every_source_goes_to_every_target_at_every_port_in_both_families() -> None:
    assert len(flows("x/a ext -> x/b y/c at 80/TCP 81/UDP")) == 2 * 2 * 2 * 2


def test_a_family_may_be_named() -> None:
    assert flows("x/a -> x/b at ICMP over ipv6") == {"x/a -> x/b at ICMP over ipv6"}


def test_a_pattern_stands_for_places_of_the_matrix_but_for_no_pod_to_itself() -> None:
    assert flows("x/* -> x/* at 80/TCP over ipv4") == {
        "x/a -> x/b at 80/TCP over ipv4",
        "x/b -> x/a at 80/TCP over ipv4",
    }


def test_a_star_stands_for_the_ports_of_the_matrix() -> None:
    assert flows("ext -> x/a at * over ipv4") == {
        "ext -> x/a at 80/TCP over ipv4",
        "ext -> x/a at ICMP over ipv4",
    }


def test_a_pod_may_be_asked_about_itself_by_name() -> None:
    assert flows("x/a -> x/a at 80/TCP over ipv4") == {"x/a -> x/a at 80/TCP over ipv4"}


def test_a_service_is_one_target() -> None:
    [flow] = read("x/a -> service x/front at 8001/TCP over ipv4", MATRIX)
    assert flow == Flow("x/a", "service x/front", 8001, "TCP", "ipv4")


@pytest.mark.parametrize("target", ["balancer x/front", "nodeport x/front via node-1"])
def test_a_service_may_be_asked_from_outside(target: str) -> None:
    found = list(read(f"ext -> {target} x/b at 80/TCP over ipv4", MATRIX))
    assert [flow.target for flow in found] == [target, "x/b"]
    assert [flow.is_direct for flow in found] == [False, True]


@pytest.mark.parametrize("at", ["253/IP", "80/UDP/fragments", "ICMP/fragments", "80/TCP/bulk"])
def test_odd_packets_have_words_of_their_own(at: str) -> None:
    assert flows(f"x/a -> x/b at {at}") == {f"x/a -> x/b at {at} over {family}" for family in ("ipv4", "ipv6")}


def test_neighbour_discovery_is_of_ipv6() -> None:
    assert flows("x/a -> x/b at ND") == {"x/a -> x/b at ND over ipv6"}


def test_a_source_may_have_a_nodes_address() -> None:
    [forged, plain] = read("ext as node-1 x/a -> x/b at 80/UDP over ipv4", MATRIX)
    assert (forged.sender, forged.claims, forged.is_direct) == ("ext", "node-1", False)
    assert (plain.sender, plain.claims, plain.is_direct) == ("x/a", "", True)


@pytest.mark.parametrize(
    "line",
    [
        "x/a to x/b at 80/TCP",
        "x/a -> x/b at 80",
        "x/a -> x/b at 80/XXX",
        "x/a -> x/b at 8/ICMP",
        "x/a -> x/b at IP",
        "x/a -> x/b at 8/ND",
        "x/a -> x/b at ND over ipv4",
        "x/a -> x/b at 80/TCP/fragments",
        "x/a -> x/b at 80/UDP/bulk",
        "x/a -> x/b at 80/UDP/pieces",
        "x/a as node-1 -> x/b at 80/TCP",
        "q/* -> x/b at ICMP",
    ],
)
def test_a_line_that_tells_of_no_connection_is_refused(line: str) -> None:
    with pytest.raises(FlowError):
        flows(line)


# Steps


def test_how_the_product_enforces_is_the_cases_matter(tmp_path: Path) -> None:
    told = {"hook": "after_kube_services", "always_allowed_sources": ["198.51.100.0/24"]}
    verdicts = {"denied": ["x/b -> x/a at 80/TCP"], "allowed": ["x/b -> y/a at 80/TCP"], "then": [{"policies": {}}]}
    found = read_case(tmp_path, {"policies": DENY, **verdicts, **told})
    assert {step.enforcement for step in found.steps} == {Enforcement("after_kube_services", ("198.51.100.0/24",))}


def test_a_step_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    found = read_case(
        tmp_path,
        {
            "policies": DENY,
            "denied": ["x/b -> x/a at 80/TCP"],
            "then": [
                {"policies": {"y/a": {}}, "labels": {"x/a": {"pod": "other"}}, "allowed": ["x/b -> z/a at 80/TCP"]},
                {"policies": {"x/a": None}, "allowed": ["x/b -> x/a at 80/TCP"]},
            ],
        },
    )
    names = [[policy["metadata"]["namespace"] for policy in step.policies] for step in found.steps]
    assert names == [["x"], ["x", "y"], ["y"]]
    labels = [next(pod.labels for pod in step.spec.pods if pod.key == "x/a") for step in found.steps]
    assert labels == [{"pod": "a"}, {"pod": "other"}, {"pod": "other"}]


def test_pods_and_namespaces_come_and_go(tmp_path: Path) -> None:
    new = {"node": "node-1", "labels": {"pod": "d"}}
    found = read_case(
        tmp_path,
        {
            "policies": DENY,
            "pods": {"w/d": new, "x/c": None},
            "namespaces": {"w": {"ns": "w"}},
            "denied": ["w/d -> x/a at 80/TCP"],
            "allowed": ["w/d -> y/a at 80/TCP"],
        },
    )
    [step] = found.steps
    keys = {pod.key for pod in step.spec.pods}
    assert "w/d" in keys
    assert "x/c" not in keys
    assert {"ns": "w"} in [namespace.labels for namespace in step.spec.namespaces]


def test_the_rest_is_all_of_the_matrix_that_is_not_named(tmp_path: Path) -> None:
    found = read_case(tmp_path, {"policies": DENY, "denied": ["*/* -> x/* at *"], "rest": "allowed"})
    [step] = found.steps
    assert not step.expected[Flow("y/a", "x/b", 80, "TCP", "ipv4")]
    assert step.expected[Flow("x/a", "y/b", 80, "UDP", "ipv6")]
    assert Flow("x/a", "x/a", 80, "TCP", "ipv4") not in step.expected


def test_flows_that_begin_in_a_step_have_to_outlast_all_later_ones(tmp_path: Path) -> None:
    lasting, tried = "x/b -> x/a at 80/TCP over ipv4", "x/c -> x/a at 80/UDP over ipv4"
    found = read_case(
        tmp_path,
        {
            "policies": DENY,
            "lasting": [lasting],
            "trying": [tried],
            "then": [{"policies": {"x/a": None}}, {"policies": DENY, "denied": [lasting, tried]}],
        },
    )
    first, second, third = found.steps
    [begun], [waiting] = first.begins, first.tries
    assert (str(begun), str(waiting)) == (lasting, tried)
    assert first.expected == {begun: True, waiting: False}
    assert second.expected == {waiting: True}, "the next step is what lets it through"
    assert (first.lasting, second.lasting, third.lasting) == ((), (begun, waiting), (begun, waiting))
    assert third.over(["ipv6"]).lasting == ()


def test_without_a_run_the_state_before_stays_in_force(tmp_path: Path) -> None:
    verdicts = {"denied": ["x/b -> x/a at 80/TCP"], "allowed": ["x/b -> y/a at 80/TCP"]}
    late = {"run": False, "policies": {"x/a": None}}
    found = read_case(tmp_path, {"policies": DENY, **verdicts, "then": [late, late | {"policies": DENY}, {}]})
    first, second, third, last = found.steps
    assert (first.in_force, second.in_force, third.in_force, last.in_force) == (None, first, first, None)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"denied": ["x/b -> x/a at 80/TCP"]}, "says nothing unless"),
        ({"denied": ["x/b -> x/a at 80/TCP"], "allowed": ["x/b -> x/a at 80/TCP"]}, "both allowed and denied"),
        ({"denied": ["x/b -> x/a"]}, "is not SOURCES"),
        ({"deny": []}, "unknown fields"),
        ({"then": [{"name": "again"}]}, "unknown fields"),
        ({"policies": {"x/z": None}}, "not there to take away"),
        ({"labels": {"x/z": {}}}, "which are not there"),
        ({"lasting": ["x/b -> y/a at 80/TCP"], "denied": ["x/b -> x/a at 80/TCP"]}, "outlasts none"),
        ({"lasting": ["x/b -> x/a at 80/TCP"], "denied": ["x/b -> x/a at 80/TCP"]}, "both allowed and denied"),
        ({"trying": ["x/b -> x/a at 80/TCP"]}, "only UDP is sent"),
        ({"hook": "last"}, "hook is one of first, after_kube_services"),
    ],
)
def test_a_case_that_is_not_well_written_is_refused_by_name(tmp_path: Path, item: dict[str, Any], message: str) -> None:
    with pytest.raises(SuiteError, match=message) as refused:
        read_case(tmp_path, {"policies": DENY, **item})
    assert "rules/some: it" in str(refused.value)
