# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""npm_state_configmap: each run is a new container, of which nothing lasts; what it knows is in the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.api import Fault
from lab.lab import Lab

from .playbooks import FIRST, FROM_CLIENTS, ROOT, SECOND, Output, inventory_with, run, visits

pytestmark = pytest.mark.root

DOCS = ROOT / "collections/ansible_collections/npm/netpol/docs"
NAMESPACE, NAME = "npm-netpol-state", "production"
# Of a removal.
STEPS = ("forget", "remove", "keep")


class Containers:
    """Runs of playbooks that have nothing in common but the cluster, and which nodes each has visited."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.lab = lab
        self._directory = directory
        self._made = 0

    def look(
        self, *arguments: str, playbook: str | Path = "enforce", env: dict[str, str] | None = None, **variables: Any
    ) -> tuple[Output, list[str]]:
        self._made += 1
        own = {"ANSIBLE_LOCAL_TEMP": str(self._directory / f"container-{self._made}")}
        # Each resource is then worth to be kept.
        pages = {"page_size": 1}
        given = {"npm_state_configmap": f"{NAMESPACE}/{NAME}", "npm_kubernetes": pages}
        given |= {f"npm_{key}": each for key, each in variables.items()}
        before = {node: visits(self.lab, node) for node in self.lab.nodes}
        self.lab.api.clear_requests()
        output = run(self.lab, playbook, *arguments, variables=given, env=own | (env or {}))
        return output, [node for node in self.lab.nodes if visits(self.lab, node) > before[node]]

    def changed(self, *arguments: str, **variables: Any) -> list[str]:
        """The nodes that a successful run visits that is to visit what has changed."""
        output, visited = self.look(*arguments, scope="changed", **variables)
        assert output.code == 0, output.text
        assert "WARNING" not in output.text
        return visited

    def stored(self) -> list[str]:
        """The ConfigMaps without what makes their names differ."""
        names = sorted(each["metadata"]["name"] for each in self.lab.api.list("configmaps", NAMESPACE))
        return ["-".join(name.split("-")[:2]) for name in names]

    def about_configmaps(self) -> list[str]:
        """What the last run has asked of ConfigMaps."""
        return [each["verb"] for each in self.lab.api.requests() if each["resource"] == "configmaps"]


@pytest.fixture
def containers(lab: Lab, tmp_path: Path) -> Iterator[Containers]:
    """All nodes are enforced on, and known."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    lab.apply(namespace)
    lab.apply(FROM_CLIENTS)
    containers = Containers(lab, tmp_path)
    assert containers.changed() == [FIRST, SECOND]
    yield containers
    lab.delete(namespace)


def test_defaults_of_the_action_group_reach_the_api_in_all_tasks_of_the_role(
    containers: Containers, tmp_path: Path
) -> None:
    lab = containers.lab
    defaults = {"kubeconfig": str(lab.kubeconfig), "page_size": 3, "retries": 1, "timeout": 20.0}
    play: dict[str, Any] = {"hosts": "npm_nodes", "gather_facts": False, "roles": ["npm.netpol.enforce"]}
    play["module_defaults"] = {"group/npm.netpol.netpol": defaults}
    playbook = tmp_path / "site.yml"
    playbook.write_text(yaml.safe_dump([play]))
    unset = {"K8S_AUTH_KUBECONFIG": "", "KUBECONFIG": str(tmp_path / "none")}
    output, visited = containers.look(playbook=playbook, env=unset)
    assert output.code == 0, output.text
    assert visited == [FIRST, SECOND]
    assert "update" in containers.about_configmaps()
    # What the role is told comes first.
    there = defaults | {"kubeconfig": str(tmp_path / "none")}
    play["module_defaults"] = {"group/npm.netpol.netpol": there}
    playbook.write_text(yaml.safe_dump([play]))
    output, _visited = containers.look(playbook=playbook, env=unset, kubernetes={"kubeconfig": str(lab.kubeconfig)})
    assert output.code == 0, output.text


