# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading kubeconfig files, merged as kubectl merges them, down to one context's cluster and user."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import exec_credential
from .connection import AuthError, Connection, Credentials, Impersonation, url

_SECTIONS = ("clusters", "users", "contexts")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named cluster, user or context: its map, and the directory that its relative paths start from."""

    data: Mapping[str, Any]
    directory: Path
    where: str

    def text(self, field_name: str) -> str:
        value = self.data.get(field_name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise AuthError(f"{self.where}: {field_name} is not a string")
        return value

    def pem(self, field_name: str) -> str:
        """The certificate or key of ``NAME-data`` (base64), else of the file that ``NAME`` gives."""
        # Some wrap it, and a block of YAML ends in a line break: no part of base64, and of no account to Kubernetes.
        encoded = self.text(f"{field_name}-data").replace("\r", "").replace("\n", "")
        if encoded:
            try:
                return base64.b64decode(encoded, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError) as error:
                raise AuthError(f"{self.where}: {field_name}-data is not base64 of PEM text") from error
        path = self.text(field_name)
        return self.file(field_name, path) if path else ""

    def file(self, field_name: str, path: str) -> str:
        return read_filled(self.directory / Path(path).expanduser(), f"{self.where}: {field_name}")


@dataclass(slots=True)
class Kubeconfig:
    """One or more files as one; of two entries with one name the first counts."""

    source: str
    current_context: str = ""
    _entries: dict[str, dict[str, _Entry]] = field(default_factory=lambda: {name: {} for name in _SECTIONS})

    def add(self, data: Any, directory: Path, where: str) -> None:
        if not isinstance(data, dict):
            raise AuthError(f"{where}: is not a kubeconfig")
        self.current_context = self.current_context or str(data.get("current-context") or "")
        for section in _SECTIONS:
            entries = data.get(section) or []
            if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
                raise AuthError(f"{where}: {section} is not a list of maps")
            for each in entries:
                name, singular = str(each.get("name")), section.removesuffix("s")
                content = each.get(singular)
                if not isinstance(content, dict):
                    # `user: {}` is written as null by some tools; anything else has no meaning.
                    content = {}
                self._entries[section].setdefault(name, _Entry(content, directory, f"{where}: {singular} {name!r}"))

    def connection(
        self, context_name: str, environment: Mapping[str, str], *, server: str = "", with_user: bool = True
    ) -> Connection:
        """The connection of a context (empty: the current one).

        ``server`` is used in place of the cluster's own; without ``with_user`` the user's credentials are left
        alone, and a credential plugin is not run. Raises :class:`AuthError`.
        """
        wanted = context_name or self.current_context
        if not wanted:
            raise AuthError(f"{self.source}: no current-context is set, and no context was asked for")
        context = self._find("contexts", wanted, f"context {wanted!r}")
        cluster = self._find("clusters", context.text("cluster"), f"the cluster of context {wanted!r}")
        host = server or url(cluster.text("server"), f"{cluster.where}: server")
        ca = cluster.pem("certificate-authority")
        user_name = context.text("user")
        credentials, impersonation = Credentials(), Impersonation()
        if user_name and with_user:
            user = self._find("users", user_name, f"the user of context {wanted!r}")
            credentials = _credentials(user, _cluster_information(cluster, host, ca), environment)
            impersonation = _impersonation(user)
        return Connection(
            host=host,
            source=f"{self.source}, context {wanted!r}",
            credentials=credentials,
            impersonation=impersonation,
            ca=ca,
            verify=cluster.data.get("insecure-skip-tls-verify") is not True,
            server_name=cluster.text("tls-server-name"),
            proxy=cluster.text("proxy-url"),
        )

    def _find(self, section: str, name: str, what: str) -> _Entry:
        entry = self._entries[section].get(name)
        if entry is None:
            known = ", ".join(sorted(self._entries[section])) or "none"
            raise AuthError(f"{self.source}: {what} is not there ({section}: {known})")
        return entry


def load(paths: Sequence[Path]) -> Kubeconfig:
    """Read files in kubectl's order. Those that are missing are left out, but one must be there.

    Raises :class:`AuthError`.
    """
    source = "kubeconfig " + os.pathsep.join(map(str, paths))
    config = Kubeconfig(source)
    found = False
    for path in paths:
        if _is_there(path):
            found = True
            config.add(_yaml(read_text(path, "kubeconfig"), path), path.absolute().parent, f"kubeconfig {path}")
    if not found:
        raise AuthError(f"{source}: no such file")
    return config


def from_data(data: Mapping[str, Any]) -> Kubeconfig:
    """A kubeconfig that was given as data; its relative paths start from the working directory."""
    config = Kubeconfig("the kubeconfig given as data")
    config.add(data, Path.cwd(), config.source)
    return config


def read_text(path: Path, what: str) -> str:
    """A file's text; :class:`AuthError` names ``what`` it is for."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise AuthError(f"{what}: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AuthError(f"{what}: {path}: is not text") from error


