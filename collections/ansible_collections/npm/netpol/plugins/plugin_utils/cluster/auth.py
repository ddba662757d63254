# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From options and the environment to one connection: option, then variable, then kubeconfig, then in-cluster."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import kubeconfig
from . import options as user_options
from .connection import AuthError, Connection, Credentials, Impersonation, url
from .options import Options

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def connect(
    parameters: Mapping[str, Any], environment: Mapping[str, str], *, service_account: Path = SERVICE_ACCOUNT
) -> Connection:
    """The connection that a task's ``parameters`` (:data:`options.ARGUMENT_SPEC`) and ``environment`` mean.

    Reads files and may run a credential plugin; asks the API nothing. Raises :class:`AuthError`.
    """
    options = user_options.resolve(parameters, environment)
    base = _base(options, environment, service_account)
    credentials = _explicit_credentials(options) or base.credentials
    return replace(
        base,
        credentials=credentials,
        impersonation=_impersonation(options) or base.impersonation,
        ca=kubeconfig.read_filled(Path(options.ca_cert).expanduser(), "ca_cert") if options.ca_cert else base.ca,
        verify=base.verify if options.validate_certs is None else options.validate_certs,
        server_name=options.tls_server_name or base.server_name,
        proxy=_proxy(options, base, environment),
        proxy_headers=options.proxy_headers,
    )


def server(
    parameters: Mapping[str, Any], environment: Mapping[str, str], *, service_account: Path = SERVICE_ACCOUNT
) -> tuple[str, str]:
    """Which API :func:`connect` would talk to: its URL, and the name that its certificate must have (or empty).

    Runs no credential plugin. Raises :class:`AuthError`.
    """
    options = user_options.resolve(parameters, environment)
    base = _base(options, environment, service_account, with_user=False)
    return base.host, options.tls_server_name or base.server_name


def _base(
    options: Options, environment: Mapping[str, str], service_account: Path, *, with_user: bool = True
) -> Connection:
    host = url(options.host, "host") if options.host else ""
    named = options.kubeconfig or options.context
    if host and not named:
        return Connection(host=host, source="options and K8S_AUTH_ variables")
    files = _files(options, environment)
    if isinstance(options.kubeconfig, Mapping):
        config = kubeconfig.from_data(options.kubeconfig)
    elif named or environment.get("KUBECONFIG") or _is_there(files[0]):
        config = kubeconfig.load(files)
    elif environment.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster(environment, service_account)
    else:
        raise AuthError(
            "no Kubernetes API to read: set kubeconfig or host (or K8S_AUTH_KUBECONFIG, K8S_AUTH_HOST, KUBECONFIG);"
            f" {files[0]} is not there, and this is not a pod of a cluster"
        )
    with_user = with_user and not _explicit_credentials(options)
    return config.connection(options.context or "", environment, server=host, with_user=with_user)


def _is_there(path: Path) -> bool:
    """Whether the default kubeconfig is; one in a directory that is not ours to look into is nobody's wish."""
    try:
        return path.exists()
    except OSError:
        return False


def _files(options: Options, environment: Mapping[str, str]) -> list[Path]:
    given = options.kubeconfig if isinstance(options.kubeconfig, str) else None
    listed = given or environment.get("KUBECONFIG") or "~/.kube/config"
    home = environment.get("HOME")
    paths = [each for each in listed.split(os.pathsep) if each]
    return [Path(home) / each[2:] if home and each.startswith("~/") else Path(each).expanduser() for each in paths]


def _in_cluster(environment: Mapping[str, str], service_account: Path) -> Connection:
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment.get("KUBERNETES_SERVICE_PORT", "443")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = kubeconfig.read_filled(service_account / "token", "the pod's service account").strip()
    return Connection(
        host=url(server, "KUBERNETES_SERVICE_HOST"),
        source="the pod's service account",
        credentials=Credentials(token=token, renewable=True),
        ca=kubeconfig.read_filled(service_account / "ca.crt", "the pod's service account"),
    )


def _explicit_credentials(options: Options) -> Credentials:
    if bool(options.client_cert) != bool(options.client_key):
        raise AuthError("client_cert and client_key go together: only one of them is set")
    certificate, key = options.client_cert, options.client_key
    return Credentials(
        token=(options.api_key or "").strip(),
        username=options.username or "",
        password=options.password or "",
        certificate=kubeconfig.read_filled(Path(certificate).expanduser(), "client_cert") if certificate else "",
        key=kubeconfig.read_filled(Path(key).expanduser(), "client_key") if key else "",
    )


def _impersonation(options: Options) -> Impersonation | None:
    if options.impersonate_groups and not options.impersonate_user:
        raise AuthError("impersonate_groups needs impersonate_user: the API refuses groups without a user")
    if not options.impersonate_user:
        return None
    return Impersonation(user=options.impersonate_user, groups=options.impersonate_groups)


def _proxy(options: Options, base: Connection, environment: Mapping[str, str]) -> str:
    """The URL of the proxy that leads to the server, or empty.

    The option ``no_proxy`` is about any proxy, NO_PROXY about HTTPS_PROXY alone: a proxy that was chosen for this
    cluster is its only way in, whatever is true of others.
    """
    chosen = options.proxy or base.proxy
    no_proxy = options.no_proxy or ("" if chosen else _either_case("no_proxy", environment))
    if _bypasses(base.host, no_proxy):
        return ""
    return _proxy_url(chosen or _environment_proxy(base.host, environment))


def _environment_proxy(host: str, environment: Mapping[str, str]) -> str:
    parts = urlsplit(host)
    return "" if _is_this_machine(parts.hostname or "") else _either_case(f"{parts.scheme}_proxy", environment)


def _either_case(name: str, environment: Mapping[str, str]) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""


def _is_this_machine(name: str) -> bool:
    """Whether a proxy, which is elsewhere, would take the name or address for itself."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _proxy_url(value: str) -> str:
    """A proxy's URL; unlike the host's it may hold a user and password."""
    if not value:
        return ""
    text = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise AuthError("proxy is not a URL such as http://proxy.example:3128 (SOCKS is not supported)")
    return text


def _bypasses(host: str, no_proxy: str) -> bool:
    """Whether ``no_proxy`` (hosts, domains, addresses, networks, or ``*``) takes this server out of the proxy."""
    parts = urlsplit(host)
    name = (parts.hostname or "").lower()
    return any(_covers(entry.strip().lower(), name, parts.port) for entry in no_proxy.split(","))


def _covers(entry: str, name: str, port: int | None) -> bool:
    domain = entry.removeprefix("*").removeprefix(".")
    if entry == "*" or (domain and (name in (domain, f"[{domain}]") or name.endswith(f".{domain}"))):
        return True
    if port is not None and entry in (f"{name}:{port}", f"[{name}]:{port}"):
        return True
    try:
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
