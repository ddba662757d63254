# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""npm.netpol.snapshot in real runs of ansible-playbook: its result, its file, and how each failure ends the run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import store
from lab.api import ApiServer, Fault
from small_cluster import PODS, cluster, namespace, pod

COLLECTIONS = Path(__file__).parents[3] / "collections"
CALLBACKS = Path(__file__).parent / "callbacks"


@dataclass(frozen=True)
class Run:
    """``results``: of each task that ended, in order; the first is the snapshot's. ``words``: all that was printed."""

    code: int
    words: str
    results: list[dict[str, Any]]
    node_was_touched: bool

    @property
    def snapshot(self) -> dict[str, Any]:
        return self.results[0]


RunTask = Callable[..., Run]


@pytest.fixture
def run_task(tmp_path: Path) -> RunTask:
    """Runs a play of npm.netpol.snapshot, a look at its file, and a task that touches the nodes.

    ``before``: options of more snapshots that come first and may fail.
    """
    home, touched, results = tmp_path / "home", tmp_path / "touched", tmp_path / "results"
    home.mkdir()

    def run(
        options: dict[str, Any],
        *,
        arguments: Sequence[str] = (),
        variables: dict[str, str] | None = None,
        task: dict[str, Any] | None = None,
        before: Sequence[dict[str, Any]] = (),
    ) -> Run:
        here = {"run_once": True, "delegate_to": "localhost"}
        asked = [{"npm.netpol.snapshot": each, "ignore_errors": True} | here for each in before]
        look = {"ansible.builtin.set_fact": {"content": "{{ lookup('file', s.path, rstrip=false) | b64encode }}"}}
        touch = {"ansible.builtin.command": f"touch {touched}", "delegate_to": "localhost"}
        read = {"npm.netpol.snapshot": options, "register": "s"} | here | (task or {})
        playbook = tmp_path / "play.json"
        playbook.write_text(
            json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [*asked, read, look | here, touch]}]),
            encoding="utf-8",
        )
        results.write_text("", encoding="utf-8")
        touched.unlink(missing_ok=True)
        environment = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_LOCAL_TEMP": str(home / "tmp"),
            "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
            "ANSIBLE_CALLBACKS_ENABLED": "results_file",
            "RESULTS_FILE": str(results),
        }
        program = [sys.executable, "-m", "ansible", "playbook", "-i", "node-1,node-2,", "-vvv", *arguments]
        done = subprocess.run(
            [*program, str(playbook)],
            env=environment | (variables or {}),
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
        )
        lines = results.read_text(encoding="utf-8").splitlines()
        words = done.stdout + done.stderr
        assert lines, words
        return Run(done.returncode, words, [json.loads(line) for line in lines], touched.exists())

    return run


