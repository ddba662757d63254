# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory plugin as Ansible loads it, on a real API: groups, variables, selectors, cache, and every refusal."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from aks_nodes import FIRST, JOINING, SECOND, VIRTUAL, WINDOWS, node
from lab.api import ApiServer, Fault, Identity, Rule
from listing_inventory import List, Listed

MEMBERS = sorted([FIRST, SECOND])


def good(listed: Listed) -> Listed:
    assert listed.code == 0, listed.words
    return listed


def unmarked(value: Any) -> Any:
    """What is composed is marked from ansible-core 2.19 on, whatever it is made of."""
    return value["__ansible_unsafe"] if isinstance(value, dict) else value


def refused(listed: Listed) -> str:
    assert listed.code != 0, listed.output
    return listed.words


def test_the_graph_shows_the_members_and_those_left_out(ansible_inventory: List, api: ApiServer) -> None:
    shown = good(ansible_inventory("--graph"))
    text = shown.output
    assert text.index("@npm_nodes") < text.index(FIRST)
    for group in ("npm_left_out", "npm_pool_web", "npm_zone_westeurope_1", "npm_arch_arm64", "npm_not_ready"):
        assert f"@{group}:" in text
    assert f"Left out of npm_nodes, in npm_left_out: {WINDOWS}: its operating system is windows" in shown.words
    assert f"{VIRTUAL}: a virtual node" in shown.words
    assert f"{JOINING}: no kubelet has reported on it yet" in shown.words
    assert "WARNING" not in shown.words
    assert [record.path for record in api.requests.all()] == ["/api/v1/nodes"]


def test_every_node_is_listed_with_its_groups_and_variables(ansible_inventory: List, api: ApiServer) -> None:
    listed = good(ansible_inventory())
    assert listed.group("npm_nodes") == MEMBERS
    assert listed.group("npm_left_out") == sorted([WINDOWS, VIRTUAL, JOINING])
    assert listed.group("npm_pool_batch") == [SECOND]
    assert listed.group("npm_os_windows") == [WINDOWS]
    assert listed.group("npm_not_ready") == sorted([SECOND, JOINING])
    assert listed.variables(SECOND) == {
        "ansible_host": "10.224.0.5",
        "npm_node_addresses": [
            {"type": "InternalIP", "address": "10.224.0.5"},
            {"type": "Hostname", "address": SECOND},
        ],
        "npm_node_architecture": "arm64",
        "npm_node_boot_id": f"boot-of-{SECOND}",
        "npm_node_container_runtime": "containerd://2.0.0",
        "npm_node_kernel_version": "6.6.57.1-1.azl3",
        "npm_node_kubelet_version": "v1.34.0",
        "npm_node_labels": {
            "agentpool": "batch",
            "kubernetes.azure.com/os-sku": "AzureLinux",
            "kubernetes.io/arch": "arm64",
            "kubernetes.io/os": "linux",
        },
        "npm_node_left_out": "",
        "npm_node_os": "linux",
        "npm_node_os_image": "Microsoft Azure Linux 3.0",
        "npm_node_os_sku": "AzureLinux",
        "npm_node_pod_cidrs": ["10.244.0.0/24"],
        "npm_node_pool": "batch",
        "npm_node_ready": False,
        "npm_node_ready_reason": "NodeStatusUnknown",
        "npm_node_uid": f"uid-of-{SECOND}",
        "npm_node_unschedulable": True,
        "npm_node_virtual": False,
        "npm_node_zone": "",
    }
    assert "windows" in listed.variables(WINDOWS)["npm_node_left_out"]
    assert api.token not in listed.output + listed.words


def test_pages_are_followed_to_the_last(ansible_inventory: List, api: ApiServer) -> None:
    api.store.load([node(f"aks-{number}", f"10.224.1.{number}") for number in range(1, 10)])
    listed = good(ansible_inventory(page_size=4))
    assert len(listed.group("npm_nodes")) == 11
    records = api.requests.all()
    assert [record.query.get("limit") for record in records] == ["4"] * 4
    assert all("resourceVersion" not in record.query and "watch" not in record.query for record in records)


def test_a_list_that_expires_is_begun_again(ansible_inventory: List, api: ApiServer) -> None:
    api.faults.add(Fault("expire", resource="nodes", verb="list", page=2, times=1))
    listed = good(ansible_inventory(page_size=3))
    assert listed.group("npm_nodes") == MEMBERS
    assert [record.query.get("limit") for record in api.requests.all()] == ["3", "3", "6"]


