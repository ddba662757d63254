# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kubectl, unmodified, where there is one: the commands that people use with the lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from lab.api import ApiServer
from running_pods import pod

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: c, image: registry.invalid/i}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {}
"""


class Kubectl:
    def __init__(self, api: ApiServer, home: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(api.directory / "kubeconfig"),
        }

    def run(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", *arguments]
        return subprocess.run(
            command, input=text, capture_output=True, text=True, env=self._environment, timeout=60, check=False
        )

    def __call__(self, *arguments: str, text: str = "") -> str:
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def kubectl(api: ApiServer, tmp_path: Path) -> Kubectl:
    run = Kubectl(api, tmp_path)
    run("apply", "--validate=false", "-f", "-", text=MANIFEST)
    return run


def test_apply_twice_and_then_a_change(kubectl: Kubectl) -> None:
    again = kubectl("apply", "--validate=false", "-f", "-", text=MANIFEST).splitlines()
    assert [line.split()[-1] for line in again] == ["unchanged"] * 4
    changed = MANIFEST.replace("app: web", "app: db")
    assert "pod/web configured" in kubectl("apply", "--validate=false", "-f", "-", text=changed)
    assert kubectl("get", "pods", "-A", "-l", "app=db", "-o", "name") == "pod/web"


def test_get_in_all_its_ways(kubectl: Kubectl) -> None:
    table = kubectl("get", "pods", "-A").split()
    assert table[:3] == ["NAMESPACE", "NAME", "AGE"]
    assert table[3:5] == ["shop", "web"]
    assert kubectl("get", "pods", "-A", "--field-selector", "spec.nodeName=n1", "-o", "name") == "pod/web"
    assert kubectl("get", "ns", "--chunk-size=2", "-o", "name").count("namespace/") == 5
    policy = json.loads(kubectl("-n", "shop", "get", "netpol", "deny", "-o", "json"))
    assert (policy["kind"], policy["spec"]["policyTypes"]) == ("NetworkPolicy", ["Ingress"])
    items = json.loads(kubectl("get", "pods,nodes", "-A", "-o", "json"))["items"]
    assert [item["kind"] for item in items] == ["Pod", "Node"]


def test_label_annotate_taint_and_patch(kubectl: Kubectl) -> None:
    kubectl("label", "node", "n1", "a=b")
    kubectl("annotate", "node", "n1", "c=d")
    kubectl("taint", "node", "n1", "k=v:NoSchedule")
    kubectl("patch", "node", "n1", "-p", '{"metadata":{"labels":{"x":"y"}}}')
    kubectl("patch", "node", "n1", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/a"}]')
    node = json.loads(kubectl("get", "node", "n1", "-o", "json"))
    assert node["metadata"]["labels"] == {"x": "y"}
    assert node["metadata"]["annotations"]["c"] == "d"
    assert node["spec"]["taints"] == [{"effect": "NoSchedule", "key": "k", "value": "v"}]


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    assert "deleted" in kubectl("-n", "shop", "delete", "pod", "web")
    kubectl("delete", "ns", "shop")
    assert kubectl("get", "netpol", "-A", "-o", "name") == ""


def test_watch_only(kubectl: Kubectl) -> None:
    assert "web" in kubectl("get", "pods", "-A", "--watch", "--request-timeout=2s")


def test_exec_with_input_and_exit_code(running: ApiServer, kubectl: Kubectl) -> None:
    kubectl("create", "--validate=false", "-f", "-", text=json.dumps(pod()))
    kubectl("wait", "--for=condition=Ready", "pod/helper", "--timeout=20s")
    text = "line\n" * 2_000_000
    assert kubectl("exec", "-i", "helper", "--", "cat", text=text) == text.strip()
    failed = kubectl.run("exec", "helper", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (failed.returncode, failed.stdout) == (7, "out\n")
    assert failed.stderr.splitlines()[0] == "err"
    assert running.requests.all()[-1].code == 101
    assert "deleted" in kubectl("delete", "pod", "helper")


def test_discovery(kubectl: Kubectl) -> None:
    assert "networkpolicies.networking.k8s.io" in kubectl("api-resources", "-o", "name").split()
    assert "networking.k8s.io/v1" in kubectl("api-versions").split()
