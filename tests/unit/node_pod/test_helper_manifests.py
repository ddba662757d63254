# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The manifests that ship and the pod that the plugin makes: the policy admits that pod, and nothing that does more."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import celpy
import celpy.celtypes
import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import manifest
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.errors import NodePodError

DOCS = Path(__file__).parents[3] / "collections/ansible_collections/npm/netpol/docs"
ACCESS = yaml.safe_load((DOCS / "node-pod/access.yaml").read_text())["items"]
POLICY = yaml.safe_load((DOCS / "node-pod/policy.yaml").read_text())["items"]
ACCOUNT = "system:serviceaccount:npm-netpol-nodes:npm-netpol-node"
SETTINGS = manifest.Settings()
Pod = dict[str, Any]


def item(kind: str, name: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = (each for each in items if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def refusals(policy: str, request: dict[str, Any], pod: Pod | None = None) -> list[str]:
    """The messages of the validations that fail, as the API server evaluates them: variables first, in their order."""
    spec = item("ValidatingAdmissionPolicy", policy, POLICY)["spec"]
    assert spec["failurePolicy"] == "Fail"
    given = {"object": celpy.json_to_cel(pod or {}), "request": celpy.json_to_cel(request)}
    variables: dict[str, Any] = {}
    for each in spec["variables"]:
        variables[each["name"]] = evaluate(each["expression"], given | {"variables": mapping(variables)})
    given["variables"] = mapping(variables)
    return [each["message"] for each in spec["validations"] if not holds(each["expression"], given)]


def holds(expression: str, given: dict[str, Any]) -> bool:
    """One that cannot be evaluated refuses as well, by failurePolicy."""
    try:
        return bool(evaluate(expression, given))
    except celpy.CELEvalError:
        return False


def mapping(values: dict[str, Any]) -> celpy.celtypes.MapType:
    return celpy.celtypes.MapType({celpy.celtypes.StringType(name): value for name, value in values.items()})


def evaluate(expression: str, given: dict[str, Any]) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression)).evaluate(given)


def helper_pod(settings: manifest.Settings = SETTINGS) -> Pod:
    """As it reaches the policy: with what the API server adds by default."""
    pod = manifest.pod("npm-node-abc", "aks-1", "run", settings)
    pod["spec"] |= {"serviceAccountName": "default", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    pod["spec"] |= {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
    pod["spec"]["containers"][0] |= {"terminationMessagePath": "/dev/termination-log"}
    return pod


def by(name: str = ACCOUNT, **more: Any) -> dict[str, Any]:
    return {"userInfo": {"username": name, "groups": []}, "subResource": "", **more}


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        manifest.Settings(priority_class="system-node-critical", pull_secrets=("one",), deadline=3600),
        manifest.Settings(cpu_limit="250m", memory_limit="1Gi", deadline=60),
    ],
)
def test_the_policy_admits_what_the_plugin_makes(settings: manifest.Settings) -> None:
    assert refusals("npm-netpol-node-pod", by(), helper_pod(settings)) == []


@pytest.mark.parametrize("node", ["", " "])
def test_no_pod_is_left_to_the_scheduler(node: str) -> None:
    with pytest.raises(NodePodError, match="without the name of a node"):
        manifest.pod("npm-node-abc", node, "run", SETTINGS)


def _container(**fields: Any) -> Callable[[Pod], None]:
    return lambda pod: pod["spec"]["containers"][0].update(fields)