def test_the_next_container_reads_what_has_changed_and_visits_what_it_concerns(containers: Containers) -> None:
    lab = containers.lab
    output, visited = containers.look("-vv", scope="changed")
    assert output.code == 0, output.text
    assert visited == []
    assert "the cluster was read in the mode incremental, changes: 0" in output.text
    assert "listed in full" not in output.text
    assert output.summary[0].endswith(", 2 left out: unchanged since their last run")
    # Of the objects and of the records, a head and a part each.
    assert containers.about_configmaps() == ["get"] * 4
    # Only its own node has it as a target.
    lab.relabel_pod("shop/web-2", {"app": "open"})
    output, visited = containers.look("-vv", scope="changed")
    assert output.code == 0, output.text
    assert visited == [SECOND]
    assert "the cluster was read in the mode incremental, changes: 1" in output.text
    assert lab.reach("other/client-1", "shop/web-2").ok
    # Each of the objects, the marks and the records: a part, the head, and the former part.
    assert sorted(each for each in containers.about_configmaps() if each != "get") == sorted(
        ["create", "update", "delete"] * 3
    )
    assert containers.stored() == [NAME, f"{NAME}-nodes", f"{NAME}-objects"]
    assert containers.changed() == []


def test_a_run_over_all_and_a_look_leave_what_they_find(containers: Containers) -> None:
    output, visited = containers.look("--check", "--diff", scope="all")
    assert output.code == 0, output.text
    assert visited == [FIRST, SECOND]
    assert set(containers.about_configmaps()) == {"get"}
    assert containers.changed("--check") == []
    output, visited = containers.look(scope="all")
    assert (output.code, visited) == (0, [FIRST, SECOND]), output.text
    assert containers.changed() == []


@pytest.mark.full
def test_each_run_changes_the_records_of_its_own_nodes(containers: Containers) -> None:
    hook = {"hook": "after_kube_services"}
    assert containers.changed("--limit", SECOND, **hook) == [SECOND]
    assert containers.changed("--limit", FIRST) == []
    assert containers.changed("--limit", SECOND, **hook) == []
    assert containers.changed() == [SECOND]
    assert containers.changed() == []


def test_options_may_differ_from_host_to_host(containers: Containers, tmp_path: Path) -> None:
    """Even if the first one, for which a task that runs once is templated, is alone in having its own."""
    hosts = yaml.safe_load(containers.lab.inventory.read_text())["npm_nodes"]["hosts"]
    own = {"npm_hook": "after_kube_services", "npm_accept": "yes"}
    inventory = inventory_with(containers.lab, tmp_path / "hosts.yml", {FIRST: {**(hosts[FIRST] or {}), **own}})
    assert containers.changed("-i", str(inventory)) == [FIRST]
    assert containers.changed("-i", str(inventory)) == []


def test_a_node_that_failed_is_visited_until_it_succeeds(containers: Containers) -> None:
    lab = containers.lab
    lab.nodes[FIRST].write_tool("iptables-nft-restore", "#!/bin/sh\ncat >/dev/null\necho no >&2\nexit 1\n")
    for pod in ("shop/web-1", "shop/web-2"):
        lab.relabel_pod(pod, {"app": "open"})
    output, visited = containers.look(scope="changed")
    assert output.code != 0
    assert visited == [FIRST, SECOND]
    lab.nodes[FIRST].restore_tools()
    assert containers.changed() == [FIRST]
    assert containers.changed() == []


def test_a_run_that_dies_leaves_no_record_of_what_it_began(containers: Containers, tmp_path: Path) -> None:
    """As far as its last deed before the first visit; it costs the next run two visits of each node."""
    play = tmp_path / "begin.yml"
    play.write_text(
        "- {hosts: npm_nodes, gather_facts: false, tasks: "
        "[{ansible.builtin.import_role: {name: npm.netpol.enforce, tasks_from: compile}}]}\n"
    )
    containers.lab.relabel_pod("shop/web-2", {"app": "open"})
    output, visited = containers.look(playbook=play, scope="changed")
    assert (output.code, visited) == (0, []), output.text
    containers.lab.relabel_pod("shop/web-2", {"app": "web"})
    assert containers.changed() == [SECOND]
    assert containers.changed() == [SECOND]
    assert containers.changed() == []


@pytest.mark.full
def test_the_role_in_one_play_does_all_of_it(containers: Containers, tmp_path: Path) -> None:
    play = tmp_path / "role.yml"
    play.write_text("- {hosts: npm_nodes, gather_facts: false, roles: [npm.netpol.enforce]}\n")
    assert containers.changed(playbook=play) == []
    containers.lab.relabel_pod("shop/web-2", {"app": "open"})
    assert containers.changed(playbook=play) == [SECOND]
    assert containers.changed() == []


def test_what_is_removed_is_forgotten(containers: Containers) -> None:
    output, visited = containers.look("--limit", FIRST, playbook="remove")
    assert (output.code, visited) == (0, [FIRST]), output.text
    assert containers.changed() == [FIRST]
    output, _visited = containers.look("--check", playbook="remove")
    assert output.code == 0, output.text
    assert containers.changed() == []