@pytest.fixture
def kubeconfig(api: ApiServer, tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(api.kubeconfig(), encoding="utf-8")
    return str(path)


def test_a_cluster_becomes_a_file_that_lives_as_long_as_the_run(
    api: ApiServer, run_task: RunTask, kubeconfig: str, tmp_path: Path
) -> None:
    run = run_task({"kubeconfig": kubeconfig, "page_size": 10})
    assert run.code == 0, run.words
    assert run.node_was_touched
    assert run.snapshot["counts"] == {
        "namespaces": run.snapshot["counts"]["namespaces"],
        "pods": PODS,
        "nodes": 1,
        "services": 1,
        "network_policies": 1,
        "cluster_network_policies": 0,
        "problems": 0,
    }
    assert run.snapshot["requests"] == len(api.requests.all())
    assert run.snapshot["cluster_uid"] == "uid-of-kube-system"
    assert run.snapshot["resource_version"] > 0
    assert run.snapshot["problems"] == []
    assert run.snapshot["changed"] is False
    assert "invocation" not in run.snapshot
    assert api.token not in run.words
    kept = tmp_path / "kept.json"
    kept.write_bytes(b64decode(run.results[1]["ansible_facts"]["content"]))
    assert store.read(kept).id == run.snapshot["id"]
    assert Path(run.snapshot["path"]).is_relative_to(tmp_path / "home" / "tmp")
    assert not Path(run.snapshot["path"]).exists()
    assert {record.user_agent for record in api.requests.all()} == {"ansible-npm.netpol"}


def test_with_a_directory_for_state_the_second_run_reads_what_changed(
    api: ApiServer, run_task: RunTask, kubeconfig: str, tmp_path: Path
) -> None:
    options = {"kubeconfig": kubeconfig, "state_dir": str(tmp_path / "state"), "page_size": 1}
    file = tmp_path / "state/uid-of-kube-system/objects.snapshot"
    without = run_task({"kubeconfig": kubeconfig})
    assert not {"mode", "reason", "events"} & set(without.snapshot)
    first = run_task(options, arguments=["--check"])
    assert first.code == 0, first.words
    assert (first.snapshot["mode"], first.snapshot["events"]) == ("full", 0)
    assert first.snapshot["reason"] == f"nothing is kept of this cluster yet: {file} is not there"
    assert f"listed in full: nothing is kept of this cluster yet: {file}" in first.words
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.snapshot["id"] == without.snapshot["id"]
    api.store.load([pod("new")])
    second = run_task(options)
    assert second.code == 0, second.words
    assert [second.snapshot[name] for name in ("mode", "reason", "events", "changed")] == ["incremental", "", 1, False]
    assert "the cluster was read in the mode incremental, changes: 1" in second.words
    assert "listed in full" not in second.words
    assert second.snapshot["counts"]["pods"] == PODS + 1
    assert (
        second.snapshot["requests"]
        == len(api.requests.all()) - first.snapshot["requests"] - without.snapshot["requests"]
    )
    assert api.token not in file.read_text(encoding="utf-8")


def test_a_directory_that_cannot_be_written_is_a_warning(run_task: RunTask, kubeconfig: str, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    run = run_task({"kubeconfig": kubeconfig, "state_dir": str(tmp_path / "state"), "page_size": 1})
    assert run.code == 0, run.words
    assert run.snapshot["mode"] == "full"
    assert run.snapshot["reason"].startswith("what is kept cannot be read: ")
    (warning,) = run.snapshot["warnings"]
    assert warning.startswith("what was read could not be kept for the next run: ")
    assert run.node_was_touched


def test_a_config_map_alone_carries_the_state_from_container_to_container(
    api: ApiServer, run_task: RunTask, kubeconfig: str
) -> None:
    api.store.load([namespace("npm-netpol-state")])
    options = {"kubeconfig": kubeconfig, "state_configmap": "npm-netpol-state/production", "page_size": 1}
    checked = run_task(options, arguments=["--check"])
    assert checked.code == 0, checked.words
    assert {each.method for each in api.requests.all()} == {"GET"}
    assert run_task(options).snapshot["mode"] == "full"
    api.store.load([pod("new")])
    api.requests.clear()
    second = run_task(options)
    assert [second.snapshot[name] for name in ("mode", "reason", "events", "changed")] == ["incremental", "", 1, False]
    assert second.snapshot["requests"] == len(api.requests.all())
    assert "warnings" not in second.snapshot
    assert api.token not in second.words


def test_a_config_map_that_cannot_be_had_is_a_warning(
    api: ApiServer, run_task: RunTask, kubeconfig: str, tmp_path: Path
) -> None:
    options = {"kubeconfig": kubeconfig, "state_configmap": "nowhere/production", "page_size": 1}
    run = run_task(options)
    assert run.code == 0, run.words
    (warning,) = run.snapshot["warnings"]
    assert warning.startswith(
        "what was read could not be kept in the cluster, so that a run elsewhere lists all of it: the ConfigMap "
        "nowhere/production is of no use: "
    )
    assert 'namespaces "nowhere" not found' in warning
    api.faults.add(Fault("status", resource="configmaps", verb="get", code=403, message="cannot get configmaps"))
    run = run_task(options | {"state_dir": str(tmp_path / "state")})
    assert run.code == 0, run.words
    (warning,) = run.snapshot["warnings"]
    assert warning.startswith(
        "what is kept in the cluster was not used: the ConfigMap nowhere/production is of no use: "
    )
    assert list((tmp_path / "state").rglob("objects.snapshot"))
    assert run.node_was_touched


def test_check_mode_writes_the_file_too(run_task: RunTask, kubeconfig: str, tmp_path: Path) -> None:
    path = tmp_path / "state" / "snapshot.json"
    run = run_task({"kubeconfig": kubeconfig, "path": str(path)}, arguments=["--check"])
    assert run.code == 0, run.words
    assert not run.node_was_touched
    assert store.read(path).id == run.snapshot["id"]
    # What the rest of the run works with is its own: another run may write to `path` at any time.
    assert Path(run.snapshot["path"]).is_relative_to(tmp_path / "home" / "tmp")
    assert b64decode(run.results[1]["ansible_facts"]["content"]) == path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("verified", [True, False])
def test_the_variables_that_awx_sets(api: ApiServer, run_task: RunTask, verified: bool) -> None:
    awx = {"K8S_AUTH_HOST": api.url, "K8S_AUTH_API_KEY": api.token, "K8S_AUTH_VERIFY_SSL": str(verified)}
    run = run_task({}, variables=awx | ({"K8S_AUTH_SSL_CA_CERT": str(api.ca_file)} if verified else {}))
    assert (run.code, run.snapshot["counts"]["pods"]) == (0, PODS), run.words
    assert (f"the certificate of {api.url} was not verified" in run.words) is not verified
    assert api.token not in run.words


def test_the_environment_of_the_task_and_its_defaults(api: ApiServer, run_task: RunTask, kubeconfig: str) -> None:
    run = run_task({}, task={"environment": {"K8S_AUTH_KUBECONFIG": kubeconfig}})
    assert run.code == 0, run.words
    defaults = {"group/npm.netpol.netpol": {"host": api.url, "api_key": api.token, "verify_ssl": False}}
    run = run_task({}, task={"module_defaults": defaults})
    assert run.code == 0, run.words
    assert api.token not in run.words


def test_a_credential_plugin(api: ApiServer, run_task: RunTask, tmp_path: Path) -> None:
    plugin = tmp_path / "login"
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "status": {"token": api.token},
    }
    plugin.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n", encoding="utf-8")
    plugin.chmod(0o700)
    config = yaml.safe_load(api.kubeconfig())
    login: dict[str, Any] = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "./login"}
    config["users"][0]["user"] = {"exec": login}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    run = run_task({"kubeconfig": str(path)})
    assert run.code == 0, run.words
    assert api.token not in run.words
    plugin.write_text("#!/bin/sh\necho 'AADSTS700082: the refresh token has expired' >&2; exit 1\n", encoding="utf-8")
    run = run_task({"kubeconfig": str(path)})
    assert run.code != 0
    assert "said: AADSTS700082: the refresh token has expired" in run.snapshot["msg"]
    assert not run.node_was_touched


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", resource="networkpolicies", code=403), "networkpolicies: 403 Forbidden"),
        (Fault("truncate", resource="pods", page=2), "the answer is not complete JSON"),
        pytest.param(Fault("status", code=401), "does not accept the credentials", marks=pytest.mark.full),
        pytest.param(Fault("status", code=429, retry_after=0), "429 Too Many Requests", marks=pytest.mark.full),
        pytest.param(Fault("status", resource="pods", code=503), "pods: 503 Service", marks=pytest.mark.full),
        pytest.param(Fault("cut", resource="pods", page=2), "the connection broke off", marks=pytest.mark.full),
        pytest.param(Fault("expire", resource="pods"), "the list expired", marks=pytest.mark.full),
        pytest.param(Fault("certificate", certificate="other-ca"), "is not trusted", marks=pytest.mark.full),
    ],
)
def test_a_fault_of_the_api_ends_the_run_before_any_node_is_touched(
    api: ApiServer, run_task: RunTask, kubeconfig: str, tmp_path: Path, fault: Fault, words: str
) -> None:
    api.faults.add(fault)
    path = tmp_path / "snapshot.json"
    run = run_task({"kubeconfig": kubeconfig, "page_size": 1, "retries": 1, "path": str(path)})
    assert run.code != 0
    assert len(run.results) == 1
    assert run.snapshot["msg"].startswith("the cluster could not be read, and no node was touched: GET https://")
    assert words in run.snapshot["msg"]
    assert not run.node_was_touched
    assert not path.exists()
    assert api.token not in run.words


