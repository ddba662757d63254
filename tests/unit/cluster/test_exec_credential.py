# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credential plugins, as real processes: what they are told, what they give, and that they never ask anybody."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import exec_credential, kubeconfig
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError, Credentials

VERSION = "client.authentication.k8s.io/v1"
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzM2NyZXQifQ.s3cret-signature"
GIVE = f"""
import json
print(json.dumps({{"apiVersion": "{VERSION}", "kind": "ExecCredential", "status": {{"token": "{JWT}"}}}}))
"""


def plugin(directory: Path, python: str, name: str = "plugin") -> Path:
    path = directory / name
    path.write_text(f"#!{sys.executable}\n{python}", encoding="utf-8")
    path.chmod(0o700)
    return path


def run(
    directory: Path, python: str, *, cluster: dict[str, Any] | None = None, timeout: float = 20, **more: Any
) -> Credentials:
    specification = {"apiVersion": VERSION, "command": str(plugin(directory, python)), **more}
    return exec_credential.run(specification, cluster or {}, directory, os.environ, timeout)


def test_a_token(tmp_path: Path) -> None:
    credentials = run(tmp_path, GIVE)
    assert (credentials.token, credentials.renewable) == (JWT, True)
    assert JWT not in repr(credentials)


def test_a_certificate_with_its_key(tmp_path: Path) -> None:
    status = {"clientCertificateData": "CERT", "clientKeyData": "KEY", "expirationTimestamp": "2026-01-01T00:00:00Z"}
    answer = {"apiVersion": VERSION, "kind": "ExecCredential", "status": status}
    credentials = run(tmp_path, f"print({json.dumps(json.dumps(answer))})")
    assert (credentials.certificate, credentials.key, credentials.token) == ("CERT", "KEY", "")


def test_it_is_told_what_the_protocol_says_and_has_no_terminal(tmp_path: Path) -> None:
    told = tmp_path / "told"
    python = f"""
import json, os, sys
try:
    open("/dev/tty"); terminal = True
except OSError:
    terminal = False
told = {{"info": json.loads(os.environ["KUBERNETES_EXEC_INFO"]), "args": sys.argv[1:], "own": os.environ["OWN"],
        "path": os.environ["PATH"], "stdin": sys.stdin.read(), "terminal": terminal}}
open({str(told)!r}, "w").write(json.dumps(told))
{GIVE}"""
    cluster = {"server": "https://a.example"}
    run(tmp_path, python, args=["get-token"], env=[{"name": "OWN", "value": "x"}], cluster=cluster)
    found = json.loads(told.read_text(encoding="utf-8"))
    assert found["info"] == {"apiVersion": VERSION, "kind": "ExecCredential", "spec": {"interactive": False}}
    assert (found["args"], found["own"], found["path"]) == (["get-token"], "x", os.environ["PATH"])
    assert (found["stdin"], found["terminal"]) == ("", False)
    run(tmp_path, python, env=[{"name": "OWN", "value": "x"}], cluster=cluster, provideClusterInfo=True)
    assert json.loads(told.read_text(encoding="utf-8"))["info"]["spec"]["cluster"] == cluster


def test_a_relative_command_starts_from_the_kubeconfig_and_a_bare_one_from_the_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    plugin(tmp_path / "bin", GIVE, "login")
    relative = {"apiVersion": VERSION, "command": "./bin/login"}
    assert exec_credential.run(relative, {}, tmp_path, os.environ).token == JWT
    bare = {"apiVersion": VERSION, "command": "login", "env": [{"name": "PATH", "value": str(tmp_path / "bin")}]}
    assert exec_credential.run(bare, {}, Path("/"), os.environ).token == JWT


def test_one_that_waits_for_a_person_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    python = f"""
import subprocess, sys, time
child = subprocess.Popen(["sleep", "600"])
open({str(pid)!r}, "w").write(str(child.pid))
print("To sign in, open https://login.example and enter the code ABC", file=sys.stderr, flush=True)
child.wait()
"""
    with pytest.raises(AuthError) as caught:
        run(tmp_path, python, timeout=3)
    message = str(caught.value)
    assert "did not end within 3 s" in message
    assert "To sign in, open https://login.example" in message
    assert "workloadidentity" in message
    wait_for_end(int(pid.read_text(encoding="utf-8")))


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Path]:
    """Where a plugin writes the process id of what it leaves running, which is ended after the test."""
    path = tmp_path / "daemon"
    yield path
    os.killpg(int(path.read_text(encoding="utf-8")), signal.SIGKILL)


def leave_running(daemon: Path) -> str:
    """Python that starts what a signal to the plugin's group does not reach, and which holds the plugin's streams.

    Before it lets go of them it makes a file ``ended`` beside ``daemon``.
    """
    return f"""
import subprocess, sys, time
daemon = subprocess.Popen(["sh", "-c", "sleep 30; touch {daemon.with_name("ended")}"], start_new_session=True)
open({str(daemon)!r}, "w").write(str(daemon.pid))
"""


def test_what_a_plugin_leaves_running_is_not_waited_for(tmp_path: Path, daemon: Path) -> None:
    assert run(tmp_path, leave_running(daemon) + GIVE).token == JWT
    assert not daemon.with_name("ended").exists()