def test_selectors_are_the_api_s(ansible_inventory: List, api: ApiServer) -> None:
    chosen = good(ansible_inventory(label_selectors=["agentpool in (batch,other)", "kubernetes.io/arch"]))
    assert chosen.group("npm_nodes") == [SECOND]
    assert chosen.group("npm_left_out") == []
    assert good(ansible_inventory(field_selectors=[f"metadata.name={FIRST}"])).group("npm_nodes") == [FIRST]
    nobody = good(ansible_inventory(label_selectors=["agentpool=none"]))
    assert "the group npm_nodes is empty: none of the 0 nodes read is a member" in nobody.words
    assert "400" in refused(ansible_inventory(label_selectors=["a in b"]))


def test_constructed_groups_and_variables(ansible_inventory: List) -> None:
    listed = good(
        ansible_inventory(
            compose={"npm_variant": "'nft'", "pool_at": "npm_node_pool ~ '@' ~ npm_node_zone"},
            groups={"arm": "npm_node_architecture == 'arm64'", "azure-linux": "npm_node_os_sku == 'AzureLinux'"},
            keyed_groups=[{"key": "npm_node_labels['agentpool']", "prefix": "pool", "parent_group": "pools"}],
            strict=False,
        )
    )
    composed = {name: unmarked(listed.variables(FIRST)[name]) for name in ("npm_variant", "pool_at")}
    assert composed == {"npm_variant": "nft", "pool_at": "web@westeurope-1"}
    assert listed.group("arm") == [SECOND]
    assert FIRST in listed.group("azure_linux")
    assert listed.group("pool_batch") == [SECOND]
    assert listed.document["pools"]["children"] == ["pool_batch", "pool_web"]


def test_strict_makes_a_mistake_an_error(ansible_inventory: List) -> None:
    mistake = {"compose": {"x": "npm_node_labels['no-such'] ~ 'y'"}}
    assert "x" not in good(ansible_inventory(**mistake)).variables(FIRST)
    assert "Could not set x" in refused(ansible_inventory(**mistake, strict=True))


def test_what_the_api_says_is_never_a_template(ansible_inventory: List, api: ApiServer, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    template = "{{ lookup('ansible.builtin.pipe', 'touch " + str(touched) + "') }}"
    hostile = node(
        "aks-hostile",
        labels={"bad": template, template: "x", "agentpool": "a-b", "kubernetes.azure.com/agentpool": None},
        info={"osImage": template, "kernelVersion": "{% raw %}"},
    )
    api.store.load([hostile])
    options: dict[str, Any] = {
        "compose": {"copied": "npm_node_labels.bad", "joined": "'is ' ~ npm_node_os_image"},
        "groups": {"same": "npm_node_labels.bad == npm_node_os_image"},
        "keyed_groups": [{"key": "npm_node_labels.bad | default('none')", "prefix": "bad"}],
    }
    listed = good(ansible_inventory(**options))
    assert "aks-hostile" in listed.group("npm_nodes")
    assert listed.group("same") == ["aks-hostile"]
    assert all(name.replace("_", "").isalnum() for name in listed.groups)
    # What isn't plain words is printed as marked.
    assert listed.variables("aks-hostile")["npm_node_os_image"] == {"__ansible_unsafe": template}
    assert listed.variables("aks-hostile")["npm_node_labels"]["bad"] == {"__ansible_unsafe": template}

    play = tmp_path / "play.json"
    say = {name: f"{{{{ {name} }}}}" for name in ("npm_node_os_image", "npm_node_labels", "copied", "joined")}
    task = {"ansible.builtin.copy": {"content": "{{ said | to_json }}", "dest": str(tmp_path / "said")}}
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "aks-hostile",
                    "gather_facts": False,
                    "connection": "local",
                    "vars": {"said": say, "ansible_python_interpreter": sys.executable},
                    "tasks": [{"ansible.builtin.debug": {"var": "hostvars[inventory_hostname]"}}, task],
                }
            ]
        )
    )
    run = ansible_inventory(playbook=play, **options)
    assert run.code == 0, run.output + run.words
    said = json.loads((tmp_path / "said").read_text())
    assert said["npm_node_os_image"] == said["copied"] == said["npm_node_labels"]["bad"] == template
    assert said["joined"] == f"is {template}"
    assert not touched.exists()


def test_two_values_in_one_group_are_noticed(ansible_inventory: List, api: ApiServer) -> None:
    changes = {"kubernetes.azure.com/agentpool": None}
    api.store.load(
        [node("a", labels={"agentpool": "gpu-1", **changes}), node("b", labels={"agentpool": "gpu.1", **changes})]
    )
    words = "'npm_pool_gpu-1' and 'npm_pool_gpu.1' are one group here: npm_pool_gpu_1"
    listed = good(ansible_inventory())
    assert listed.group("npm_pool_gpu_1") == ["a", "b"]
    assert words in listed.words
    assert words in refused(ansible_inventory(strict=True))
    keyed = [{"key": "npm_node_labels.agentpool", "prefix": "p"}]
    assert "'p_gpu-1' and 'p_gpu.1' are one group here: p_gpu_1" in good(ansible_inventory(keyed_groups=keyed)).words


