# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Manifests instead of an API: files, directories, documents, lists; what is assumed, ignored and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import manifests, project

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {}}
"""


def written(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def pod(name: str, namespace: str | None = "shop", **more: Any) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **more}


def test_documents_lists_and_json_give_the_same_snapshot(tmp_path: Path) -> None:
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"a": "b"}}},
        pod("web-1", status={"podIPs": [{"ip": "10.0.0.1"}]}),
        yaml.safe_load(POLICY),
    ]
    plain_pod = {key: value for key, value in objects[1].items() if key not in ("kind", "apiVersion")}
    typed_list = {"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [plain_pod]}
    forms = {
        "documents.yaml": yaml.safe_dump_all(objects),
        "list.yaml": yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": list(reversed(objects))}),
        "list.json": json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        "nested.yml": yaml.safe_dump_all(
            [{"apiVersion": "v1", "kind": "List", "items": [typed_list, objects[0]]}, None, objects[2]]
        ),
    }
    ids = set()
    for name, text in forms.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        found = manifests.read([path])
        assert [each.name for each in found.snapshot.pods] == ["web-1"]
        assert found.snapshot.problems == ()
        ids.add(found.snapshot.id)
    assert len(ids) == 1


def test_directories_are_read_deeply_in_any_order_without_hidden_files(tmp_path: Path) -> None:
    pods = {f"d{index}/web-{index}.yaml": json.dumps(pod(f"web-{index}")) for index in range(4)}
    written(tmp_path, pods | {"notes.txt": "no manifest", ".git/x.yaml": "broken: [", "d1/.x.yaml": "broken: ["})
    whole = manifests.read([tmp_path])
    parts = manifests.read([tmp_path / f"d{index}" for index in (2, 0, 3, 1)])
    assert [each.name for each in whole.snapshot.pods] == ["web-0", "web-1", "web-2", "web-3"]
    assert whole.snapshot.id == parts.snapshot.id


def test_rule_10_and_12_namespaces_that_only_objects_name_are_assumed_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all([pod("a", None), pod("b"), yaml.safe_load(POLICY)]), encoding="utf-8")
    snapshot = manifests.read([path]).snapshot
    assert [(each.name, dict(each.labels)) for each in snapshot.namespaces] == [
        ("default", {project.NAME_LABEL: "default"}),
        ("shop", {project.NAME_LABEL: "shop"}),
    ]
    assert [str(problem) for problem in snapshot.problems] == [
        "Namespace default: is not in the manifests, though objects in it are (1 Pod) "
        "(it is assumed to have no label but kubernetes.io/metadata.name)",
        "Namespace shop: is not in the manifests, though objects in it are (1 NetworkPolicy, 1 Pod) "
        "(it is assumed to have no label but kubernetes.io/metadata.name)",
    ]


def test_a_namespace_with_unusable_labels_is_not_assumed(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": ["a"]}}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all([namespace, pod("b")]), encoding="utf-8")
    snapshot = manifests.read([tmp_path]).snapshot
    assert snapshot.namespaces == ()
    assert [problem.field for problem in snapshot.problems] == ["metadata.labels"]


def test_the_cluster_is_known_by_its_system_namespace(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "0b1c"}}
    (tmp_path / "n.json").write_text(json.dumps(namespace), encoding="utf-8")
    cluster = manifests.read([tmp_path]).snapshot.cluster
    assert (cluster.uid, cluster.version) == ("0b1c", 0)


def test_other_kinds_are_counted_and_policies_of_other_makers_reported(tmp_path: Path) -> None:
    def other(version: str, kind: str, name: str) -> dict[str, Any]:
        return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}}

    objects = [
        other("apps/v1", "Deployment", "a"),
        other("apps/v1", "Deployment", "b"),
        other("projectcalico.org/v3", "NetworkPolicy", "calico"),
        other("extensions/v1beta1", "NetworkPolicy", "ancient"),
        other("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "admin"),
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    found = manifests.read([tmp_path])
    assert found.ignored == {
        "apps/v1 Deployment": 2,
        "extensions/v1beta1 NetworkPolicy": 1,
        "policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy": 1,
        "projectcalico.org/v3 NetworkPolicy": 1,
    }
    assert found.snapshot.network_policies == ()
    assert [(problem.object, problem.effect) for problem in found.snapshot.problems] == [
        ("AdminNetworkPolicy shop/admin", "it is not enforced"),
        ("NetworkPolicy shop/ancient", "it is not enforced"),
        ("NetworkPolicy shop/calico", "it is not enforced"),
    ]


def test_the_same_object_twice_is_one_and_with_other_contents_refused(tmp_path: Path) -> None:
    written(tmp_path, {"a.yaml": POLICY, "b.yaml": POLICY})
    assert len(manifests.read([tmp_path, tmp_path / "a.yaml"]).snapshot.network_policies) == 1
    written(tmp_path, {"c.yaml": POLICY.replace("podSelector: {}", "podSelector: {}, ingress: [{}]")})
    with pytest.raises(manifests.ManifestError, match=r"NetworkPolicy shop/deny is in .*yaml and in .*c\.yaml"):
        manifests.read([tmp_path])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "kind: [", "line 2"),
        ("a.yaml", "just text", "it has no kind"),
        ("a.yaml", "- kind: Pod", "it has no kind"),
        ("a.yaml", "kind: List\napiVersion: v1\nitems: {a: 1}", "items of a List are not a list"),
        ("a.yaml", "kind: List\napiVersion: v1\nitems: [7]", "it has no kind"),
        ("a.yaml", "kind: Pod\napiVersion: v1\nmetadata: {}", "Pod has a metadata.name"),
        ("a.yaml", POLICY + "spec: {podSelector: {a: b}}", "'spec' twice"),
        ("a.yaml", POLICY.replace("{podSelector: {}}", "{podSelector: &a {b: *a}}"), "recursive"),
        ("a.yaml", POLICY.replace("{podSelector: {}}", "{x: !!binary aGk=}"), "JSON does not have"),
        ("a.yaml", POLICY.replace("{podSelector: {}}", "{x: .nan}"), "JSON does not have"),
        ("a.yaml", POLICY.replace("{podSelector: {}}", "{[a]: b}"), "key"),
        ("a.json", "{", "a.json"),
        ("a.json", '{"kind": "Pod", "x": NaN}', "NaN is not JSON"),
        ("a.json", "[" * 200_000, "nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_run_and_is_named(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(manifests.ManifestError) as caught:
        manifests.read([tmp_path])
    assert name in str(caught.value)
    assert words in str(caught.value)


def test_missing_and_empty_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(manifests.ManifestError, match=r"nowhere\.yaml: no such file"):
        manifests.read([tmp_path / "nowhere.yaml"])
    with pytest.raises(manifests.ManifestError, match=r"no \.json, \.yaml, \.yml file"):
        manifests.read([tmp_path])


def test_yaml_is_read_as_kubernetes_reads_it(tmp_path: Path) -> None:
    text = """
