# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""No connection notices a change that does not concern it, and none slips through one.

A prober opens connections without pause while the cluster goes back and forth between two states.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from lab.access import Connection, prepare
from lab.lab import Lab, unused_id
from lab.probe import Attempt, Probe
from lab.product import Product
from lab.spec import Variant

from .scenarios import ALL, RULES_AND_MEMBERS, Flow, Scenario, State, spec

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


@pytest.fixture(scope="module", params=["nft", "legacy"])
def variant(request: pytest.FixtureRequest) -> Variant:
    return request.param


@pytest.fixture(scope="module")
def changing_lab(packets: None, variant: Variant) -> Iterator[Lab]:
    with Lab.up(unused_id(), spec(variant)) as lab:
        yield lab


@pytest.fixture
def lab(changing_lab: Lab, variant: Variant) -> Iterator[Lab]:
    yield changing_lab
    for item in changing_lab.api.list("networkpolicies"):
        changing_lab.delete(policy(item["metadata"]["name"], item["spec"]))
    changing_lab.reset(spec(variant))


def policy(name: str, spec_of_it: object) -> dict[str, object]:
    metadata = {"namespace": "shop", "name": name}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec_of_it}


def crowd(scenario: Scenario) -> list[dict[str, object]]:
    """Pods that only the API knows, on a node that is not one of ours."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": "shop", "name": name, "labels": dict(labels)},
            "spec": {"nodeName": "elsewhere", "containers": [{"name": "app", "image": "app"}]},
            "status": {"phase": "Running", "podIPs": [{"ip": f"10.99.{number // 250}.{number % 250 + 1}"}]},
        }
        for number, (name, labels) in enumerate(scenario.crowd.items())
    ]


def enter(lab: Lab, state: State, before: State | None) -> None:
    """Make the cluster's objects those of ``state``; no node is touched."""
    for name in set(before.policies if before else ()) - set(state.policies):
        lab.delete(policy(name, {}))
    for name, each in state.policies.items():
        lab.apply(policy(name, each))
    original = {pod.key: pod.labels for pod in spec("nft").pods}
    for key in {*state.labels, *(before.labels if before else ())}:
        lab.relabel_pod(key, state.labels.get(key, original[key]))


def probes(lab: Lab, flows: tuple[Flow, ...]) -> list[Probe]:
    return [Probe(source, address, port) for source, target, port in flows for address in lab.ips(target)]


def go_back_and_forth(lab: Lab, scenario: Scenario, product: Product, times: int) -> None:
    before = scenario.states[1]
    for number in range(times):
        state = scenario.states[number % 2]
        enter(lab, state, before)
        product.converge()
        before = state


def assert_untouched(attempts: list[Attempt], always: list[Probe], never: list[Probe]) -> None:
    for probe in (*always, *never):
        assert any(attempt.probe == probe for attempt in attempts), f"{probe} was never tried"
    failed = [attempt for attempt in attempts if attempt.probe in always and not attempt.clean]
    assert not failed, f"{len(failed)} of {len(attempts)} attempts failed, the first: {failed[0]}"
    passed = [attempt for attempt in attempts if attempt.probe in never and attempt.answer.ok]
    assert not passed, f"{len(passed)} of {len(attempts)} attempts passed, the first: {passed[0]}"


@pytest.mark.root
@pytest.mark.parametrize("times", [6, pytest.param(100, marks=pytest.mark.full)])
@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_changes_are_hitless(lab: Lab, scenario: Scenario, times: int) -> None:
    product = Product(lab)
    lab.api.load(crowd(scenario))
    enter(lab, scenario.states[1], None)
    product.converge()
    always, never = probes(lab, scenario.always), probes(lab, scenario.never)
    with lab.continuous([*always, *never]) as prober, lab.flows(always) as flows:
        go_back_and_forth(lab, scenario, product, times)
        attempts = prober.stop()
        reports = flows.stop()
    assert_untouched(attempts, always, never)
    assert [report.error for report in reports] == [""] * len(always)


@pytest.mark.root
def test_what_is_under_way_goes_on(lab: Lab) -> None:
    """Downloads and replies outlast the run that takes their permission away (semantics rule 36)."""
    product = Product(lab)
    allowing, denying = RULES_AND_MEMBERS.states
    enter(lab, allowing, None)
    product.converge()
    under_way = probes(lab, (("shop/near", "shop/web", 8080), ("other/far", "shop/web", 8080)))
    with lab.flows(under_way) as flows:
        enter(lab, denying, allowing)
        product.converge()
        assert not any(answer.ok for answer in lab.probe(under_way[:2])), "new connections are denied now"
        enter(lab, allowing, denying)
        product.converge()
        reports = flows.stop()
    assert [report.error for report in reports] == [""] * len(under_way)


@pytest.mark.root
@pytest.mark.parametrize("connection", get_args(Connection))
def test_a_playbook_is_hitless(lab: Lab, connection: Connection) -> None:
    """The same through the whole of it: API, playbook, and SSH with sudo or helper pods."""
    scenario = RULES_AND_MEMBERS
    command = [str(Path(sys.executable).with_name("ansible-playbook")), str(PLAYBOOKS / "enforce.yml")]
    command += prepare(lab, connection)
    enter(lab, scenario.states[1], None)
    lab.run_in("ctl", command, check=True)
    always, never = probes(lab, scenario.always), probes(lab, scenario.never)
    with lab.continuous([*always, *never]) as prober:
        for number in range(3):
            enter(lab, scenario.states[number % 2], scenario.states[(number + 1) % 2])
            lab.run_in("ctl", command, check=True)
        attempts = prober.stop()
    assert_untouched(attempts, always, never)