def read_filled(path: Path, what: str) -> str:
    """:func:`read_text` of a file that somebody names on purpose: an empty one is not taken for none."""
    text = read_text(path, what)
    if not text.strip():
        raise AuthError(f"{what}: {path} is empty")
    return text


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise AuthError(f"kubeconfig: {path}: {error.strerror}") from error
    return True


def _yaml(text: str, path: Path) -> Any:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # Not the error's own words: they quote the file, and the file holds secrets.
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise AuthError(f"kubeconfig {path}: is not YAML{line}") from None
    # An empty file is what kubectl makes of one from which all was taken: it adds nothing.
    return {} if data is None else data


def _credentials(user: _Entry, cluster: Mapping[str, Any], environment: Mapping[str, str]) -> Credentials:
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if bool(certificate) != bool(key):
        raise AuthError(f"{user.where}: only one of client-certificate and client-key is there")
    token_file, token = user.text("tokenFile"), user.text("token")
    if token_file:
        token = user.file("tokenFile", token_file)
    if token:
        return Credentials(token.strip(), certificate=certificate, key=key, renewable=bool(token_file))
    if user.text("username"):
        return Credentials("", user.text("username"), user.text("password"), certificate, key)
    if certificate:
        return Credentials(certificate=certificate, key=key)
    if "exec" in user.data:
        return _from_plugin(user, cluster, environment)
    if "auth-provider" in user.data:
        advice = "use a credential plugin (for AKS: kubelogin convert-kubeconfig)"
        raise AuthError(f"{user.where}: auth-provider is not supported; {advice}")
    return Credentials()


def _from_plugin(user: _Entry, cluster: Mapping[str, Any], environment: Mapping[str, str]) -> Credentials:
    specification = user.data["exec"]
    if not isinstance(specification, dict):
        raise AuthError(f"{user.where}: exec is not a map")
    try:
        return exec_credential.run(specification, cluster, user.directory, environment)
    except AuthError as error:
        raise AuthError(f"{user.where}: {error}") from error


def _cluster_information(cluster: _Entry, host: str, ca: str) -> dict[str, Any]:
    """``ExecCredential.spec.cluster``, for plugins that ask for it (``provideClusterInfo``)."""
    information: dict[str, Any] = {"server": host}
    for name in ("tls-server-name", "proxy-url", "insecure-skip-tls-verify"):
        if cluster.data.get(name):
            information[name] = cluster.data[name]
    if ca:
        information["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    for extension in cluster.data.get("extensions") or []:
        if isinstance(extension, dict) and extension.get("name") == "client.authentication.k8s.io/exec":
            information["config"] = extension.get("extension")
    return information


def _impersonation(user: _Entry) -> Impersonation:
    groups, extra = user.data.get("as-groups") or [], user.data.get("as-user-extra") or {}
    if not isinstance(groups, list) or not isinstance(extra, dict):
        raise AuthError(f"{user.where}: as-groups is not a list, or as-user-extra not a map")
    return Impersonation(
        user=user.text("as"),
        uid=user.text("as-uid"),
        groups=tuple(map(str, groups)),
        extra={str(key): tuple(map(str, values or [])) for key, values in extra.items()},
    )