def test_what_is_wrong_with_the_options_is_said(run_task: RunTask) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"host": "https://cluster.invalid", "retries": 0}, "the name cannot be resolved"),
        ({"host": "https://127.0.0.1:1", "retries": 0}, "connection refused"),
        ({"kubeconfig": "/nowhere/config"}, "kubeconfig /nowhere/config: no such file"),
        ({"page_size": 0}, "page_size is 0: the least is 1"),
        ({"retries": -1}, "retries is -1: the least is 0"),
        ({"timeout": 0}, "timeout is 0.0: the least is 0.001"),
        ({"state_configmap": "production"}, "no node was touched: state_configmap: 'production' is not NAMESPACE/NAME"),
        ({"contxt": "x"}, "Unsupported parameters for"),
        ({"src": ["/nowhere.yaml"]}, "no node was touched: /nowhere.yaml: no such file or directory"),
    ]
    run = run_task({}, before=[options for options, _words in wrong])
    assert run.code != 0
    assert not run.node_was_touched
    messages = [result["msg"] for result in run.results]
    for (_options, words), message in zip(wrong, messages, strict=False):
        assert words in message
    assert "no Kubernetes API to read: set kubeconfig or host" in messages[len(wrong)]


def test_manifests_in_place_of_an_api(run_task: RunTask, tmp_path: Path) -> None:
    objects = [*cluster(), {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    run = run_task({"src": ["cluster.yaml"], "host": "https://cluster.invalid"})
    assert run.code == 0, run.words
    assert (run.snapshot["requests"], run.snapshot["ignored"]) == (0, {"apps/v1 Deployment": 1})
    assert run.snapshot["counts"]["pods"] == PODS


def test_a_temporary_directory_that_takes_nothing_ends_the_run_in_words(run_task: RunTask, tmp_path: Path) -> None:
    manifest = tmp_path / "namespace.yml"
    manifest.write_text(yaml.safe_dump(namespace("a")), encoding="utf-8")
    goes = f"{{{{ lookup('ansible.builtin.pipe', 'rm -rf {tmp_path}/home/tmp') }}}}"
    run = run_task({"src": [f"{manifest}{goes}"]})
    assert not run.node_was_touched
    before, _written, after = run.snapshot["msg"].partition(" cannot be written to ")
    assert before == "no node was touched: the snapshot"
    assert after.startswith(f"{tmp_path}/home/tmp/ansible-local-")
    assert after.endswith(": No such file or directory")


def test_problems_are_listed_in_small(run_task: RunTask, tmp_path: Path) -> None:
    pods = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{index}"}, "status": {"podIP": "nonsense"}}
        for index in range(150)
    ]
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump_all(pods), encoding="utf-8")
    no_directory = {"src": ["cluster.yaml"], "path": "cluster.yaml/snapshot.json"}
    run = run_task({"src": ["cluster.yaml"]}, before=[no_directory])
    assert "cluster.yaml/snapshot.json: " in run.results[0]["msg"]
    assert run.results[1]["counts"]["problems"] == 151
    assert len(run.results[1]["problems"]) == 100
    assert run.results[1]["problems"][1].startswith("Pod default/p0: status.podIP: 'nonsense' is not an IP address")
