# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is meant for one node is put on no other: its address may have gone on to another one, or it has booted."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.lab import Lab

from .playbooks import FIRST, FROM_CLIENTS, SECOND, inventory_with, netfilter, run

pytestmark = pytest.mark.root

ANOTHER = "this is another machine than the node, or it has booted since the cluster was read"


def test_an_address_that_leads_to_another_node_changes_nothing_there(lab: Lab, tmp_path: Path) -> None:
    lab.apply(FROM_CLIENTS)
    assert run(lab, "enforce").code == 0
    before = netfilter(lab, SECOND)
    hosts = {FIRST: {"ansible_host": lab.ip(SECOND)}}
    inventory = inventory_with(lab, tmp_path / "hosts.yml", hosts)
    output = run(lab, "enforce", "-i", str(inventory), "--limit", FIRST)
    assert output.recap(FIRST)["failed"] == 1
    assert ANOTHER in " ".join(output.text.split())
    assert netfilter(lab, SECOND) == before
    assert not lab.reach("other/client-1", "shop/web-2").ok


def test_a_node_that_has_booted_since_is_left_to_the_next_run(lab: Lab) -> None:
    lab.apply(FROM_CLIENTS)
    lab.nodes[FIRST].boot("the-next-boot")
    output = run(lab, "enforce")
    assert (output.recap(FIRST)["failed"], output.recap(SECOND)["failed"]) == (1, 0)
    assert ANOTHER in " ".join(output.text.split())
    lab.api.patch("nodes", FIRST, "", {"status": {"nodeInfo": {"bootID": "the-next-boot"}}})
    assert run(lab, "enforce").code == 0


def test_where_nobody_knows_the_boot_every_machine_will_do(lab: Lab) -> None:
    """As with manifests that somebody wrote."""
    lab.apply(FROM_CLIENTS)
    lab.api.patch("nodes", FIRST, "", {"status": {"nodeInfo": {"bootID": None}}})
    assert run(lab, "enforce").code == 0