@pytest.mark.parametrize(
    "options",
    [
        {"keyed_groups": [{"key": "npm_node_labels.claim", "prefix": "npm"}]},
        {"keyed_groups": [{"key": "npm_node_pool", "prefix": "p", "parent_group": "npm_nodes"}]},
        {"groups": {"npm_nodes": "true"}},
        {"groups": {"npm-left-out": "true"}},
    ],
    ids=["a-label", "a-parent", "a-condition", "another-spelling"],
)
def test_only_nodes_decide_about_the_groups_of_a_run(
    options: dict[str, Any], ansible_inventory: List, api: ApiServer
) -> None:
    api.store.load([node("aks-claiming", labels={"claim": "nodes", "kubernetes.io/os": "windows"})])
    assert "a group that only nodes decide about" in refused(ansible_inventory(**options))


def test_a_missing_address_leaves_the_node_in_and_is_named(ansible_inventory: List, api: ApiServer) -> None:
    public = node("aks-public", status={"addresses": [{"type": "ExternalIP", "address": "20.0.0.4"}]})
    api.store.load([public])
    words = "Node {}: status.addresses: has no ExternalIP (it is reached by its name)"
    listed = good(ansible_inventory(address_types=["ExternalIP"]))
    assert listed.variables("aks-public")["ansible_host"] == "20.0.0.4"
    assert "ansible_host" not in listed.variables(FIRST)
    assert FIRST in listed.group("npm_nodes")
    assert all(words.format(name) in listed.words for name in MEMBERS)
    assert words.format(SECOND) in refused(ansible_inventory(address_types=["ExternalIP"], strict=True))
    assert good(ansible_inventory(address_types=["Hostname"])).variables(FIRST)["ansible_host"] == FIRST


def test_nodes_with_ipv6_only(ansible_inventory: List, api: ApiServer) -> None:
    api.store.load([node("aks-v6", "fd00:10:224::4")])
    assert good(ansible_inventory()).variables("aks-v6")["ansible_host"] == "fd00:10:224::4"
    wanted = good(ansible_inventory(address_family="ipv6"))
    assert wanted.variables("aks-v6")["ansible_host"] == "fd00:10:224::4"
    assert f"Node {FIRST}: status.addresses: has no InternalIP of the family ipv6" in wanted.words


def test_an_object_that_is_malformed_is_named(ansible_inventory: List, api: ApiServer) -> None:
    api.store.load([node("aks-odd", "-oProxyCommand=id")])
    listed = good(ansible_inventory())
    words = "Node aks-odd: status.addresses[0].address: '-oProxyCommand=id' is not an IP address of a host"
    assert words in listed.words
    assert "ansible_host" not in listed.variables("aks-odd")
    assert words in refused(ansible_inventory(strict=True))


CACHE = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_timeout": 3600}


def test_a_cache_saves_every_request_and_holds_no_secret(
    ansible_inventory: List, api: ApiServer, tmp_path: Path
) -> None:
    options = {**CACHE, "cache_connection": str(tmp_path / "cache")}
    first = good(ansible_inventory(**options))
    assert len(api.requests.all()) == 1
    second = good(ansible_inventory(**options))
    assert len(api.requests.all()) == 1
    assert (second.document, second.words) == (first.document, first.words)
    # Without a right to ask: nothing is asked.
    assert good(ansible_inventory(**options, api_key="another")).document == first.document

    (kept,) = (tmp_path / "cache").iterdir()
    assert api.token not in kept.name + kept.read_text()
    nothing = tmp_path / "nothing.yml"
    nothing.write_text("- hosts: npm_nodes\n  gather_facts: false\n")
    good(ansible_inventory(playbook=nothing, **options))
    assert len(api.requests.all()) == 1
    good(ansible_inventory("--flush-cache", playbook=nothing, **options))
    assert len(api.requests.all()) == 2
    good(ansible_inventory(**options, label_selectors=["agentpool=web"]))
    good(ansible_inventory(**options, host=f"{api.url}/", api_key=api.token))
    assert len(api.requests.all()) == 3
    api.store.load([node("aks-new")])
    kept.write_text("{}")
    assert "aks-new" in good(ansible_inventory(**options)).group("npm_nodes")
    assert len(api.requests.all()) == 4


