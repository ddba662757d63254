# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which objects come changes no byte, and no name that Kubernetes allows is too odd for the kernel."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.lab import Lab
from lab.spec import Namespace, Pod, small

from .playbooks import FIRST, SECOND, policy, run

pytestmark = pytest.mark.root

COMPILE = """
- hosts: npm_nodes
  gather_facts: false
  tasks:
    - import_role: {name: npm.netpol.enforce, tasks_from: compile, rolespec_validate: false}
"""
KINDS = {
    "namespaces": ("v1", "Namespace"),
    "pods": ("v1", "Pod"),
    "nodes": ("v1", "Node"),
    "services": ("v1", "Service"),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy"),
}
CLIENTS = {"podSelector": {"matchLabels": {"app": "client"}}}
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
BLOCKS = [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"]}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]
POLICIES = [
    policy("b-deny", policyTypes=["Ingress", "Egress"]),
    policy("a-web", **WEB, ingress=[{"from": [CLIENTS, *BLOCKS], "ports": [{"port": "http"}, {"port": 81}]}]),
    policy("c-web", **WEB, ingress=[{"from": [{"namespaceSelector": {}}], "ports": [{"port": 82, "endPort": 90}]}]),
    policy("a-web", "other", egress=[{"to": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}]}]),
]


def compiled(lab: Lab, directory: Path, **variables: Any) -> dict[str, bytes]:
    """What one run renders, file by file."""
    playbook = directory.with_suffix(".yml")
    playbook.write_text(COMPILE)
    output = run(lab, playbook, variables={"npm_run_directory": str(directory), **variables})
    assert output.code == 0, output.text
    # run.json names the snapshot, which is another each time.
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "run.json")
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_no_order_of_objects_changes_a_byte(lab: Lab, tmp_path: Path) -> None:
    for item in POLICIES:
        lab.apply(item)
    from_api = compiled(lab, tmp_path / "api")
    assert len(from_api) == 3
    assert any(b"shop/a-web, shop/b-deny, shop/c-web" in text for text in from_api.values())

    for item in POLICIES:
        lab.delete(item)
    for item in reversed(POLICIES):
        lab.apply(item)
    assert compiled(lab, tmp_path / "api-again") == from_api

    # An API sorts what it lists; manifests come as they come, labels and rules within them too.
    objects = [
        {"apiVersion": version, "kind": kind, **item}
        for resource, (version, kind) in KINDS.items()
        for item in lab.api.list(resource)
    ]
    for seed in range(3):
        shuffled = objects[:]
        random.Random(seed).shuffle(shuffled)  # noqa: S311 (a test's order is no secret)
        manifests = tmp_path / f"manifests-{seed}"
        manifests.mkdir()
        (manifests / "a.yml").write_text(yaml.safe_dump_all(shuffled[:9], sort_keys=bool(seed % 2)))
        (manifests / "b.yml").write_text(yaml.safe_dump_all(shuffled[9:]))
        assert compiled(lab, tmp_path / f"run-{seed}", npm_manifests=[str(manifests)]) == from_api


LONGEST = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
ODD_LABELS = {"npm-4-0123456789abcdef-a": "NPM-INGRESS", "NPM-FORWARD": "", "example.com/j.DROP": "x_y.z-0"}


@pytest.mark.parametrize("variant", ["nft", pytest.param("legacy", marks=pytest.mark.full)])
def test_names_of_all_sorts_reach_the_kernel_and_stay_in_sync(make_lab: Any, variant: str) -> None:
    lab = make_lab(small(variant))
    assert len(LONGEST) == 253
    namespace = "n" * 63
    lab.add_namespace(Namespace(namespace, ODD_LABELS))
    lab.add_pod(Pod(namespace, "p" * 63, FIRST, ODD_LABELS))
    odd = {"podSelector": {"matchLabels": ODD_LABELS}, "namespaceSelector": {"matchLabels": ODD_LABELS}}
    for each in ("shop", "other", namespace):
        lab.apply(policy(LONGEST, each, ingress=[{"from": [odd]}]))
        lab.apply(policy(f"{'z' * 250}.1", each, ingress=[{"from": [odd], "ports": [{"port": 1}]}]))
        lab.apply(policy("same", each, **WEB, ingress=[{"from": [CLIENTS], "ports": [{"port": 8080}]}]))

    first = run(lab, "enforce", "--diff")
    assert first.code == 0, first.text
    assert first.summary[0] == "Nodes: 2 converged (2 changed, 0 unchanged)"
    assert "Policies: 9 enforced, 0 refused" in first.summary
    saved = lab.nodes[SECOND].run(f"iptables-{variant}-save -t filter").stdout
    assert "shop/same" in saved
    assert f"shop/{LONGEST[:200]}" in saved
    for family in ("ipv4", "ipv6"):
        assert lab.reach(f"{namespace}/{'p' * 63}", "other/client-2", family=family).ok
        assert lab.reach("shop/client-1", "shop/web-2", family=family).ok
        assert not lab.reach("other/client-1", "shop/web-2", family=family).ok
        assert not lab.reach("shop/web-2", f"{namespace}/{'p' * 63}", family=family).ok
    again = run(lab, "enforce")
    assert again.summary[0] == "Nodes: 2 converged (0 changed, 2 unchanged)"