@pytest.mark.parametrize(
    ("then", "timeout", "words"),
    [
        ("print('Enter the code ABC', file=sys.stderr, flush=True); time.sleep(600)", 10, "said: Enter the code ABC"),
        ("sys.exit(print('no session', file=sys.stderr) or 4)", 20, "ended with 4, and said: no session"),
    ],
)
def test_nor_is_it_by_one_that_fails(tmp_path: Path, daemon: Path, then: str, timeout: float, words: str) -> None:
    with pytest.raises(AuthError, match=words):
        run(tmp_path, leave_running(daemon) + then, timeout=timeout)
    assert not daemon.with_name("ended").exists()


def test_an_answer_of_any_length_is_read(tmp_path: Path) -> None:
    long = "x" * 300_000
    assert run(tmp_path, GIVE.replace(JWT, long)).token == long


def wait_for_end(pid: int, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} still runs"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("python", "words"),
    [
        (
            f"import sys; print('no session\\nfor {JWT}', file=sys.stderr); sys.exit(3)",
            "ended with 3, and said: no session for (token)",
        ),
        ("print('{')", "did not print JSON"),
        ("print('[]')", "did not print an ExecCredential"),
        (GIVE.replace(VERSION, f"{VERSION}beta1"), f"did not print an ExecCredential of {VERSION}"),
        (GIVE.replace('"status"', '"spec"'), "without a status"),
        (GIVE.replace('"token"', '"other"'), "neither a token nor a certificate"),
        (GIVE.replace('"token"', '"clientKeyData"'), "only one of clientCertificateData and clientKeyData"),
        (GIVE.replace(f'"{JWT}"', "7"), "not a string"),
    ],
)
def test_a_failure_is_in_words_and_without_a_token(tmp_path: Path, python: str, words: str) -> None:
    with pytest.raises(AuthError) as caught:
        run(tmp_path, python)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "eyJ" not in str(caught.value)


def test_a_plugin_that_repeats_what_it_was_given_does_not_get_it_into_messages(tmp_path: Path) -> None:
    python = "import os, sys; sys.exit(f\"{os.environ['LOGIN']}: {os.environ['SECRET']} is no {os.environ['MORE']}\")"
    given = {"LOGIN": "spn", "SECRET": "s3cret", "MORE": "s3cret-word\n of two lines"}
    with pytest.raises(AuthError, match=r"and said: spn: \(secret\) is no \(secret\)$"):
        run(tmp_path, python, env=[{"name": name, "value": value} for name, value in given.items()])


@pytest.mark.parametrize(
    ("specification", "words"),
    [
        ({"command": "x"}, "exec.apiVersion is None"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}, "exec.apiVersion is"),
        ({"apiVersion": VERSION}, "exec.command is missing"),
        ({"apiVersion": VERSION, "command": "x", "interactiveMode": "Always"}, "wants a terminal"),
        ({"apiVersion": VERSION, "command": "x", "args": "get-token"}, "exec.args"),
        ({"apiVersion": VERSION, "command": "x", "env": [{"name": "A"}]}, "exec.env"),
        (
            {"apiVersion": VERSION, "command": "kubelogin-that-is-not-here", "installHint": "Install\nit."},
            "'kubelogin-that-is-not-here' cannot be started: No such file or directory (Install it.)",
        ),
    ],
)
def test_a_specification_that_cannot_be_run_is_named(tmp_path: Path, specification: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthError) as caught:
        exec_credential.run(specification, {}, tmp_path, os.environ)
    assert words in str(caught.value)


def test_a_plugin_may_write_to_its_streams_by_their_names(tmp_path: Path) -> None:
    """Each time a shell opens them so, a file would begin anew."""
    by_name = "subprocess.run(['sh', '-c', 'echo one >/dev/stderr; echo two >/dev/stderr'])"
    with pytest.raises(AuthError, match=r"and said: one two$"):
        run(tmp_path, f"import subprocess, sys; {by_name}; sys.exit(3)")


def test_in_a_kubeconfig_it_is_told_of_the_cluster_and_its_error_names_the_user(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = plugin(tmp_path, f"import os; open({str(told)!r}, 'w').write(os.environ['KUBERNETES_EXEC_INFO']){GIVE}")
    cluster = {
        "server": "https://a.example",
        "tls-server-name": "kubernetes",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    login: dict[str, Any] = {"apiVersion": VERSION, "command": str(command), "provideClusterInfo": True}
    config = {
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": {"exec": login}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    assert kubeconfig.from_data(config).connection("", os.environ).credentials.token == JWT
    assert json.loads(told.read_text(encoding="utf-8"))["spec"]["cluster"] == {
        "server": "https://a.example",
        "tls-server-name": "kubernetes",
        "config": {"audience": "x"},
    }
    login["command"] = "/nowhere/kubelogin"
    with pytest.raises(AuthError, match=r"user 'u': the credential plugin '/nowhere/kubelogin' cannot be started"):
        kubeconfig.from_data(config).connection("", os.environ)
    assert not kubeconfig.from_data(config).connection("", os.environ, with_user=False).credentials
