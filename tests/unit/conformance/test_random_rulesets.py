# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rulesets and files of random clusters: their shape, that order never changes a byte, that names outlive a pod, that
refusals are counted. What packets do there is the fuzz's affair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Chain, Family, Ruleset, SetKind
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import Rendered
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from conformance import generate
from conformance.offline import Enforced

every_seed = pytest.mark.parametrize(
    "seeds", [pytest.param(range(60), id="some"), pytest.param(range(60, 2000), marks=pytest.mark.full, id="many")]
)


@every_seed
def test_every_ruleset_is_well_formed(seeds: range) -> None:
    for snapshot in map(generate.snapshot, seeds):
        for ruleset in rulesets(snapshot):
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


@every_seed
def test_rule_3_order_changes_no_byte(seeds: range) -> None:
    """Of policies, rules, peers and ports; and of pods, namespaces, labels and addresses."""
    for seed in seeds:
        snapshot = generate.snapshot(seed)
        other = in_another_order(snapshot, Random(seed))  # noqa: S311 (a test's dice)
        assert files(other) == files(snapshot), f"seed {seed}"
        assert [repr(each) for each in rulesets(other)] == [repr(each) for each in rulesets(snapshot)]
        ours, theirs = Compiler(snapshot), Compiler(other)
        assert ours.summary == theirs.summary
        assert ours.protected == theirs.protected


def in_another_order(snapshot: Snapshot, random: Random) -> Snapshot:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in random.sample(list(value), len(value))}
        if isinstance(value, list | tuple):
            return type(value)(shuffled(each) for each in random.sample(value, len(value)))
        return value

    return replace(
        snapshot,
        namespaces=shuffled(snapshot.namespaces),
        pods=tuple(
            replace(each, labels=shuffled(each.labels), ips=shuffled(each.ips), ports=shuffled(each.ports))
            for each in shuffled(snapshot.pods)
        ),
        network_policies=tuple(replace(each, spec=shuffled(each.spec)) for each in shuffled(snapshot.network_policies)),
    )


@every_seed
def test_a_pods_going_keeps_the_names_and_rules_of_the_others(seeds: range) -> None:
    for seed in seeds:
        snapshot = generate.snapshot(seed)
        gone = Random(seed).choice(snapshot.pods)  # noqa: S311 (a test's dice)
        rest = replace(snapshot, pods=tuple(pod for pod in snapshot.pods if pod is not gone))
        if {address for pod in rest.pods for address in pod.ips} & set(gone.ips):
            # An address that goes over to another pod may make a chain that was not there.
            continue
        before = {chain.name: chain for chain in chains(snapshot)}
        assert all(before[chain.name] == chain for chain in chains(rest)), f"seed {seed}"


@every_seed
def test_whatever_is_refused_is_reported_and_counted(seeds: range) -> None:
    refused = 0
    for snapshot in map(generate.snapshot, seeds):
        compiler = Compiler(snapshot)
        reported = {(each.namespace, each.name) for each in compiler.problems if each.kind == "NetworkPolicy"}
        assert compiler.summary.policies_refused == len(reported)
        assert compiler.summary.policies_enforced == len(snapshot.network_policies) - len(reported)
        assert list(compiler.problems) == sorted(set(compiler.problems))
        refused += len(reported)
    assert refused, "the generator makes what the API would refuse, too"


def rulesets(snapshot: Snapshot) -> list[Ruleset]:
    compiler = Compiler(snapshot)
    return [compiler.ruleset(node.name) for node in snapshot.nodes]


def chains(snapshot: Snapshot) -> Iterator[Chain]:
    return (chain for ruleset in rulesets(snapshot) for family in Family for chain in ruleset.family(family).chains)


def files(snapshot: Snapshot) -> list[Rendered]:
    enforced = Enforced(snapshot)
    return [enforced.files(node.name) for node in snapshot.nodes]
