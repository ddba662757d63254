# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection installed in an empty environment, from its directory and from git: it is whole, and it works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from installation import Installed
from tools.places import COLLECTION, tracked_files

# Says which collection this is until it is packed; the manifest says it afterwards.
_SOURCE_ONLY = {"galaxy.yml"}
_MADE_BY_GALAXY = {"MANIFEST.json", "FILES.json"}

_MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {kubernetes.io/os: linux}}
status: {addresses: [{type: InternalIP, address: 10.240.0.10}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: web, image: web}]}
status: {phase: Running, podIP: 10.244.1.4, podIPs: [{ip: 10.244.1.4}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress]}
"""

_PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - npm.netpol.snapshot:
        src: [{manifests}]
        path: {directory}/snapshot.json
      register: snapshot
    - npm.netpol.compile:
        snapshot: "{{{{ snapshot.path }}}}"
        directory: {directory}/run
"""


def test_the_installed_collection_is_whole(installed: Installed) -> None:
    packed = {str(path.relative_to(installed.path)) for path in installed.path.rglob("*") if not path.is_dir()}
    assert packed - _MADE_BY_GALAXY - _SOURCE_ONLY == {str(path) for path in tracked_files(COLLECTION)} - _SOURCE_ONLY


def test_the_installed_collection_says_who_it_is(installed: Installed) -> None:
    manifest = json.loads((installed.path / "MANIFEST.json").read_text())["collection_info"]
    assert (manifest["namespace"], manifest["name"]) == ("npm", "netpol")
    assert manifest["dependencies"] == {}


def test_the_installed_plugins_compile_a_policy(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "cluster.yml").write_text(_MANIFESTS)
    (tmp_path / "play.yml").write_text(_PLAY.format(manifests=tmp_path / "cluster.yml", directory=tmp_path))
    installed.bare.run("ansible-playbook", tmp_path / "play.yml")
    rendered = [path.read_text() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert any("-d 10.244.1.4/32" in text for text in rendered)
    assert any("shop/deny-all" in text for text in rendered)


@pytest.mark.parametrize(("folder", "kind"), [("modules", "module"), ("inventory", "inventory")])
def test_the_installed_plugins_are_documented(folder: str, kind: str, installed: Installed) -> None:
    names = sorted(f"npm.netpol.{path.stem}" for path in (installed.path / "plugins" / folder).glob("*.py"))
    assert names
    documented = json.loads(installed.bare.run("ansible-doc", "--json", "--type", kind, *names))
    assert sorted(documented) == names
