# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role's variables of a run as people give them, in real runs of ansible-playbook that read manifests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTIONS = Path(__file__).parents[3] / "collections"
HOSTS = ("node-1", "node-2", "node-3")
PLAY = [
    {
        "hosts": "npm_nodes",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.import_role": {
                    "name": "npm.netpol.enforce",
                    "tasks_from": "compile",
                    "rolespec_validate": False,
                }
            },
            {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} has its turn"}},
        ],
    }
]
DENY_ALL = {"podSelector": {}, "policyTypes": ["Ingress"]}


def _namespace(name: str) -> list[dict[str, Any]]:
    """A namespace with a pod that a policy cuts off."""
    status = {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": f"uid-{name}"}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": name},
            "spec": {"nodeName": HOSTS[0], "containers": [{"name": "web"}]},
            "status": status,
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny-all", "namespace": name},
            "spec": DENY_ALL,
        },
    ]


def _ansible_playbook(directory: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *arguments],
        cwd=directory,
        env={
            "HOME": str(directory),
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


RunCompile = Callable[..., tuple[bool, str]]


@pytest.fixture
def run_compile(tmp_path: Path) -> RunCompile:
    """Runs the role's ``compile`` for three hosts: whether they had their turn after it, and all that was printed.

    ``cut_off``: namespaces of which a policy cuts off all pods. ``hosts``: variables of hosts in the inventory.
    """

    def run(
        *arguments: str,
        cut_off: tuple[str, ...] = (),
        hosts: dict[str, dict[str, Any]] | None = None,
    ) -> tuple[bool, str]:
        nodes = [{"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}} for name in HOSTS]
        objects = [*nodes, *(each for name in cut_off for each in _namespace(name))]
        manifests, inventory, playbook = tmp_path / "cluster.yml", tmp_path / "hosts.yml", tmp_path / "play.yml"
        manifests.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        group = {"hosts": {name: (hosts or {}).get(name, {}) for name in HOSTS}}
        inventory.write_text(yaml.safe_dump({"npm_nodes": group}), encoding="utf-8")
        playbook.write_text(yaml.safe_dump(PLAY), encoding="utf-8")
        source = json.dumps({"npm_manifests": [str(manifests)]})
        code, text = _ansible_playbook(tmp_path, "-i", str(inventory), str(playbook), "-e", source, *arguments)
        reached = [f"{name} has its turn" in text for name in HOSTS]
        assert len(set(reached)) == 1
        assert reached[0] == (code == 0), text
        return reached[0], text

    return run


@pytest.mark.parametrize(
    "given",
    [
        '{"npm_protected_namespaces": ["kube-system", "shop"]}',
        "npm_protected_namespaces=kube-system,shop",
        "npm_protected_namespaces='kube-system, shop'",
    ],
)
def test_a_protected_namespace_is_one_in_every_spelling(run_compile: RunCompile, given: str) -> None:
    reached, text = run_compile("-e", given, cut_off=("shop",))
    assert not reached
    assert "NetworkPolicy shop/deny-all: spec.ingress: " in text


@pytest.mark.parametrize(
    ("given", "entry"),
    [
        ('{"npm_protected_namespaces": "kube-system\\nshop"}', r"kube-system\nshop"),
        ('{"npm_protected_namespaces": ["kube-system", ""]}', "''"),
        ('{"npm_protected_namespaces": ["Shop"]}', "'Shop'"),
    ],
)
def test_what_protects_no_namespace_is_refused(run_compile: RunCompile, given: str, entry: str) -> None:
    reached, text = run_compile("-e", given, cut_off=("shop",))
    assert not reached
    assert "no node was touched: protected_namespaces: " in text
    # Before 2.19, ansible-core prints the message as JSON.
    text = text.replace("\\\\", "\\")
    assert entry in text.partition("protected_namespaces: ")[2].partition("is no name of a namespace")[0]


def test_json_as_text_protects_or_is_refused(run_compile: RunCompile) -> None:
    reached, text = run_compile("-e", """npm_protected_namespaces='["kube-system","shop"]'""", cut_off=("shop",))
    assert not reached
    # Before 2.19, ansible-core makes a list of it.
    refused = """no node was touched: protected_namespaces: '["kube-system"' is no name of a namespace"""
    assert refused in text.replace('\\"', '"') or "NetworkPolicy shop/deny-all: spec.ingress: " in text


@pytest.mark.parametrize("given", ['""', '" \\n"', "null"])
def test_a_blank_field_of_a_survey_is_the_default(run_compile: RunCompile, given: str) -> None:
    names = ("npm_protected_namespaces", "npm_always_allowed_sources", "npm_template_path")
    blank = ("-e", "{" + ", ".join(f'"{name}": {given}' for name in names) + "}")
    reached, text = run_compile(*blank, cut_off=("kube-system",))
    assert not reached
    assert "NetworkPolicy kube-system/deny-all: spec.ingress: " in text
    reached, text = run_compile(*blank, cut_off=("shop",))
    assert reached, text


def test_only_an_empty_list_protects_nothing(run_compile: RunCompile) -> None:
    reached, text = run_compile("-e", '{"npm_protected_namespaces": []}', cut_off=("kube-system",))
    assert reached, text


def test_no_path_is_no_directory_of_templates(run_compile: RunCompile) -> None:
    reached, text = run_compile("-e", '{"npm_template_path": [""]}')
    assert not reached
    assert "template_path: '' is no directory" in text


@pytest.mark.parametrize("blank", ["null", '""'])
def test_a_blank_field_is_none_for_every_variable_of_a_run(run_compile: RunCompile, blank: str) -> None:
    names = ("kubernetes", "snapshot_path", "state_dir", "state_configmap", "run_directory")
    given = "{" + ", ".join(f'"npm_{name}": {blank}' for name in names) + "}"
    reached, text = run_compile("-e", given)
    assert reached, text


@pytest.mark.parametrize("playbook", ["enforce", "remove"])
@pytest.mark.parametrize("blank", ["null", '""'])
def test_a_blank_npm_serial_is_all_nodes_at_once(tmp_path: Path, playbook: str, blank: str) -> None:
    # Ansible reads it even where the group has no hosts.
    serial = ("-e", f'{{"npm_serial": {blank}}}')
    code, text = _ansible_playbook(tmp_path, "-i", "elsewhere,", f"npm.netpol.{playbook}", *serial)
    assert code == 0, text


@pytest.mark.parametrize("limit", ["npm_nodes", "node-2:node-3"])
def test_hosts_that_differ_in_what_is_enforced_are_named(run_compile: RunCompile, limit: str) -> None:
    hosts = {
        "node-2": {"npm_protected_namespaces": ["shop"], "npm_kubernetes": {"api_key": "s3cret-one"}},
        "node-3": {"npm_protected_namespaces": [], "npm_kubernetes": {"api_key": "s3cret-two"}},
    }
    reached, text = run_compile("--limit", limit, hosts=hosts, cut_off=("shop",))
    assert not reached
    one, other = ("node-1", "node-2") if limit == "npm_nodes" else ("node-2", "node-3")
    for variable in ("npm_kubernetes", "npm_protected_namespaces"):
        assert f"{variable} is not the same for {one} and {other}" in text
    assert "s3cret" not in text


def test_what_decides_nothing_for_all_may_differ(run_compile: RunCompile) -> None:
    hosts = {
        "node-1": {"npm_variant": "nft", "npm_template_path": []},
        "node-2": {"npm_node_name": "node-1", "npm_template_path": []},
        "node-3": {"npm_template_path": []},
    }
    reached, text = run_compile(hosts=hosts)
    assert reached, text
    # Extra variables are the same for all, whatever the inventory has.
    hosts = {"node-3": {"npm_protected_namespaces": []}}
    reached, text = run_compile("-e", '{"npm_protected_namespaces": ["shop"]}', hosts=hosts)
    assert reached, text
