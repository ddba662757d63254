# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's API tells of the lab's cluster, to the official client, by the lab's kubeconfig, from the controller."""

from __future__ import annotations

import json
import sys
from typing import Any

from lab.lab import Lab
from lab.spec import Namespace, Pod, Service, ServicePort

NODE = "aks-nodepool1-12345678-vmss000001"
LIST = """
import json, kubernetes
kubernetes.config.load_kube_config()
core = kubernetes.client.CoreV1Api()
text = lambda answer: json.loads(answer.data)["items"]
print(json.dumps({
    "pods": text(core.list_pod_for_all_namespaces(_preload_content=False)),
    "nodes": text(core.list_node(_preload_content=False)),
    "namespaces": text(core.list_namespace(_preload_content=False)),
    "services": text(core.list_service_for_all_namespaces(_preload_content=False)),
}))
"""


def read(lab: Lab) -> dict[str, dict[str, Any]]:
    """Resource -> namespace/name -> object."""
    lists = json.loads(lab.run_in("ctl", [sys.executable, "-c", LIST], check=True).stdout)
    return {
        resource: {f"{each['metadata'].get('namespace', '')}/{each['metadata']['name']}": each for each in items}
        for resource, items in lists.items()
    }


def test_the_client_sees_the_cluster(lab: Lab) -> None:
    found = read(lab)
    assert found["pods"].keys() == lab.cluster.pods.keys()
    assert found["services"].keys() == lab.cluster.services.keys()
    assert {key.strip("/") for key in found["nodes"]} == lab.nodes.keys()
    for key, pod in lab.cluster.pods.items():
        assert tuple(each["ip"] for each in found["pods"][key]["status"]["podIPs"]) == pod.ips
        assert found["pods"][key]["spec"].get("hostNetwork", False) == pod.host_network
    assert found["namespaces"]["/shop"]["metadata"]["labels"]["kubernetes.io/metadata.name"] == "shop"
    assert found["namespaces"]["/kube-system"]["metadata"]["uid"]


def test_changes_of_the_cluster_reach_the_api(lab: Lab) -> None:
    lab.add_namespace(Namespace("new", {"a": "b"}))
    lab.add_pod(Pod("new", "one", NODE, {"app": "one"}))
    lab.relabel_pod("shop/web-1", {"app": "else"})
    lab.relabel_namespace("other", {"team": "changed"})
    lab.add_service(Service("new", "one", {"app": "one"}, (ServicePort(80, 8080),), "NodePort"))
    lab.remove_pod("shop/web-2")
    found = read(lab)
    assert found["pods"].keys() == lab.cluster.pods.keys()
    assert found["pods"]["new/one"]["status"]["podIP"] == lab.ip("new/one")
    assert found["pods"]["shop/web-1"]["metadata"]["labels"] == {"app": "else"}
    assert found["namespaces"]["/other"]["metadata"]["labels"]["team"] == "changed"
    assert found["services"]["new/one"]["spec"]["ports"][0]["nodePort"] == lab.node_port("new/one")
    lab.remove_namespace("new")
    assert "/new" not in read(lab)["namespaces"]


def test_the_api_wants_a_token_and_is_the_controllers_alone(lab: Lab) -> None:
    script = "import ssl,urllib.request as u;u.urlopen('https://10.240.0.4:6443/api/v1/pods',context=ssl._create_unverified_context())"
    done = lab.run_in("ctl", [sys.executable, "-c", script])
    assert "401" in done.stderr


def test_a_reset_takes_back_what_a_test_changed(lab: Lab, shared_lab_spec: Any) -> None:
    node = lab.nodes[NODE]
    before = read(lab)["pods"].keys()
    lab.relabel_pod("shop/web-2", {"app": "else"})
    lab.add_pod(Pod("shop", "more", NODE))
    lab.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {}},
        }
    )
    node.run("iptables -I FORWARD -j DROP; iptables-legacy -I FORWARD -j DROP; ipset create left hash:ip")
    node.remove_tool("sha256sum")
    lab.reset(shared_lab_spec)
    assert read(lab)["pods"].keys() == before
    assert lab.api.list("networkpolicies") == []
    assert node.run("ipset list -n; echo | sha256sum >/dev/null && echo back").stdout == "back\n"
    answers = [lab.reach("shop/web-1", lab.service_ips("shop/web")[0], 80).server for _ in range(12)]
    assert set(answers) == {"shop/web-1", "shop/web-2"}
