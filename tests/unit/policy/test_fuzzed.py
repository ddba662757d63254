# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fuzzed clusters: every verdict against the oracle, the shape of what comes out, and that order never matters."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Family, Ruleset, SetKind, dump
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.policy.clusters import compile_all, passes
from unit.policy.oracle import Flow, Oracle
from unit.policy.strategies import ADDRESSES, ADDRESSES_6, OUTSIDE, PORTS, snapshots


def flows() -> list[Flow]:
    ends = [*ADDRESSES, *ADDRESSES_6, *OUTSIDE]
    return [
        Flow(source, destination, protocol, int(port))
        for source in ends
        for destination in ends
        # A pod's traffic to itself never comes to the rules (rule 32).
        if source != destination and ip_address(source).version == ip_address(destination).version
        for protocol, port in (each.split() for each in PORTS)
    ]


FLOWS = flows()


@settings(max_examples=300, deadline=None)
@given(snapshots)
def test_every_verdict_is_the_oracles(snapshot: Snapshot) -> None:
    oracle, rulesets = Oracle(snapshot), compile_all(snapshot)
    wrong = [flow for flow in FLOWS if passes(rulesets, flow) != oracle.allowed(flow)]
    assert not wrong


@settings(max_examples=100, deadline=None)
@given(snapshots)
def test_every_ruleset_is_well_formed(snapshot: Snapshot) -> None:
    for ruleset in compile_all(snapshot):
        for family in Family:
            assert_well_formed(ruleset, family)


def assert_well_formed(ruleset: Ruleset, family: Family) -> None:
    ours = ruleset.family(family)
    chains = {chain.name: chain for chain in ours.chains}
    names = [each.name for each in ours.sets]
    assert names == sorted(set(names))
    assert [chain.name for chain in ours.chains] == sorted(chains)
    assert set(names) == {rule.peers for chain in ours.chains for rule in chain.rules} - {""}
    assert {target.chain for target in (*ours.ingress, *ours.egress)} == set(chains)
    for targets in (ours.ingress, ours.egress):
        addresses = [target.address for target in targets]
        assert addresses == sorted(set(addresses))
    for chain in ours.chains:
        assert chain.policies or not chain.rules, "only a pod that could not be read is isolated by no policy"
        assert len(chain.rules) == len(set(chain.rules))
        for rule in chain.rules:
            assert rule.policies == tuple(sorted(set(rule.policies)))
            assert rule.ports == () or rule.protocol
            assert all(low <= high for low, high in rule.ports)
    for each in ours.sets:
        assert each.members == tuple(sorted(set(each.members)))
        assert not any(member.endswith("/0") for member in each.members)
        for member in each.members:
            address = member.split("," if each.kind is SetKind.PORTS else "/")[0]
            assert (ip_address(address).version == 4) == (family is Family.IPV4)
        assert each.members or each.kind is not SetKind.NETWORKS


def shuffled(value: Any, shuffle: random.Random) -> Any:
    """The same JSON in another order, at every level where order means nothing."""
    if isinstance(value, dict):
        items = [(key, shuffled(each, shuffle)) for key, each in value.items()]
        return dict(shuffle.sample(items, len(items)))
    if isinstance(value, list):
        return [shuffled(each, shuffle) for each in shuffle.sample(value, len(value))]
    return value


@settings(max_examples=100, deadline=None)
@given(snapshots, st.integers(0, 2**32 - 1).map(random.Random))
def test_rule_3_order_never_matters(snapshot: Snapshot, shuffle: random.Random) -> None:
    other = replace(
        snapshot,
        namespaces=tuple(shuffle.sample(snapshot.namespaces, len(snapshot.namespaces))),
        pods=tuple(
            replace(
                each,
                labels=shuffled(each.labels, shuffle),
                ips=tuple(shuffle.sample(each.ips, len(each.ips))),
                ports=tuple(shuffle.sample(each.ports, len(each.ports))),
            )
            for each in shuffle.sample(snapshot.pods, len(snapshot.pods))
        ),
        network_policies=tuple(
            replace(each, spec=shuffled(each.spec, shuffle))
            for each in shuffle.sample(snapshot.network_policies, len(snapshot.network_policies))
        ),
    )
    assert [dump(each) for each in compile_all(other)] == [dump(each) for each in compile_all(snapshot)]
    ours, theirs = Compiler(snapshot), Compiler(other)
    assert ours.summary == theirs.summary
    assert ours.protected == theirs.protected


@settings(max_examples=100, deadline=None)
@given(snapshots, st.data())
def test_a_pods_going_keeps_the_names_and_rules_of_the_others(snapshot: Snapshot, data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(snapshot.pods))
    rest = replace(snapshot, pods=tuple(pod for pod in snapshot.pods if pod is not gone))
    before = {chain.name: chain for ruleset in compile_all(snapshot) for chain in chains_of(ruleset)}
    after = [chain for ruleset in compile_all(rest) for chain in chains_of(ruleset)]
    claimed = {address for pod in rest.pods for address in pod.ips} & set(gone.ips)
    for chain in after:
        # An address that goes over to another pod may make a chain that was not there.
        assert claimed or before[chain.name] == chain


def chains_of(ruleset: Ruleset) -> list[Any]:
    return [chain for family in Family for chain in ruleset.family(family).chains]


@settings(max_examples=50, deadline=None)
@given(snapshots)
def test_whatever_is_refused_is_reported_and_counted(snapshot: Snapshot) -> None:
    compiler = Compiler(snapshot)
    reported = {(each.namespace, each.name) for each in compiler.problems if each.kind == "NetworkPolicy"}
    assert compiler.summary.policies_refused == len(reported)
    assert compiler.summary.policies_enforced == len(snapshot.network_policies) - len(reported)
    assert list(compiler.problems) == sorted(set(compiler.problems))
