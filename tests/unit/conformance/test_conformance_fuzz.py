# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random clusters: the oracle against packets through the rendered files; and that a fault is found and shrunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Direction
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import dispatch
from ansible_collections.npm.netpol.plugins.plugin_utils.policy import allowances, parse, policies
from conformance import fuzz, generate, oracle
from conformance.fuzz import Found
from conformance.offline import Enforced

_ENOUGH_FAULTS = 3
# Faults of the past, as they were printed.
FOUND = Path(__file__).with_name("found")
Plant = Callable[[pytest.MonkeyPatch], None]


# Nodes of random clusters have few pods: in every other part, the dispatch is divided all the same.
LONGEST_LISTS = (dispatch.LONGEST_LIST, 1)


def _seeds() -> Iterator[Any]:
    """In parts, none of which takes minutes."""
    for start, longest in zip((0, 150), LONGEST_LISTS, strict=True):
        yield pytest.param(range(start, start + 150), longest, id=f"from {start}, longest list {longest}")
    for start, longest in zip(range(300, 20_000, 985), cycle(LONGEST_LISTS), strict=False):
        name = f"from {start}, longest list {longest}"
        yield pytest.param(range(start, start + 985), longest, marks=pytest.mark.full, id=name)


@pytest.mark.parametrize(("seeds", "longest"), list(_seeds()))
def test_the_product_agrees_with_the_oracle(seeds: range, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "LONGEST_LIST", longest)
    faults = list(islice((fault for seed in seeds if (fault := fuzz.fault_of(seed))), _ENOUGH_FAULTS))
    assert not faults, "\n\n".join(map(str, faults))


def _ignore_excepts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policies.IPBlock, "intervals", property(lambda block: (block.network.interval,)))


def _ignore_protocols(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(parse, "_protocol", lambda _value, _field: "tcp")


def _isolate_ingress_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(parse, "_directions", lambda _types, _egress: (Direction.INGRESS,))


def _open_unresolved_names(patch: pytest.MonkeyPatch) -> None:
    """Where a name stands for nothing, any port: what rule 17 forbids."""
    resolved = allowances._numbers
    patch.setattr(allowances, "_numbers", lambda port, resolve: list(resolved(port, resolve)) or [(1, 65535)])


@pytest.mark.parametrize(
    "plant",
    [_ignore_excepts, _ignore_protocols, _isolate_ingress_only, _open_unresolved_names],
    ids=lambda plant: plant.__name__.strip("_"),
)
def test_a_planted_fault_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch, plant: Plant) -> None:
    plant(monkeypatch)
    fault = next((fault for seed in range(100) if (fault := fuzz.fault_of(seed))), None)
    assert fault, "100 clusters did not show it"
    assert len(fault.found.snapshot.network_policies) == 1
    assert len(fault.found.snapshot.pods) <= 2
    assert Found.load(fault.found.dump()) == fault.found
    with pytest.raises(AssertionError):
        check_found(fault.found)


@pytest.mark.parametrize("file", sorted(FOUND.glob("*.json")), ids=lambda file: file.stem)
def test_what_was_found_once_stays_right(file: Path) -> None:
    check_found(Found.load(file.read_text()))


def check_found(found: Found) -> None:
    assert oracle.between(found.snapshot, *found.flow).allowed == found.allowed
    assert Enforced(found.snapshot).passes(*found.flow) == found.allowed


def test_a_seed_is_a_cluster() -> None:
    assert generate.snapshot(7) == generate.snapshot(7)
    assert generate.snapshot(7) != generate.snapshot(8)
