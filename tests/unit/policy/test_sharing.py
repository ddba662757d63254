# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""That work is shared: the same question is asked once, however many policies, pods and nodes have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction, Family
from ansible_collections.npm.netpol.plugins.plugin_utils.policy import chains, selectors
from ansible_collections.npm.netpol.plugins.plugin_utils.policy import compile as compiling
from unit.policy.clusters import World, pod, policy

SPEC = "{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}"
NAMESPACES = [f"ns-{number}" for number in range(20)]
PODS = [
    pod(f"{namespace}/{app}-{number}", f"10.{place}.{int(app == 'db')}.{number}", app=app, own=f"{namespace}-{number}")
    for place, namespace in enumerate(NAMESPACES)
    for app in ("web", "db")
    for number in range(1, 11)
]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, str], list[object]]:
    """Notes each call of a function, and lets it through."""

    def count(owner: Any, name: str) -> list[object]:
        calls: list[object] = []
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            calls.append(arguments)
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, wrapped)
        return calls

    return count


def test_equal_specs_are_read_once_and_combined_once(counted: Callable[[Any, str], list[object]]) -> None:
    parsed, combined = counted(compiling, "parse_spec"), counted(chains, "combine")
    them = World.of(*PODS, *(policy(f"{namespace}/p", SPEC) for namespace in NAMESPACES))
    assert len({chain.name for each in them.rulesets for chain in each.ipv4.chains}) == len(NAMESPACES)
    assert len(parsed) == 1
    assert len(combined) == 1


def test_specs_that_only_look_alike_are_read_apart() -> None:
    ports = ("80", "'80'", "true", "80.0")
    them = World.of(
        *PODS,
        *(
            policy(f"ns-{number}/p", f"{{ingress: [{{ports: [{{port: {port}}}]}}]}}")
            for number, port in enumerate(ports)
        ),
    )
    assert them.reaches("10.19.0.1", "10.0.0.1", "TCP 80")
    assert len(them.fields) == len(ports) - 1


def test_a_selector_meets_labels_and_not_pods(counted: Callable[[Any, str], list[object]]) -> None:
    them = World.of(*PODS, *(policy(f"{namespace}/p", SPEC) for namespace in NAMESPACES))
    matches = counted(selectors.Selector, "matches")
    assert them.rulesets
    assert len(matches) == 2, "app=web of the subjects and app=db of the peers, each on the one that it may match"


def test_a_policy_of_one_namespace_is_its_own_although_its_spec_is_anothers() -> None:
    them = World.of(*PODS, policy("ns-1/p", SPEC), policy("ns-2/p", SPEC))
    assert them.reaches("10.1.1.1", "10.1.0.1")
    assert not them.reaches("10.2.1.1", "10.1.0.1")
    assert not them.reaches("10.1.1.1", "10.2.0.1")
    (target,) = [each for each in them.rulesets[0].ipv4.ingress if each.pod == "ns-2/web-3"]
    (chain,) = [each for each in them.rulesets[0].ipv4.chains if each.name == target.chain]
    assert chain.policies == ("ns-2/p",)


@pytest.mark.parametrize("dual", [0, 1, 400])
@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("{key: own, operator: Exists}", lambda number: True),
        ("{key: own, operator: NotIn, values: [p3, p4]}", lambda number: number not in (3, 4)),
        ("{key: odd, operator: DoesNotExist}", lambda number: number % 2 == 0),
        ("{key: own, operator: In, values: [p3, p4]}", lambda number: number in (3, 4)),
    ],
)
def test_wide_and_narrow_sets_have_the_same_kind_of_members(
    dual: int, expression: str, wanted: Callable[[int], bool]
) -> None:
    """400 pods that are told apart, ``dual`` of which have an IPv6 address too."""
    addresses = {
        number: {Family.IPV4: f"10.0.{number // 100}.{number % 100}", Family.IPV6: f"fd00::{number + 1:x}"}
        for number in range(400)
    }
    pods = [
        pod(
            f"ns/p{number}",
            *(list(each.values()) if number < dual else [each[Family.IPV4]]),
            labels={"own": f"p{number}", **({"odd": ""} if number % 2 else {})},
        )
        for number, each in addresses.items()
    ]
    peer = f"{{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{expression}]}}}}"
    them = World.of(*pods, policy("ns/p", f"{{ingress: [{{from: [{peer}], ports: [{{port: 80}}]}}]}}"))
    for family in (Family.IPV4, Family.IPV6) if dual else (Family.IPV4,):
        (rule,) = them.chain("p0", Direction.INGRESS, family).rules
        found = them.peers(rule)
        owners = range(400 if family is Family.IPV4 else dual)
        assert found
        assert found.members == tuple(sorted(addresses[number][family] for number in owners if wanted(number)))