@pytest.mark.parametrize(
    "name", ["", pytest.param(" ", marks=pytest.mark.full), pytest.param(None, marks=pytest.mark.full)]
)
def test_a_name_that_says_nothing_is_the_hosts_own(containers: Containers, name: str | None) -> None:
    """Of what is removed, what is enforced and what is known."""
    output, visited = containers.look(playbook="remove", node_name=name)
    assert (output.code, visited) == (0, [FIRST, SECOND]), output.text
    assert containers.changed() == [FIRST, SECOND]
    assert containers.changed(node_name=name) == []


@pytest.fixture
def by_names_of_the_play(containers: Containers, tmp_path: Path) -> Callable[..., tuple[Output, list[str]]]:
    """A removal whose names of nodes are no variables of the hosts, so that it can't begin with them."""
    steps = [{"ansible.builtin.import_role": {"name": "npm.netpol.enforce", "tasks_from": step}} for step in STEPS]
    names = {"npm_node_name": "{{ k8s_name }}"}
    play = tmp_path / "remove.yml"
    play.write_text(yaml.safe_dump([{"hosts": "npm_nodes", "gather_facts": False, "vars": names, "tasks": steps}]))
    hosts = yaml.safe_load(containers.lab.inventory.read_text())["npm_nodes"]["hosts"]
    others = {f"the-host-of-{name}": {**(own or {}), "k8s_name": name} for name, own in hosts.items()}
    inventory = inventory_with(containers.lab, tmp_path / "hosts.yml", others, without=(FIRST, SECOND))
    return partial(containers.look, "-i", str(inventory), playbook=play)


def test_what_is_removed_by_names_of_the_play_is_forgotten_too(
    containers: Containers, tmp_path: Path, by_names_of_the_play: Callable[..., tuple[Output, list[str]]]
) -> None:
    state = str(tmp_path / "state")
    alone = {"state_configmap": "", "state_dir": state}
    assert containers.changed(**alone) == [FIRST, SECOND]
    output, visited = by_names_of_the_play(state_dir=state)
    assert (output.code, visited) == (0, [FIRST, SECOND]), output.text
    assert containers.changed(**alone) == [FIRST, SECOND]
    assert containers.changed() == [FIRST, SECOND]
    assert containers.changed() == []


@pytest.mark.full
def test_a_directory_that_stays_untrue_of_nodes_by_names_of_the_play_is_said(
    tmp_path: Path, by_names_of_the_play: Callable[..., tuple[Output, list[str]]]
) -> None:
    state = tmp_path / "state"
    record = state / "of-a-cluster" / "nodes" / f"{FIRST}.json"
    # What is no file can't be removed as one, not even by root.
    record.mkdir(parents=True)
    output, visited = by_names_of_the_play(state_dir=str(state))
    assert (output.code != 0, visited) == (True, [FIRST, SECOND])
    said = " ".join(output.text.split())
    assert f"but what the directory {state} has noted of them may be untrue. Delete it: " in said
    assert str(record) in said


@pytest.mark.full
@pytest.mark.parametrize("playbook", ["enforce", "remove"])
def test_a_run_from_manifests_is_known_of_too(containers: Containers, tmp_path: Path, playbook: str) -> None:
    """As where one goes back to a dump, from when a pod was not isolated yet."""
    lab = containers.lab
    lab.relabel_pod("shop/web-2", {"app": "open"})
    kinds = {"nodes": "Node", "namespaces": "Namespace", "pods": "Pod"}
    items = [
        {"apiVersion": "v1", "kind": kind, **each} for plural, kind in kinds.items() for each in lab.api.list(plural)
    ]
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    lab.relabel_pod("shop/web-2", {"app": "web"})
    assert containers.changed() == []
    output, visited = containers.look(playbook=playbook, manifests=[str(dump)], allow_older=True)
    assert (output.code, visited) == (0, [FIRST, SECOND]), output.text
    assert lab.reach("other/client-1", "shop/web-2").ok
    assert containers.changed() == [FIRST, SECOND]
    assert not lab.reach("other/client-1", "shop/web-2").ok


def test_a_removal_stops_where_hosts_have_other_places_for_their_state(containers: Containers, tmp_path: Path) -> None:
    hosts = yaml.safe_load(containers.lab.inventory.read_text())["npm_nodes"]["hosts"]
    own = {SECOND: {**(hosts[SECOND] or {}), "npm_state_configmap": "elsewhere/production"}}
    inventory = inventory_with(containers.lab, tmp_path / "hosts.yml", own)
    place = yaml.safe_dump({"npm_state_configmap": f"{NAMESPACE}/{NAME}"})
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/npm_nodes.yml").write_text(place)
    output = run(containers.lab, "remove", "-i", str(inventory))
    assert f"no node was touched: npm_state_configmap is not the same for {FIRST} and {SECOND}" in output.text
    assert (output.code, containers.changed()) == (2, [])


