# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every way to name a playbook leads to the same tasks: in a checkout, from anywhere, as an installed collection."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from installation import Bare, Installed
from lab.api import ApiServer
from tools.places import COLLECTION, ROOT

PLAYBOOKS = sorted(path.name for path in (COLLECTION / "playbooks").glob("*.yml"))
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "aks-1", "labels": {"kubernetes.io/os": "linux"}},
    "status": {
        "addresses": [{"type": "InternalIP", "address": "10.224.0.4"}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.34.0"},
    },
}
INVENTORY = "npm_nodes:\n  hosts:\n    node-1:\n"


def tasks(bare: Bare, playbook: str | Path, directory: Path) -> list[str]:
    """What a playbook would run, without its own name, which tells how it was named."""
    inventory = bare.home / "inventory.yml"
    inventory.write_text(INVENTORY)
    listed = bare.run("ansible-playbook", "--list-tasks", "-i", inventory, playbook, directory=directory)
    return [line for line in listed.splitlines() if line and not line.startswith("playbook: ")]


def test_there_is_a_playbook_in_the_collection_and_one_at_the_top_for_each() -> None:
    assert "enforce.yml" in PLAYBOOKS
    assert sorted(path.name for path in (ROOT / "playbooks").glob("*.yml")) == PLAYBOOKS


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_a_checkout_runs_its_own_playbooks_from_anywhere(
    name: str, bare: Bare, repository: Path, tmp_path: Path
) -> None:
    playbook = repository / "playbooks" / name
    at_the_top = tasks(bare, f"playbooks/{name}", repository)
    assert any("TAGS" in line for line in at_the_top)
    assert tasks(bare, name, playbook.parent) == at_the_top
    assert tasks(bare, playbook, tmp_path) == at_the_top
    assert tasks(bare, f"npm.netpol.{Path(name).stem}", repository) == at_the_top


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_an_installed_collection_runs_the_same_playbooks(
    name: str, installed: Installed, bare: Bare, repository: Path
) -> None:
    expected = tasks(bare, f"playbooks/{name}", repository)
    assert tasks(installed.bare, f"npm.netpol.{Path(name).stem}", installed.bare.home) == expected


def test_a_checkout_prefers_its_own_collection_to_an_installed_one(installed: Installed, repository: Path) -> None:
    shown = installed.bare.run("ansible-galaxy", "collection", "list", "npm.netpol", directory=repository)
    first, second = shown.index(str(repository)), shown.index(str(installed.bare.home))
    assert first < second


def test_a_checkout_needs_no_settings(bare: Bare, repository: Path) -> None:
    settings = bare.run("ansible-config", "dump", "--only-changed", directory=repository)
    assert str(repository / "collections") in settings
    assert str(repository / "inventories/aks") in settings
    assert "npm.netpol.summary" in settings
    with ApiServer(tls=True) as api:
        api.store.load([NODE])
        values = {"K8S_AUTH_HOST": api.url, "K8S_AUTH_API_KEY": api.token, "K8S_AUTH_CA_CERT": str(api.ca_file)}
        shown = bare.run("ansible-inventory", "--list", directory=repository, **values)
    listed = json.loads(shown)
    assert listed["npm_nodes"]["hosts"] == ["aks-1"]
    assert listed["_meta"]["hostvars"]["aks-1"]["ansible_become"] is True


def test_a_checkout_does_nothing_without_its_inventory(bare: Bare, repository: Path) -> None:
    """Ansible's own way is a warning, and an end that looks good."""
    command = [Path(sys.executable).with_name("ansible-playbook"), "playbooks/enforce.yml"]
    done = subprocess.run(command, cwd=repository, env=bare.environment(), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no Kubernetes API to read" in " ".join(done.stderr.split())
