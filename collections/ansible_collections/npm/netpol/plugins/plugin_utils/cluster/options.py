# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection options that Ansible users know from kubernetes.core, and their environment variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .connection import AuthError

ARGUMENT_SPEC: Mapping[str, Mapping[str, Any]] = {
    "kubeconfig": {"type": "raw"},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"], "no_log": False},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "tls_server_name": {"type": "str"},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {
        "type": "dict",
        "options": {
            "proxy_basic_auth": {"type": "str", "no_log": True},
            "basic_auth": {"type": "str", "no_log": True},
            "user_agent": {"type": "str"},
        },
    },
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
}

_FALSE = frozenset({"0", "false", "no", "off", "n", "f"})
_TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


@dataclass(frozen=True, slots=True)
class Options:
    """What the user said about the connection; None and empty mean that nothing was said."""

    kubeconfig: str | Mapping[str, Any] | None = field(default=None, repr=False)
    context: str | None = None
    host: str | None = None
    api_key: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_cert: str | None = None
    client_key: str | None = None
    ca_cert: str | None = None
    validate_certs: bool | None = None
    tls_server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)
    no_proxy: str | None = None
    proxy_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    impersonate_user: str | None = None
    impersonate_groups: tuple[str, ...] = ()


# A server and who we are to it belong together: options that name one server take nothing of that from elsewhere.
_SERVER = frozenset({"host", "ca_cert", "validate_certs", "tls_server_name"})
_IDENTITY = frozenset({"api_key", "username", "password", "client_cert", "client_key"})
_FILE = frozenset({"kubeconfig", "context"})


def resolve(parameters: Mapping[str, Any], environment: Mapping[str, str]) -> Options:
    """Options of a task first, then the ``K8S_AUTH_*`` variables (each has the names that kubernetes.core reads).

    A task that names a kubeconfig or a context ignores variables for another server, and one that names a host
    ignores variables for a kubeconfig: a token must not reach a server that it was not meant for. Raises
    :class:`AuthError` for a variable that cannot be read.
    """
    said = {name: parameters[name] for name in _FIELDS if parameters.get(name) not in (None, "", [], {})}
    ignored: frozenset[str] = frozenset()
    if said.keys() & _FILE:
        ignored = _SERVER | _IDENTITY
    elif "host" in said:
        ignored = _FILE
    if said.keys() & _IDENTITY:
        ignored |= _IDENTITY
    for name, read in _FIELDS.items():
        if name not in said and name not in ignored:
            value = read(name, environment)
            if value:
                said[name] = value
            elif value is False:
                said[name] = False
    said["proxy_headers"] = {key: value for key, value in said.get("proxy_headers", {}).items() if value}
    said["impersonate_groups"] = tuple(said.get("impersonate_groups", ()))
    return Options(**said)


def _variables(name: str) -> list[str]:
    aliases = ARGUMENT_SPEC[name].get("aliases", [])
    return [f"K8S_AUTH_{each.upper()}" for each in (name, *aliases)]


def _text(name: str, environment: Mapping[str, str]) -> str | None:
    return next((environment[each] for each in _variables(name) if environment.get(each)), None)


def _truth(name: str, environment: Mapping[str, str]) -> bool | None:
    for variable in _variables(name):
        word = environment.get(variable, "").strip().lower()
        if word in _FALSE:
            return False
        if word in _TRUE:
            return True
        if word:
            raise AuthError(f"{variable} is {word!r}, which is neither true nor false")
    return None


def _words(name: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(word.strip() for word in (_text(name, environment) or "").split(",") if word.strip())


def _headers(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    keys = ARGUMENT_SPEC[name]["options"]
    values = {key: environment.get(f"K8S_AUTH_{name.upper()}_{key.upper()}") for key in keys}
    return {key: value for key, value in values.items() if value}


_SPECIAL: Mapping[str, Callable[[str, Mapping[str, str]], Any]] = {
    "validate_certs": _truth,
    "impersonate_groups": _words,
    "proxy_headers": _headers,
}
_FIELDS: Mapping[str, Callable[[str, Mapping[str, str]], Any]] = {
    each.name: _SPECIAL.get(each.name, _text) for each in fields(Options)
}