def test_a_cache_runs_no_credential_plugin(ansible_inventory: List, api: ApiServer, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": api.token}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho ran >> {ran}\necho '{json.dumps(answer)}'\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    execute = {"apiVersion": answer["apiVersion"], "command": str(plugin), "interactiveMode": "Never"}
    kubeconfig = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": api.url, "certificate-authority": str(api.ca_file)}}],
        "users": [{"name": "u", "user": {"exec": execute}}],
    }
    options = {**CACHE, "cache_connection": str(tmp_path / "cache"), "kubeconfig": kubeconfig}
    assert good(ansible_inventory(**options)).group("npm_nodes") == MEMBERS
    assert good(ansible_inventory(**options)).group("npm_nodes") == MEMBERS
    assert ran.read_text() == "ran\n"


def test_awx_s_words_are_understood(ansible_inventory: List, api: ApiServer) -> None:
    unverified = {"K8S_AUTH_VERIFY_SSL": "False", "K8S_AUTH_SSL_CA_CERT": ""}
    listed = good(ansible_inventory("--list", "--export", variables=unverified))
    assert listed.group("npm_nodes") == MEMBERS
    assert f"the certificate of {api.url} was not verified" in listed.words
    refusal = refused(ansible_inventory(variables={"K8S_AUTH_VERIFY_SSL": "maybe"}))
    assert "K8S_AUTH_VERIFY_SSL is 'maybe', which is neither true nor false" in refusal


def test_options_of_the_file_and_their_other_names(ansible_inventory: List, api: ApiServer) -> None:
    cleared = dict.fromkeys(("K8S_AUTH_HOST", "K8S_AUTH_API_KEY", "K8S_AUTH_SSL_CA_CERT"), "")
    options = {"host": api.url, "api_key": api.token, "ssl_ca_cert": str(api.ca_file)}
    assert good(ansible_inventory(variables=cleared, **options)).group("npm_nodes") == MEMBERS
    nothing = refused(ansible_inventory(variables=cleared))
    assert "the nodes could not be read: no Kubernetes API to read: set kubeconfig or host" in nothing


def test_who_may_not_read_is_told_why(ansible_inventory: List, api: ApiServer) -> None:
    api.identities.add(Identity("pods-only", "s3cret-of-pods", rules=(Rule(("list",), ("pods",)),)))
    words = refused(ansible_inventory(variables={"K8S_AUTH_API_KEY": "s3cret-of-nobody"}))
    assert "the nodes could not be read: GET" in words
    assert "401" in words
    assert "the API does not accept the credentials from" in words
    assert "s3cret-of-nobody" not in words
    words = refused(ansible_inventory(variables={"K8S_AUTH_API_KEY": "s3cret-of-pods"}))
    assert "403" in words
    assert "the collection's docs/rbac.yaml has the rights that are needed" in words


def test_the_documented_rights_are_enough(ansible_inventory: List, api: ApiServer) -> None:
    api.identities.add(Identity("reader", "s3cret-of-reader", rules=(Rule(("list",), ("nodes",)),)))
    assert good(ansible_inventory(variables={"K8S_AUTH_API_KEY": "s3cret-of-reader"})).group("npm_nodes") == MEMBERS


def test_what_passes_is_tried_again(ansible_inventory: List, api: ApiServer) -> None:
    api.faults.add(Fault("status", resource="nodes", verb="list", code=503, times=1, retry_after=0))
    assert good(ansible_inventory()).group("npm_nodes") == MEMBERS
    api.faults.add(Fault("status", resource="nodes", verb="list", code=503, retry_after=0))
    assert "(tried 2 times)" in refused(ansible_inventory(retries=1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_selector": "a=b", "pagesize": 3}, "label_selector, pagesize: no such option"),
        ({"page_size": 0}, "page_size is 0: the least is 1"),
        ({"address_types": ["internalip"]}, "internalip"),
        ({"address_family": "ipv5"}, "ipv5"),
        ({"name": "nodes.yml"}, "could not be verified"),
    ],
)
def test_a_mistake_in_the_file_is_named(options: dict[str, Any], words: str, ansible_inventory: List) -> None:
    assert words in refused(ansible_inventory(**options))


def test_a_node_with_a_name_of_ansible_is_refused(ansible_inventory: List, api: ApiServer) -> None:
    api.store.load([node("localhost")])
    assert "the nodes cannot be an inventory: Node localhost: metadata.name" in refused(ansible_inventory())


def test_a_file_may_end_in_yaml_and_begin_with_anything(ansible_inventory: List) -> None:
    assert good(ansible_inventory(name="west.cluster_nodes.yaml")).group("npm_nodes") == MEMBERS
