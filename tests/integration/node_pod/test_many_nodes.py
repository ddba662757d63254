# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run over several nodes: one helper pod each, all of them made before any has to run, and one exec in sync."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from integration.node_pod.reach import NAMESPACE, Reach
from integration.run.playbooks import policy
from lab.lab import Lab
from lab.spec import LabSpec, Node

pytestmark = pytest.mark.root

NODES = [f"aks-nodepool1-12345678-vmss00000{number}" for number in range(4)]
_NEVER, _AT_ONCE = 100_000, 0
_PATIENCE_SECONDS = 60


@pytest.fixture
def reach(make_lab: Callable[..., Lab], tmp_path: Path) -> Reach:
    lab = make_lab(LabSpec(nodes=tuple(map(Node, NODES)), families=("ipv4",)))
    return Reach(lab, tmp_path)


def test_helper_pods_are_made_side_by_side_and_take_one_exec_each(reach: Reach) -> None:
    reach.lab.apply(policy("deny", "default"))
    first = reach.playbook("enforce")
    assert [first.recap(node)["changed"] for node in NODES] == [1] * len(NODES), first.text
    assert reach.is_clear()

    reach.lab.api.clear_requests()
    start_pods(reach, _NEVER)
    with ThreadPoolExecutor() as pool:
        run = pool.submit(reach.playbook, "enforce", "--forks", str(len(NODES)))
        try:
            # None of them runs yet: whoever waits for one has not kept the others from being made.
            wait_for_pods(reach, len(NODES))
            places = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in reach.pods()}
            assert reach.execs() == []
        finally:
            start_pods(reach, _AT_ONCE)
        done = run.result()
    assert done.code == 0, done.text
    assert [done.recap(node)["changed"] for node in NODES] == [0] * len(NODES)
    assert sorted(places.values()) == NODES
    assert reach.created() == len(NODES)
    assert sorted(each["path"] for each in reach.execs()) == sorted(
        f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/exec" for name in places
    )
    assert reach.is_clear()


def start_pods(reach: Reach, after_seconds: float) -> None:
    reach.lab.api.settings(kubelet={"start_delay": after_seconds})


def wait_for_pods(reach: Reach, count: int) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while len(reach.pods()) < count:
        assert time.monotonic() < until, f"only {len(reach.pods())} helper pods, and none of them runs"
        time.sleep(0.05)
