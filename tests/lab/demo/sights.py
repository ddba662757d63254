# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trying every path of the demo with real connections, and holding what is seen against what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.lab import Lab
from lab.probe import Answer, Probe
from lab.spec import Family

from .paths import PATHS, Path, Situation

HEADING = ("from", "on node", "to", "on node", "by", "address:port", "client seen as", "expected")
_NAMES: dict[Family, str] = {"ipv4": "IPv4", "ipv6": "IPv6"}


@dataclass(frozen=True, slots=True)
class Sight:
    """What a path did, by family; ``strange`` says what is not as expected, empty if all is."""

    path: Path
    answers: dict[Family, Answer]
    strange: str


def look(lab: Lab, situation: Situation) -> list[Sight]:
    """Connect along every path in every family, all at once."""
    families = lab.cluster.families
    tries = [(path, family) for path in PATHS for family in families]
    probes = [Probe(path.client, *destination(lab, path, family)) for path, family in tries]
    answers = dict(zip(tries, lab.probe(probes), strict=True))
    return [_sight(lab, path, {family: answers[path, family] for family in families}, situation) for path in PATHS]


def destination(lab: Lab, path: Path, family: Family) -> tuple[str, int]:
    """The address and port that the client connects to."""
    if path.by == "pod":
        return lab.ip(path.server, family), 8080
    key = f"default/{path.service}"
    ips = lab.service_ips(key) if path.by == "ClusterIP" else lab.load_balancer_ips(key)
    return ips[lab.cluster.families.index(family)], 80


def _sight(lab: Lab, path: Path, answers: dict[Family, Answer], situation: Situation) -> Sight:
    strange = [
        f"{_NAMES[family]}: {fault}"
        for family, answer in answers.items()
        for fault in _faults(lab, path, family, answer, situation)
    ]
    return Sight(path, answers, "; ".join(strange))


def _faults(lab: Lab, path: Path, family: Family, answer: Answer, situation: Situation) -> Iterator[str]:
    expected = situation in path.reaches
    if answer.ok != expected:
        yield f"{answer.server} answers" if answer.ok else answer.reason
    elif not answer.ok and answer.reason != "timeout":
        # What is denied is dropped: a refusal would be somebody else's.
        yield f"{answer.reason}, not silence"
    elif answer.ok and answer.server != path.server:
        yield f"{answer.server} answers"
    elif answer.ok and answer.source not in _expected_sources(lab, path, family):
        yield f"the client is seen as {answer.source}"


def _expected_sources(lab: Lab, path: Path, family: Family) -> Sequence[str]:
    return [lab.ip(place, family) for place in ([path.client] if path.source == "own" else lab.nodes)]


def rows(lab: Lab, sights: Sequence[Sight], situation: Situation) -> list[tuple[str, ...]]:
    """The table: the address is that of the first family; a line that is not as expected says so at its end."""
    families = lab.cluster.families
    seen = tuple(f"seen {_NAMES[family]}" for family in families)
    return [(*HEADING, *seen, ""), *(_row(lab, sight, situation) for sight in sights)]


def _row(lab: Lab, sight: Sight, situation: Situation) -> tuple[str, ...]:
    path = sight.path
    address, port = destination(lab, path, lab.cluster.families[0])
    return (
        "outside" if path.client == "ext" else "kubelet" if path.client in lab.nodes else _short(path.client),
        _node(lab, path.client),
        path.service,
        _node(lab, path.server),
        path.by,
        f"[{address}]:{port}" if ":" in address else f"{address}:{port}",
        "itself" if path.source == "own" else "a node",
        _yes(situation in path.reaches),
        *(_yes(answer.ok) for answer in sight.answers.values()),
        f"<-- {sight.strange}" if sight.strange else "",
    )


def _node(lab: Lab, place: str) -> str:
    """The end of the node's name; what is before it is the same for all."""
    if place == "ext":
        return "-"
    name = place if place in lab.nodes else lab.cluster.pods[place].node
    return name.rsplit("-", 1)[-1]


def _short(key: str) -> str:
    return key.removeprefix("default/")


def _yes(reached: bool) -> str:
    return "yes" if reached else "no"
