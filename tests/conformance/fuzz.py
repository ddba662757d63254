# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holding the product against the oracle on random clusters, by walking packets through the rendered files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot, dump, load

from . import generate, oracle
from .offline import Enforced
from .shrink import shrink
from .walk import WalkError

FLOWS = 120
Flow = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Found:
    """A flow that the product once judged wrong, on the smallest snapshot that showed it: kept as a file."""

    flow: Flow
    allowed: bool
    snapshot: Snapshot

    def dump(self) -> str:
        data = {"flow": self.flow, "expected": _word(self.allowed), "snapshot": json.loads(dump(self.snapshot))}
        return json.dumps(data, indent=1)

    @classmethod
    def load(cls, text: str) -> Found:
        data = json.loads(text)
        source, destination, protocol, port = data["flow"]
        flow = source, destination, protocol, port
        return cls(flow, data["expected"] == _word(True), load(json.dumps(data["snapshot"])))


@dataclass(frozen=True, slots=True)
class Fault:
    """A flow on which the two do not agree, or that the walk could not make."""

    seed: int
    found: Found
    expected: oracle.Verdict
    seen: str

    def __str__(self) -> str:
        source, destination, protocol, port = self.found.flow
        what = f"seed {self.seed}: {source} -> {destination} at {port}/{protocol}"
        return f"{what}: the oracle says {self.expected}, the product {self.seen}. To keep:\n{self.found.dump()}"


def fault_of(seed: int, count: int = FLOWS) -> Fault | None:
    """The first fault of a seed's cluster, made small."""
    snapshot = generate.snapshot(seed)
    enforced = Enforced(snapshot)
    for flow in generate.flows(snapshot, Random(seed), count):  # noqa: S311 (a test's dice)
        if _seen(enforced, flow) != _expected(snapshot, flow):
            return _small_fault(seed, snapshot, flow)
    return None


def _small_fault(seed: int, snapshot: Snapshot, flow: Flow) -> Fault:
    small = shrink(snapshot, lambda each: _seen(Enforced(each), flow) != _expected(each, flow))
    expected = oracle.between(small, *flow)
    return Fault(seed, Found(flow, expected.allowed, small), expected, _seen(Enforced(small), flow))


def _seen(enforced: Enforced, flow: Flow) -> str:
    try:
        return _word(enforced.passes(*flow))
    except WalkError as error:
        return f"renders what a kernel refuses: {error}"


def _expected(snapshot: Snapshot, flow: Flow) -> str:
    return _word(oracle.between(snapshot, *flow).allowed)


def _word(passes: bool) -> str:
    return "allowed" if passes else "denied"