def _spec(**fields: Any) -> Callable[[Pod], None]:
    return lambda pod: pod["spec"].update(fields)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_container(image="docker.io/library/alpine:3"), "an image of the list"),
        (_container(command=["sh", "-c", "something"]), "runs nothing by itself"),
        (_container(args=["1"]), "runs nothing by itself"),
        (_container(env=[{"name": "A", "value": "b"}]), "runs nothing by itself"),
        (_container(lifecycle={"postStart": {}}), "runs nothing by itself"),
        (_container(volumeMounts=[{"name": "x", "mountPath": "/x"}]), "neither volumes nor ports"),
        (_container(resources={}), "limits of CPU and memory"),
        (_container(securityContext={"privileged": True}), "a read-only root"),
        (_spec(volumes=[{"name": "x", "hostPath": {"path": "/"}}]), "neither volumes nor ports"),
        (_spec(initContainers=[{"name": "x"}]), "one container"),
        (_spec(ephemeralContainers=[{"name": "x"}]), "one container"),
        (_spec(activeDeadlineSeconds=7200), "ends by its deadline"),
        (_spec(restartPolicy="Always"), "ends by its deadline"),
        (_spec(nodeName=""), "for one node"),
        (_spec(automountServiceAccountToken=True), "no account of its own"),
        (_spec(serviceAccountName="other"), "no account of its own"),
        (lambda pod: pod["metadata"].update(name="mine"), "no helper pod"),
        (lambda pod: pod["spec"].pop("activeDeadlineSeconds"), "ends by its deadline"),
        (lambda pod: pod["spec"]["containers"].append({"name": "x", "image": "y"}), "one container"),
    ],
)
def test_the_policy_refuses_what_does_more(change: Callable[[Pod], None], message: str) -> None:
    pod = copy.deepcopy(helper_pod())
    change(pod)
    refused = refusals("npm-netpol-node-pod", by(), pod)
    assert any(message in each for each in refused), refused


def test_the_policy_refuses_everybody_else() -> None:
    assert refusals("npm-netpol-node-pod", by("somebody"), helper_pod()) == [
        "only the account of npm.netpol.node_pod makes pods in this namespace"
    ]
    assert refusals("npm-netpol-node-exec", by(subResource="exec")) == []
    for other in (by("somebody", subResource="exec"), by(subResource="portforward")):
        assert refusals("npm-netpol-node-exec", other) != []


def test_the_policies_hold_in_the_namespace_of_the_helper_pods() -> None:
    assert item("Namespace", SETTINGS.namespace, ACCESS)["metadata"]["labels"] == {
        f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")
    }
    for name in ("npm-netpol-node-pod", "npm-netpol-node-exec"):
        binding = item("ValidatingAdmissionPolicyBinding", name, POLICY)["spec"]
        assert binding["policyName"] == name
        assert binding["validationActions"] == ["Deny"]
        selected = binding["matchResources"]["namespaceSelector"]["matchLabels"]
        assert selected == {"kubernetes.io/metadata.name": SETTINGS.namespace}


def test_the_role_is_what_the_plugin_uses_and_no_more() -> None:
    role = item("Role", "npm-netpol-node", ACCESS)
    assert role["metadata"]["namespace"] == SETTINGS.namespace
    assert {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]} == {
        *(("pods", verb) for verb in ("create", "get", "list", "watch", "delete")),
        *(("pods/exec", verb) for verb in ("get", "create")),
    }
    binding = item("RoleBinding", "npm-netpol-node", ACCESS)
    (subject,) = binding["subjects"]
    assert f"system:serviceaccount:{subject['namespace']}:{subject['name']}" == ACCOUNT


def test_a_helper_pod_does_not_keep_its_node_from_being_scaled_down() -> None:
    pod = manifest.pod("npm-node-1", "aks-1", "run", manifest.Settings())
    assert pod["metadata"]["annotations"] == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}


def test_names_of_pods_differ_by_run_node_settings_and_generation() -> None:
    names = {
        manifest.name(run, node, settings, generation)
        for run in ("a", "b")
        for node in ("one", "two")
        for settings in (SETTINGS, manifest.Settings(image="other"))
        for generation in (1, 2)
    }
    assert len(names) == 16
    assert all(len(each) <= 63 for each in names)
    assert manifest.name("a", "one", SETTINGS, 1) == manifest.name("a", "one", manifest.Settings(), 1)
