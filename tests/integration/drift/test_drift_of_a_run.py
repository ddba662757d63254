# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What someone does to a node's rules by hand is found by the next run over SSH, named in its words, and healed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from integration.run.playbooks import FIRST, netfilter, policy, run
from lab.lab import Lab, unused_id
from lab.node import Node
from lab.spec import Pod, small

pytestmark = pytest.mark.root

ALLOW_WEB = policy(
    "allow-web",
    podSelector={"matchLabels": {"app": "web"}},
    ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": 8080}]}],
)


@pytest.fixture(scope="module", params=["nft", pytest.param("legacy", marks=pytest.mark.full)])
def enforcing(packets: None, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Each drift ends with the node healed, which the test has seen."""
    with Lab.up(unused_id(), small(request.param)) as lab:
        lab.add_pod(Pod("shop", "stranger", FIRST))
        lab.apply(ALLOW_WEB)
        assert run(lab, "enforce").code == 0
        yield lab


def saved(node: Node) -> list[str]:
    return node.run(f"iptables-{node.spec.variant}-save -t filter").stdout.splitlines()


def restore(node: Node, *lines: str) -> None:
    node.run(f"iptables-{node.spec.variant}-restore --noflush", input="\n".join(["*filter", *lines, "COMMIT", ""]))


def rule_of(node: Node, words: str) -> str:
    return next(line for line in saved(node) if words in line)


def delete_the_denying_rule(lab: Lab, node: Node) -> None:
    group = rule_of(node, f"-d {lab.ip('shop/web-1')}/32").split()[-1]
    denying = next(line for line in saved(node) if line.startswith(f"-A {group} ") and "-j DROP" in line)
    restore(node, denying.replace("-A", "-D", 1))


def remove_a_member(lab: Lab, node: Node) -> None:
    member = lab.ip("shop/client-1")
    line = next(line for line in node.run("ipset save").stdout.splitlines() if line.split()[-1:] == [member])
    node.run(line.replace("add", "ipset del", 1))


def accept_before_our_jump(_lab: Lab, node: Node) -> None:
    restore(node, "-I FORWARD 1 -j ACCEPT")


DRIFTS = {
    delete_the_denying_rule: ("IPv4: chain NPM-I-", "(shop/allow-web): 1 rule missing"),
    remove_a_member: ("IPv4: set npm-4-", "(shop/allow-web): 1 member missing"),
    accept_before_our_jump: ("IPv4: our jump in FORWARD is not first: '-j ACCEPT' stands before it",),
}


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_drift_is_named_healed_and_gone(enforcing: Lab, drift: Callable[[Lab, Node], None]) -> None:
    lab, node = enforcing, enforcing.nodes[FIRST]
    clean = [lab.reach(f"shop/{pod}", "shop/web-1").ok for pod in ("client-1", "stranger")]
    assert clean == [True, False]
    drift(lab, node)
    hurt = [lab.reach(f"shop/{pod}", "shop/web-1").ok for pod in ("client-1", "stranger")]
    assert hurt != clean

    before = netfilter(lab, FIRST)
    checked = run(lab, "enforce", "--check", "--limit", FIRST)
    assert checked.summary[0] == "Nodes: 1 would change, 0 in sync"
    named = checked.summary[checked.summary.index("Drift found (1):") + 1]
    assert named.startswith(f"  {FIRST}: ")
    assert all(words in named for words in DRIFTS[drift])
    assert netfilter(lab, FIRST) == before

    healed = run(lab, "enforce")
    assert healed.code == 0
    assert healed.summary[0] == "Nodes: 2 converged (1 changed, 1 unchanged)"
    assert healed.summary[healed.summary.index("Drift found and healed (1):") + 1] == named
    assert [lab.reach(f"shop/{pod}", "shop/web-1").ok for pod in ("client-1", "stranger")] == clean
    if drift is accept_before_our_jump:
        # It isn't ours: it stays, behind our jump.
        assert "-A FORWARD -j ACCEPT" in saved(node)
        restore(node, "-D FORWARD -j ACCEPT")


def test_then_there_is_nothing_to_do(enforcing: Lab) -> None:
    quiet = run(enforcing, "enforce")
    assert quiet.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    assert not any("Drift" in line for line in quiet.summary)