def test_a_directory_of_runs_without_the_config_map_forgets_what_is_visited(
    containers: Containers, tmp_path: Path
) -> None:
    alone = {"state_configmap": "", "state_dir": str(tmp_path / "state"), "scope": "changed"}
    for expected in ([FIRST, SECOND], []):
        output, visited = containers.look(**alone)
        assert (output.code, visited) == (0, expected), output.text
    containers.lab.relabel_pod("shop/web-2", {"app": "open"})
    assert containers.changed(state_dir=str(tmp_path / "state")) == [SECOND]
    assert list((tmp_path / "state").glob("*/objects.snapshot"))
    containers.lab.relabel_pod("shop/web-2", {"app": "web"})
    output, visited = containers.look(**alone)
    assert (output.code, visited) == (0, [SECOND]), output.text


def test_the_manifests_give_the_rights_for_all_of_it(containers: Containers) -> None:
    documents = [
        each for name in ("rbac", "state-rbac") for each in yaml.safe_load((DOCS / f"{name}.yaml").read_text())["items"]
    ]
    kubeconfig = str(containers.lab.service_account(documents, "npm-netpol", "npm-netpol-reader"))
    containers.lab.relabel_pod("shop/web-2", {"app": "open"})
    env = {"KUBECONFIG": kubeconfig, "K8S_AUTH_KUBECONFIG": kubeconfig}
    assert containers.changed(env=env) == [SECOND]
    assert containers.changed(env=env) == []
    assert {each["identity"] for each in containers.lab.api.requests()} == {
        "system:serviceaccount:npm-netpol:npm-netpol-reader"
    }


@pytest.mark.parametrize("code", [403, pytest.param(413, marks=pytest.mark.full)])
def test_a_store_that_takes_nothing_is_a_warning_and_all_nodes_are_enforced(
    lab: Lab, tmp_path: Path, code: int
) -> None:
    lab.apply(FROM_CLIENTS)
    lab.api.add_fault(Fault("status", resource="configmaps", verb="create", code=code, message="the lab takes none"))
    containers = Containers(lab, tmp_path)
    for _again in range(2):
        output, visited = containers.look(scope="changed")
        assert (output.code, visited) == (0, [FIRST, SECOND]), output.text
        said = " ".join(output.text.split())
        assert f"the ConfigMap {NAMESPACE}/{NAME} is of no use: POST " in said
        assert "the next run with npm_scope changed visits the nodes that this one visits" in said
    assert not lab.reach("other/client-1", "shop/web-2").ok


def test_records_that_may_have_become_untrue_fail_the_run_when_its_work_is_done(containers: Containers) -> None:
    lab = containers.lab
    fault = Fault("status", resource="configmaps", verb="update", code=403, message="the lab takes none")
    lab.api.add_fault(fault)
    lab.relabel_pod("shop/web-2", {"app": "open"})
    output, visited = containers.look(scope="changed")
    assert visited == [SECOND]
    assert lab.reach("other/client-1", "shop/web-2").ok
    assert output.code != 0
    assert "what the cluster has noted of them may be untrue. Delete the ConfigMaps with the label" in " ".join(
        output.text.split()
    )


@pytest.mark.full
def test_records_that_could_not_be_taken_out_at_first_are_taken_out_at_last(containers: Containers) -> None:
    lab = containers.lab
    # The first is of the objects; the next two would change the records, and then empty them.
    lab.api.add_fault(Fault("status", resource="configmaps", verb="update", code=403, skip=1, times=2))
    lab.relabel_pod("shop/web-2", {"app": "open"})
    output, visited = containers.look(scope="changed")
    assert (output.code, visited) == (0, [SECOND]), output.text
    lab.relabel_pod("shop/web-2", {"app": "web"})
    assert containers.changed() == [SECOND]
    assert containers.changed() == []


def test_a_place_that_cannot_be_is_refused_before_anything_is_read(lab: Lab, tmp_path: Path) -> None:
    containers = Containers(lab, tmp_path)
    for playbook in ("enforce", "remove"):
        output, visited = containers.look(playbook=playbook, state_configmap="production")
        assert (output.code != 0, visited) == (True, [])
        assert "no node was touched: state_configmap: 'production' is not NAMESPACE/NAME" in " ".join(
            output.text.split()
        )
        assert lab.api.requests() == []
