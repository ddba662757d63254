# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our jumps in FORWARD: which places are right, and what puts them there."""

from __future__ import annotations

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.hook import (
    AFTER_KUBE_SERVICES,
    FIRST,
    HookChange,
    hook_change,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_rule
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import Target

OURS = "-j NPM-FORWARD"
ACCEPT = "-j NPM-ACCEPT"
DROP = "-s 192.0.2.1 -j DROP"
REJECT = "-s 192.0.2.1 -j REJECT"
KUBE = "-j KUBE-FORWARD"
SERVICES = "-m conntrack --ctstate NEW -j KUBE-SERVICES"
OTHER = "-j OTHER"


def change(*forward: str, hook: str = FIRST, accept: bool = False) -> HookChange:
    chains = {"NPM-ACCEPT": (parse_rule("-j ACCEPT"),)} if accept else {}
    return hook_change(tuple(parse_rule(line) for line in forward), Target({}, chains, hook))


@pytest.mark.parametrize(
    ("hook", "accept", "forward"),
    [
        (FIRST, False, (OURS,)),
        (FIRST, False, (OURS, KUBE, OTHER)),
        (FIRST, False, (DROP, REJECT, OURS, KUBE)),
        (FIRST, True, (OURS, KUBE, ACCEPT)),
        (AFTER_KUBE_SERVICES, False, (KUBE, SERVICES, OURS)),
        (AFTER_KUBE_SERVICES, False, (KUBE, OTHER, SERVICES, OURS, OTHER)),
        (AFTER_KUBE_SERVICES, False, (OURS, OTHER)),
        (AFTER_KUBE_SERVICES, True, (KUBE, OURS, OTHER, ACCEPT)),
        ("", False, (KUBE, OTHER)),
        ("", False, ()),
    ],
)
def test_a_right_place_is_no_change(hook: str, accept: bool, forward: tuple[str, ...]) -> None:
    assert not change(*forward, hook=hook, accept=accept)


@pytest.mark.parametrize(
    ("hook", "accept", "forward", "lines", "reason"),
    [
        (FIRST, False, (), ["-I FORWARD 1 -j NPM-FORWARD"], "is missing"),
        (
            FIRST,
            False,
            (OTHER, OURS),
            ["-D FORWARD -j NPM-FORWARD", "-I FORWARD 1 -j NPM-FORWARD"],
            "is not first: '-j OTHER'",
        ),
        (
            FIRST,
            False,
            (DROP, KUBE, OURS),
            ["-D FORWARD -j NPM-FORWARD", "-I FORWARD 1 -j NPM-FORWARD"],
            "KUBE-FORWARD",
        ),
        (
            FIRST,
            False,
            (OURS, OURS),
            ["-D FORWARD -j NPM-FORWARD", "-D FORWARD -j NPM-FORWARD", "-I FORWARD 1 -j NPM-FORWARD"],
            "is 2 times there",
        ),
        (
            FIRST,
            False,
            ("-i eth0 -j NPM-FORWARD",),
            ["-D FORWARD -i eth0 -j NPM-FORWARD", "-I FORWARD 1 -j NPM-FORWARD"],
            "is edited",
        ),
        (
            FIRST,
            False,
            ("-g NPM-FORWARD",),
            ["-D FORWARD -g NPM-FORWARD", "-I FORWARD 1 -j NPM-FORWARD"],
            "is edited",
        ),
        (
            AFTER_KUBE_SERVICES,
            False,
            (OURS, OTHER, KUBE, SERVICES, OTHER),
            ["-D FORWARD -j NPM-FORWARD", "-I FORWARD 4 -j NPM-FORWARD"],
            "stands before KUBE-SERVICES",
        ),
        (AFTER_KUBE_SERVICES, False, (OTHER,), ["-I FORWARD 1 -j NPM-FORWARD"], "is missing"),
        (FIRST, True, (OURS, OTHER), ["-A FORWARD -j NPM-ACCEPT"], "accepting jump at the end of FORWARD is missing"),
        (
            FIRST,
            True,
            (OURS, ACCEPT, OTHER),
            ["-D FORWARD -j NPM-ACCEPT", "-A FORWARD -j NPM-ACCEPT"],
            "not the last rule",
        ),
        (FIRST, False, (OURS, ACCEPT), ["-D FORWARD -j NPM-ACCEPT"], "is to go"),
        ("", False, (OURS, KUBE, ACCEPT), ["-D FORWARD -j NPM-FORWARD", "-D FORWARD -j NPM-ACCEPT"], "is to go"),
        ("", False, ("-j NPM-I-EVIL",), ["-D FORWARD -j NPM-I-EVIL"], "is to go"),
    ],
)
def test_a_wrong_place_is_put_right(
    hook: str, accept: bool, forward: tuple[str, ...], lines: list[str], reason: str
) -> None:
    found = change(*forward, hook=hook, accept=accept)
    assert list(found.lines) == lines
    assert reason in " ".join(found.reasons)


@pytest.mark.parametrize("hook", [FIRST, AFTER_KUBE_SERVICES, ""])
@pytest.mark.parametrize("accept", [True, False])
@pytest.mark.parametrize(
    "forward", [(), (OTHER, OURS, KUBE), (OURS, OURS, ACCEPT, SERVICES), (ACCEPT, DROP, "-g NPM-FORWARD", KUBE, OTHER)]
)
def test_after_the_lines_nothing_is_left_to_do(hook: str, accept: bool, forward: tuple[str, ...]) -> None:
    accept = accept and bool(hook)
    rules = list(forward)
    for line in change(*forward, hook=hook, accept=accept).lines:
        match line.split(" ", 2):
            case ["-D", _, rule]:
                rules.remove(rule)
            case ["-A", _, rule]:
                rules.append(rule)
            case ["-I", _, rest]:
                number, _, rule = rest.partition(" ")
                rules.insert(int(number) - 1, rule)
    assert not change(*rules, hook=hook, accept=accept)
    foreign = [line for line in forward if "NPM-" not in line]
    assert [line for line in rules if "NPM-" not in line] == foreign
