# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holding the product against the oracle on random clusters, by walking packets through the rendered files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot, dump

from . import generate, oracle
from .offline import Enforced
from .shrink import shrink
from .walk import WalkError

FLOWS = 120
Flow = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Fault:
    """A flow on which the two do not agree, or that the walk could not make, on the smallest snapshot that shows it."""

    seed: int
    flow: Flow
    expected: oracle.Verdict
    seen: str
    snapshot: Snapshot

    def __str__(self) -> str:
        source, destination, protocol, port = self.flow
        data = {key: value for key, value in json.loads(dump(self.snapshot)).items() if value}
        return (
            f"seed {self.seed}: {source} -> {destination} at {port}/{protocol}: "
            f"the oracle says {self.expected}, the product {self.seen}\n{json.dumps(data, indent=1)}"
        )


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
    return Fault(seed, flow, oracle.between(small, *flow), _seen(Enforced(small), flow), small)


def _seen(enforced: Enforced, flow: Flow) -> str:
    try:
        return _word(enforced.passes(*flow))
    except WalkError as error:
        return f"renders what a kernel refuses: {error}"


def _expected(snapshot: Snapshot, flow: Flow) -> str:
    return _word(oracle.between(snapshot, *flow).allowed)


def _word(passes: bool) -> str:
    return "allowed" if passes else "denied"
