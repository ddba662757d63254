# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""enforce.yml on the inventory that is shipped for AKS: over SSH to the nodes of the API, which is asked for little."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.lab import Lab

from .playbooks import FIRST, ROOT, SECOND, ours, policy, run

pytestmark = pytest.mark.root

DENY_ALL = policy("deny-all", policyTypes=["Ingress"])
WINDOWS, VIRTUAL, JOINING, JOINED = "akswin000000", "virtual-node-aci-linux", "aks-joining", "aks-joined"
# What one reading of the cluster takes, nodes apart.
ONCE = ["namespaces", "pods", "services", "networkpolicies", "policy.networking.k8s.io"]


def node(name: str, operating_system: str = "linux", version: str = "v1.34.0", **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/os": operating_system, **labels}},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.240.0.99"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"operatingSystem": operating_system, "kubeletVersion": version},
        },
    }


@pytest.fixture
def inventory(lab: Lab, tmp_path: Path) -> Path:
    """The file for AKS as it is, with the lab's way to reach nodes in place of Azure's."""
    file = tmp_path / "inventory" / "cluster_nodes.yml"
    (file.parent / "group_vars").mkdir(parents=True)
    shutil.copy(ROOT / "inventories/aks/cluster_nodes.yml", file)
    variables = yaml.safe_load(lab.inventory.read_text())["npm_nodes"]["vars"]
    (file.parent / "group_vars/npm_nodes.yml").write_text(yaml.safe_dump(variables))
    return file


@pytest.fixture
def others(lab: Lab) -> Iterator[None]:
    """Nodes that nothing can be enforced on."""
    objects = [
        node(WINDOWS, "windows"),
        node(VIRTUAL, type="virtual-kubelet"),
        node(JOINING, version=""),
    ]
    for each in objects:
        lab.apply(each)
    yield
    for each in objects:
        lab.delete(each)


def read(lab: Lab) -> Counter[str]:
    """How often each list was asked for since this was last asked."""
    asked = Counter(record["path"].rpartition("/")[2] for record in lab.api.requests())
    lab.api.clear_requests()
    return asked


def test_a_run_on_the_nodes_of_the_api(lab: Lab, inventory: Path, others: None) -> None:
    lab.apply(DENY_ALL)
    lab.api.clear_requests()
    output = run(lab, "enforce", "-i", str(inventory))
    assert output.code == 0, output.text
    assert output.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    for name in (FIRST, SECOND):
        assert "NPM-INGRESS" in ours(lab, name)
        assert output.recap(name)["failed"] == 0
    assert not lab.reach("shop/client-2", "shop/web-1").ok
    assert f"{WINDOWS}: its operating system is windows: only Linux nodes are enforced" in output.text
    assert f"{VIRTUAL}: a virtual node: it has no kernel of its own to enforce in" in output.text
    assert f"{JOINING}: no kubelet has reported on it yet" in output.text
    # Enforcement would be possible there, so that a run that can't yet says so.
    missing = "Nodes of the cluster that the inventory lacks: nobody enforces for their pods (1):"
    assert output.summary[output.summary.index(missing) + 1] == f"  {JOINING}"
    assert read(lab) == Counter({**dict.fromkeys(ONCE, 1), "nodes": 2})

    again = run(lab, "enforce", "-i", str(inventory))
    assert again.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"


def test_a_cached_inventory_asks_nothing_and_a_run_sees_past_it(lab: Lab, inventory: Path, tmp_path: Path) -> None:
    lab.apply(DENY_ALL)
    options = yaml.safe_load(inventory.read_text())
    cached = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    inventory.write_text(yaml.safe_dump(options | cached))
    assert run(lab, "enforce", "-i", str(inventory)).code == 0
    joined = node(JOINED)
    lab.apply(joined)
    try:
        lab.api.clear_requests()
        output = run(lab, "enforce", "-i", str(inventory))
    finally:
        lab.delete(joined)
    assert output.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
    missing = "Nodes of the cluster that the inventory lacks: nobody enforces for their pods (1):"
    assert output.summary[output.summary.index(missing) + 1] == f"  {JOINED}"
    assert read(lab) == Counter({**dict.fromkeys(ONCE, 1), "nodes": 1})


def test_an_api_that_says_nothing_ends_the_run_before_any_node(lab: Lab, inventory: Path) -> None:
    lab.apply(DENY_ALL)
    output = run(lab, "enforce", "-i", str(inventory), env={"K8S_AUTH_KUBECONFIG": "/nowhere"})
    assert output.code != 0
    assert "the nodes could not be read: kubeconfig /nowhere: no such file" in " ".join(output.text.split())
    assert not ours(lab, FIRST)
