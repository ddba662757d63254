# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run costs a node, in what can be counted: exchanges, bytes, processes, memory. Never in seconds."""

from __future__ import annotations

import pytest
from bench import node
from bench.workload import FULL, SMALL

pytestmark = pytest.mark.root

WIRE_IN_SYNC = 4096
# Those of the shells and of what they start; a change of the scripts may change them, and should know that it does.
PROCESSES_IN_SYNC = {"nft": 30, "legacy": 36}
MEMORY = 150


@pytest.mark.parametrize("variant", ["nft", pytest.param("legacy", marks=pytest.mark.full)])
def test_what_a_node_in_sync_and_a_changed_one_cost(packets: None, variant: str) -> None:
    check(variant, {row["step"]: row for row in node.steps(variant, SMALL)})


@pytest.mark.full
@pytest.mark.parametrize("variant", ["nft", "legacy"])
def test_what_the_full_node_costs(packets: None, variant: str) -> None:
    rows = {row["step"]: row for row in node.steps(variant, FULL)}
    check(variant, rows)
    churn = rows["1% of members churn"]
    assert churn["bytes sent"] + churn["bytes received"] <= churn["byte limit"]


def check(variant: str, rows: dict[str, node.Row]) -> None:
    in_sync = rows.pop("in sync")
    assert in_sync["exchanges"] == 1
    assert in_sync["bytes sent"] + in_sync["bytes received"] <= WIRE_IN_SYNC
    assert 1 < in_sync["processes"] <= PROCESSES_IN_SYNC[variant]
    assert in_sync["controller MiB"] < MEMORY
    for row in rows.values():
        assert row["exchanges"] == 2
        assert row["controller MiB"] < MEMORY