apiVersion: v1
kind: Pod
metadata:
  name: web
  creationTimestamp: 2026-01-02T03:04:05Z
  labels: {app: web, 1: "one"}
spec: {containers: [{ports: [{name: p, containerPort: 0x50}]}]}
status: {podIPs: [{ip: "fd00::1"}]}
---
apiVersion: v1
kind: Namespace
metadata:
  name: default
  labels: {<<: {app: web, x: y}, app: other}
"""
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    snapshot = manifests.read([tmp_path]).snapshot
    assert snapshot.problems == ()
    assert snapshot.pods[0].created == "2026-01-02T03:04:05Z"
    assert snapshot.pods[0].labels == {"app": "web", "1": "one"}
    assert snapshot.pods[0].ports[0].port == 80
    assert snapshot.namespaces[0].labels == {"app": "other", "x": "y", project.NAME_LABEL: "default"}


@pytest.mark.parametrize("value", ["1.10", "yes", "22", "08", "1e3", "~"])
def test_a_label_that_yaml_does_not_read_as_text_leaves_the_pod_isolated(tmp_path: Path, value: str) -> None:
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{a: {value}}}}}\n"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    snapshot = manifests.read([tmp_path]).snapshot
    assert snapshot.pods[0].unreadable
    assert any(problem.field == "metadata.labels['a']" for problem in snapshot.problems)


@pytest.mark.parametrize("value", ["1:30", "2026-01-02", "1.2.3", "0.0.0.0/0", "v1", "=", "a b"])
def test_a_label_that_kubernetes_reads_as_text_is_text(tmp_path: Path, value: str) -> None:
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{a: {value}}}}}\n"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert manifests.read([tmp_path]).snapshot.pods[0].labels == {"a": value}


def test_half_a_character_cannot_break_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(pod("web", spec={"nodeName": "a\ud800b"})), encoding="utf-8")
    snapshot = manifests.read([tmp_path]).snapshot
    assert snapshot.pods[0].node == "a?b"
    assert len(snapshot.id) == 64
