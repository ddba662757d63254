# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The conformance cases without a kernel: by the oracle, and by a packet's walk through the rendered files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Family
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import dispatch
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from conformance import offline
from conformance.case import Case, Step, all_cases
from conformance.table import differences
from lab.cluster import Cluster

# Suites that others know by their size: upstream's end-to-end tests, and the recipes (14 in both of its forms).
SIZES = {"upstream": 48, "recipes": 16}

every_case = pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.id)


@every_case
def test_the_oracle_says_what_the_case_expects(case: Case) -> None:
    for step in case.steps:
        difference = differences(step.expected, offline.by_oracle(step, step.expected))
        assert not difference, f"{step.does}\n{difference}"


@every_case
def test_packets_through_the_rendered_files_do_what_the_case_expects(case: Case) -> None:
    for step in case.steps:
        difference = differences(step.expected, offline.by_walk(step, step.expected))
        assert not difference, f"{step.does}\n{difference}"
        assert not offline.stopped_by_walk(step), step.does


def test_every_rule_of_networkpolicy_has_a_case() -> None:
    covered = {rule for case in all_cases() for rule in case.rules}
    assert covered == set(range(1, 44))


def test_no_two_cases_have_one_name() -> None:
    names = Counter((case.suite, case.name) for case in all_cases())
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_a_suite_from_elsewhere_is_whole(name: str, size: int) -> None:
    assert sum(case.suite == name for case in all_cases()) == size


# The suite cyclonus, whose pods are those of cyclonus, has a test of its own. What services and packets are about is
# where the ends are: there a verdict often is one of a single placement.
PLACED = [case for case in all_cases() if case.suite not in ("cyclonus", "services", "packets")]


@pytest.mark.parametrize("case", PLACED, ids=lambda case: case.id)
def test_what_is_allowed_or_denied_between_pods_is_so_on_one_node_and_across_two(case: Case) -> None:
    shown = {placement for step in case.steps for placement in _placements(step)}
    verdicts = {verdict for verdict, _same_node in shown}
    assert verdicts
    assert shown == {(verdict, same_node) for verdict in verdicts for same_node in (True, False)}


def _placements(step: Step) -> Iterator[tuple[bool, bool]]:
    """Of each connection between two pods, perhaps by a Service: the verdict, and whether one node has both. A pod on
    its node's network is none here (rule 29)."""
    at = Cluster.of(step.spec)
    pods = {pod.key: pod for pod in step.spec.pods if pod.has_network}
    behind = {f"service {key}": pod for key, service in at.services.items() for pod in at.selected(service)}
    for flow, verdict in step.expected.items():
        source, target = pods.get(flow.source), (pods | behind).get(flow.target)
        if source and target and source != target:
            yield verdict, source.node == target.node


@pytest.mark.parametrize("family", Family, ids=str)
def test_the_case_of_many_pods_has_some_on_both_sides_of_every_border_of_the_divided_dispatch(family: Family) -> None:
    [step] = next(case.steps for case in all_cases() if case.name.startswith("many pods of one node"))
    isolated = Compiler(offline.snapshot_of(step)).ruleset("node-1").family(family)
    everybody = {ip_address(ip) for pod in step.spec.pods for ip in pod.ips if pod.has_network}
    for targets in (isolated.ingress, isolated.egress):
        known = {target.address: ip_address(target.address) for target in targets}
        parts = dispatch.divided(known, dispatch.LONGEST_LIST)
        assert len(parts) > 2
        assert set().union(*parts.values()) < known.keys(), "one is alone"
        for network in map(ip_network, parts):
            assert {network[0], network[-1]} <= set(known.values())
        of_others = everybody - set(known.values())
        assert any(address in network for network in map(ip_network, parts) for address in of_others)
