# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Credential plugins: the ``exec`` of a kubeconfig's user, as kubelogin is for AKS with Entra ID.

Nobody sits at a job runner: a plugin gets no terminal and no input, and one that waits for a person is ended.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, cast

from .connection import AuthError, Credentials, without

TIMEOUT = 60.0

_API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_LONGEST_QUOTE = 600
# A process that has ended has written all; it is only to be read.
_LAST_WORDS = 0.5
# A JSON Web Token: what a plugin prints on its error output may quote one.
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*")


def run(
    specification: Mapping[str, Any],
    cluster: Mapping[str, Any],
    directory: Path,
    environment: Mapping[str, str],
    timeout: float = TIMEOUT,
) -> Credentials:
    """Run the plugin and return what it gave.

    ``specification`` is the ``exec`` map of a kubeconfig, ``cluster`` what the plugin may be told of the cluster
    (the form of ``ExecCredential.spec.cluster``), ``directory`` where a relative command is looked for.
    Raises :class:`AuthError` with the plugin's own words on its error output, never those on its output.
    """
    version = specification.get("apiVersion")
    if version not in _API_VERSIONS:
        raise AuthError(f"exec.apiVersion is {version!r}; known are {', '.join(_API_VERSIONS)}")
    command = specification.get("command")
    if not isinstance(command, str) or not command:
        raise AuthError("exec.command is missing")
    if specification.get("interactiveMode") == "Always":
        raise AuthError(f"{_who(command)} wants a terminal (exec.interactiveMode: Always); {_NON_INTERACTIVE}")
    request: dict[str, Any] = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    if specification.get("provideClusterInfo"):
        request["spec"]["cluster"] = dict(cluster)
    variables = _variables(specification)
    output = _output(
        [str(directory / command) if "/" in command else command, *_arguments(specification)],
        {**environment, **variables, "KUBERNETES_EXEC_INFO": json.dumps(request)},
        variables.values(),
        _who(command),
        str(specification.get("installHint") or ""),
        timeout,
    )
    return _credentials(output, version, _who(command))


_NON_INTERACTIVE = (
    "a run has no terminal: use a login that asks nobody (for kubelogin: -l spn, msi or workloadidentity)"
)


def _who(command: str) -> str:
    return f"the credential plugin {command!r}"


def _arguments(specification: Mapping[str, Any]) -> list[str]:
    arguments = specification.get("args") or []
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise AuthError("exec.args is not a list of strings")
    return arguments


def _variables(specification: Mapping[str, Any]) -> dict[str, str]:
    variables = specification.get("env") or []
    try:
        return {str(each["name"]): str(each["value"]) for each in variables}
    except (KeyError, TypeError) as error:
        raise AuthError("exec.env is not a list of name and value") from error


def _output(
    command: list[str],
    environment: Mapping[str, str],
    secrets: Iterable[str],
    who: str,
    hint: str,
    timeout: float,
) -> str:
    """What the plugin prints. ``secrets``: what it was given and may repeat on its error output."""
    try:
        # In a session of its own it has no terminal to ask on, and all that it starts can be ended with it.
        process = subprocess.Popen(  # noqa: S603 (the kubeconfig names the command; no shell)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise AuthError(f"{who} cannot be started: {error.strerror}{_hint(hint)}") from error
    output, complaint = (_Heard(cast(IO[bytes], pipe)) for pipe in (process.stdout, process.stderr))
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        said = _quote(complaint.text(), secrets)
        raise AuthError(f"{who} did not end within {timeout:g} s{said}; {_NON_INTERACTIVE}") from error
    if code:
        raise AuthError(f"{who} ended with {code}{_quote(complaint.text(), secrets)}{_hint(hint)}")
    return output.text()


class _Heard:
    """What comes out of a pipe, in a thread: its end comes only when all that the plugin leaves running has ended."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._data = bytearray()
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), 65536):
                self._data += data

    def text(self) -> str:
        """All that the plugin wrote, once it has ended."""
        self._thread.join(_LAST_WORDS)
        return bytes(self._data).decode(errors="replace")


def _credentials(output: str, version: str, who: str) -> Credentials:
    try:
        answer = json.loads(output)
    except ValueError as error:
        raise AuthError(f"{who} did not print JSON") from error
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential" or answer.get("apiVersion") != version:
        raise AuthError(f"{who} did not print an ExecCredential of {version}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise AuthError(f"{who} printed an ExecCredential without a status: it has no credentials")
    values = {name: status.get(name) or "" for name in ("token", "clientCertificateData", "clientKeyData")}
    if not all(isinstance(value, str) for value in values.values()):
        raise AuthError(f"{who} printed an ExecCredential whose status holds something that is not a string")
    credentials = Credentials(
        token=values["token"].strip(),
        certificate=values["clientCertificateData"],
        key=values["clientKeyData"],
        renewable=True,
    )
    if bool(credentials.certificate) != bool(credentials.key):
        raise AuthError(f"{who} printed only one of clientCertificateData and clientKeyData")
    if not credentials:
        raise AuthError(f"{who} printed an ExecCredential with neither a token nor a certificate")
    return credentials


def _quote(complaint: str, secrets: Iterable[str]) -> str:
    """The plugin's own words, at the end of which the reason mostly is, without a token or one of the secrets."""
    words = " ".join(_TOKEN.sub("(token)", without(secrets, complaint)).split())
    if len(words) > _LONGEST_QUOTE:
        words = f"…{words[-_LONGEST_QUOTE:]}"
    return f", and said: {words}" if words else ""


def _hint(hint: str) -> str:
    words = " ".join(hint.split())[:_LONGEST_QUOTE]
    return f" ({words})" if words else ""
