# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which server, and as whom: options, variables, kubeconfigs, the pod's service account, and what comes first."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth, kubeconfig, options
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError, Connection

HOST = "https://cluster.example:6443"
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def config(user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": HOST} | (cluster or {})}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "from-kubeconfig"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
        **more,
    }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"]}


def written(path: Path, data: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return str(path)


def token(connection: Connection) -> str:
    return connection.credentials.token


def test_every_option_has_a_field_and_its_variables() -> None:
    names = set(options.ARGUMENT_SPEC)
    variables = {name: options._variables(name) for name in names}
    assert variables["validate_certs"] == ["K8S_AUTH_VALIDATE_CERTS", "K8S_AUTH_VERIFY_SSL"]
    assert variables["ca_cert"] == ["K8S_AUTH_CA_CERT", "K8S_AUTH_SSL_CA_CERT"]
    assert variables["client_cert"] == ["K8S_AUTH_CLIENT_CERT", "K8S_AUTH_CERT_FILE"]
    assert variables["client_key"] == ["K8S_AUTH_CLIENT_KEY", "K8S_AUTH_KEY_FILE"]
    assert names == set(options.Options.__slots__)


def test_an_option_comes_before_a_variable_and_that_before_the_kubeconfig(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = written(tmp_path / "config", config())
    assert token(auth.connect({"kubeconfig": path}, environment)) == "from-kubeconfig"
    variables = environment | {"K8S_AUTH_KUBECONFIG": path, "K8S_AUTH_API_KEY": "from-variable"}
    assert token(auth.connect({}, variables)) == "from-variable"
    assert auth.connect({}, variables).host == HOST
    assert token(auth.connect({"api_key": "from-option"}, variables)) == "from-option"


def test_a_named_kubeconfig_takes_nothing_from_variables_for_another_server(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = written(tmp_path / "config", config())
    awx = environment | {
        "K8S_AUTH_HOST": "https://elsewhere.example",
        "K8S_AUTH_API_KEY": "for-elsewhere",
        "K8S_AUTH_VERIFY_SSL": "False",
    }
    connection = auth.connect({"kubeconfig": path}, awx)
    assert (connection.host, connection.credentials.token, connection.verify) == (HOST, "from-kubeconfig", True)


def test_a_named_host_takes_nothing_from_a_kubeconfig(environment: dict[str, str], home: Path) -> None:
    path = written(home / ".kube" / "config", config())
    for variables in (environment, environment | {"K8S_AUTH_KUBECONFIG": path}, environment | {"KUBECONFIG": path}):
        connection = auth.connect({"host": "https://elsewhere.example/"}, variables)
        assert connection.host == "https://elsewhere.example"
        assert not connection.credentials


def test_a_context_of_the_task_is_looked_for_in_the_kubeconfig_of_the_variable(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    data = config()
    data["contexts"].append({"name": "y", "context": {"cluster": "c"}})
    variables = environment | {"K8S_AUTH_KUBECONFIG": written(tmp_path / "config", data), "K8S_AUTH_CONTEXT": "x"}
    assert token(auth.connect({}, variables)) == "from-kubeconfig"
    assert not auth.connect({"context": "y"}, variables).credentials


def test_a_host_beside_a_kubeconfig_takes_the_place_of_its_server(tmp_path: Path, environment: dict[str, str]) -> None:
    path = written(tmp_path / "config", config())
    connection = auth.connect({"kubeconfig": path, "host": "https://bastion.example:8443"}, environment)
    assert connection.host == "https://bastion.example:8443"
    assert token(connection) == "from-kubeconfig"


@pytest.mark.parametrize(
    ("word", "verify"),
    [("False", False), ("false", False), ("0", False), ("no", False), ("True", True), ("yes", True), ("", True)],
)
def test_verify_ssl_is_a_string_in_awx(environment: dict[str, str], word: str, verify: bool) -> None:
    variables = environment | {"K8S_AUTH_HOST": HOST, "K8S_AUTH_API_KEY": "t0ken", "K8S_AUTH_VERIFY_SSL": word}
    assert auth.connect({}, variables).verify is verify
    assert auth.connect({"validate_certs": True}, variables).verify is True


def test_a_truth_that_is_none_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(AuthError, match=r"K8S_AUTH_VERIFY_SSL is 'maybe'"):
        auth.connect({"host": HOST}, environment | {"K8S_AUTH_VERIFY_SSL": "Maybe"})


def test_validate_certs_false_overrides_the_kubeconfig_and_its_absence_does_not(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    lax = written(tmp_path / "lax", config(cluster={"insecure-skip-tls-verify": True}))
    strict = written(tmp_path / "strict", config())
    assert auth.connect({"kubeconfig": lax}, environment).verify is False
    assert auth.connect({"kubeconfig": lax, "validate_certs": True}, environment).verify is True
    assert auth.connect({"kubeconfig": strict, "validate_certs": False}, environment).verify is False


def test_without_any_word_the_usual_files_and_then_the_service_account_are_read(
    tmp_path: Path, environment: dict[str, str], home: Path
) -> None:
    account = tmp_path / "serviceaccount"
    written(account / "token", "pod-token\n")
    written(account / "ca.crt", PEM)
    pod = environment | {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    connection = auth.connect({}, pod, service_account=account)
    assert (connection.host, connection.ca) == ("https://[fd00::1]:443", PEM)
    assert (connection.credentials.token, connection.credentials.renewable) == ("pod-token", True)
    written(home / ".kube" / "config", config())
    assert token(auth.connect({}, pod, service_account=account)) == "from-kubeconfig"
    other = written(tmp_path / "other", config({"token": "from-KUBECONFIG"}))
    assert token(auth.connect({}, pod | {"KUBECONFIG": other})) == "from-KUBECONFIG"


def test_with_nothing_at_all_the_message_says_what_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(AuthError, match=r"set kubeconfig or host .*\.kube/config is not there"):
        auth.connect({}, environment)


def test_files_of_kubeconfig_are_merged_first_come_first_served(tmp_path: Path, environment: dict[str, str]) -> None:
    first = config()
    first["current-context"] = ""
    second = config({"token": "of-the-second"}, **{"current-context": "z"})
    second["contexts"].append({"name": "z", "context": {"cluster": "c", "user": "u"}})
    paths = [written(tmp_path / "a", first), str(tmp_path / "missing"), written(tmp_path / "b", second)]
    connection = auth.connect({}, environment | {"KUBECONFIG": os.pathsep.join(paths)})
    assert token(connection) == "from-kubeconfig"
    assert "context 'z'" in connection.source


@pytest.mark.parametrize("content", ["", "---\n", "# nothing\n"])
def test_an_empty_file_of_kubeconfig_adds_nothing(tmp_path: Path, environment: dict[str, str], content: str) -> None:
    empty = written(tmp_path / "empty", content)
    full = written(tmp_path / "full", config())
    assert token(auth.connect({}, environment | {"KUBECONFIG": f"{empty}{os.pathsep}{full}"})) == "from-kubeconfig"
    with pytest.raises(AuthError, match="empty: no current-context is set"):
        auth.connect({"kubeconfig": empty}, environment)


def test_a_place_that_cannot_be_looked_into_is_an_error_only_where_it_was_named(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    account = tmp_path / "serviceaccount"
    written(account / "token", "pod-token")
    written(account / "ca.crt", PEM)
    # Root may look into every directory, but follows no name of this length.
    home = "/" + "x" * 300
    pod = environment | {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "HOME": home}
    assert token(auth.connect({}, pod, service_account=account)) == "pod-token"
    for named in ({"KUBECONFIG": f"{home}/config"}, {"K8S_AUTH_KUBECONFIG": f"{home}/config"}):
        with pytest.raises(AuthError, match=f"kubeconfig: {home}/config: File name too long"):
            auth.connect({}, pod | named, service_account=account)


def test_certificates_of_a_kubeconfig_are_data_or_files_beside_it(tmp_path: Path, environment: dict[str, str]) -> None:
    written(tmp_path / "pki" / "ca.pem", PEM)
    written(tmp_path / "pki" / "key.pem", "KEY")
    encoded = base64.b64encode(b"CERT").decode()
    user = {"client-certificate-data": encoded, "client-key": "pki/key.pem"}
    path = written(tmp_path / "config", config(user, {"certificate-authority": "pki/ca.pem"}))
    connection = auth.connect({"kubeconfig": path}, environment)
    assert (connection.ca, connection.credentials.certificate, connection.credentials.key) == (PEM, "CERT", "KEY")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_data_of_a_kubeconfig_may_be_wrapped(environment: dict[str, str], ending: str) -> None:
    wrapped = base64.encodebytes(PEM.encode() * 3).decode().replace("\n", ending)
    assert wrapped.count("\n") > 2
    given = config(cluster={"certificate-authority-data": wrapped})
    assert auth.connect({"kubeconfig": given}, environment).ca == PEM * 3


@pytest.mark.parametrize("content", ["", " \n"])
@pytest.mark.parametrize(
    ("named", "place"),
    [
        ({"kubeconfig": config({"tokenFile": "FILE"})}, "user 'u': tokenFile"),
        ({"kubeconfig": config(cluster={"certificate-authority": "FILE"})}, "certificate-authority"),
        ({"kubeconfig": config({"client-certificate": "FILE", "client-key": "FILE"})}, "client-certificate"),
        ({"host": HOST, "ca_cert": "FILE"}, "ca_cert"),
        ({"host": HOST, "client_cert": "FILE", "client_key": "FILE"}, "client_cert"),
    ],
)
def test_an_empty_file_is_not_taken_for_none(
    tmp_path: Path, environment: dict[str, str], content: str, named: dict[str, Any], place: str
) -> None:
    file = written(tmp_path / "file", content)
    parameters = json.loads(json.dumps(named).replace("FILE", str(file)))
    with pytest.raises(AuthError, match=f"{re.escape(place)}: {re.escape(str(file))} is empty"):
        auth.connect(parameters, environment)


def test_a_token_file_comes_before_a_token_and_can_be_read_again(tmp_path: Path, environment: dict[str, str]) -> None:
    written(tmp_path / "token", "of-the-file\n")
    path = written(tmp_path / "config", config({"token": "inline", "tokenFile": "token"}))
    credentials = auth.connect({"kubeconfig": path}, environment).credentials
    assert (credentials.token, credentials.renewable) == ("of-the-file", True)


def test_a_kubeconfig_can_be_data(environment: dict[str, str]) -> None:
    assert auth.connect({"kubeconfig": config()}, environment).host == HOST


def test_impersonation_by_option_variable_and_kubeconfig(tmp_path: Path, environment: dict[str, str]) -> None:
    user = {"token": "t0ken", "as": "ann", "as-groups": ["a"], "as-user-extra": {"reason": ["audit"]}}
    path = written(tmp_path / "config", config(user))
    found = auth.connect({"kubeconfig": path}, environment).impersonation
    assert (found.user, found.groups, found.extra) == ("ann", ("a",), {"reason": ("audit",)})
    variables = environment | {"K8S_AUTH_IMPERSONATE_USER": "bob", "K8S_AUTH_IMPERSONATE_GROUPS": "x, y"}
    found = auth.connect({"kubeconfig": path}, variables).impersonation
    assert (found.user, found.groups) == ("bob", ("x", "y"))
    option = {"kubeconfig": path, "impersonate_user": "eve", "impersonate_groups": ["z"]}
    assert auth.connect(option, variables).impersonation.groups == ("z",)
    with pytest.raises(AuthError, match="impersonate_groups needs impersonate_user"):
        auth.connect({"kubeconfig": path, "impersonate_groups": ["z"]}, environment)


@pytest.mark.parametrize(
    ("no_proxy", "proxied"),
    [
        ("", True),
        ("*", False),
        ("cluster.example", False),
        (".example", False),
        ("example", False),
        ("ample", True),
        ("cluster.example:6443", False),
        ("cluster.example:443", True),
        ("other.example, cluster.example", False),
    ],
)
def test_no_proxy_by_name(environment: dict[str, str], no_proxy: str, proxied: bool) -> None:
    connection = auth.connect({"host": HOST, "proxy": "http://proxy.example:3128", "no_proxy": no_proxy}, environment)
    assert bool(connection.proxy) is proxied


@pytest.mark.parametrize(
    ("host", "no_proxy", "proxied"),
    [
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "11.0.0.0/8,10.1.2.4", True),
        ("https://[fd00::1]:6443", "fd00::/8", False),
        ("https://[fd00::1]:6443", "10.0.0.0/8", True),
    ],
)
def test_no_proxy_by_address(environment: dict[str, str], host: str, no_proxy: str, proxied: bool) -> None:
    connection = auth.connect({"host": host}, environment | {"HTTPS_PROXY": "proxy.example:3128", "NO_PROXY": no_proxy})
    assert connection.proxy == ("http://proxy.example:3128" if proxied else "")


def test_the_environment_s_no_proxy_is_not_about_a_proxy_that_was_chosen_for_the_cluster(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = written(tmp_path / "config", config(cluster={"proxy-url": "http://bastion.example:1"}))
    variables = environment | {"NO_PROXY": ".example", "HTTPS_PROXY": "http://c.example:1"}
    assert auth.connect({"kubeconfig": path}, variables).proxy == "http://bastion.example:1"
    assert auth.connect({"host": HOST, "proxy": "http://a.example:1"}, variables).proxy == "http://a.example:1"
    by_variable = variables | {"K8S_AUTH_PROXY": "http://b.example:1"}
    assert auth.connect({"host": HOST}, by_variable).proxy == "http://b.example:1"
    assert auth.connect({"host": HOST}, variables).proxy == ""
    for no_proxy in ({"K8S_AUTH_NO_PROXY": ".example"}, {"no_proxy": "other", "K8S_AUTH_NO_PROXY": ".example"}):
        assert auth.connect({"kubeconfig": path}, variables | no_proxy).proxy == ""
        assert auth.connect({"host": HOST}, by_variable | no_proxy).proxy == ""
    assert auth.connect({"host": HOST, "no_proxy": "other"}, variables).proxy == "http://c.example:1"


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("LocalHost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("[::1]", True),
        ("[::2]", False),
        ("128.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_the_environment_s_proxy_is_not_asked_for_this_machine(
    environment: dict[str, str], host: str, is_here: bool
) -> None:
    server = {"host": f"https://{host}:6443"}
    variables = environment | {"HTTPS_PROXY": "http://proxy.example:1"}
    assert auth.connect(server, variables).proxy == ("" if is_here else "http://proxy.example:1")
    chosen = {"proxy": "http://a.example:1"}
    assert auth.connect(server | chosen, variables).proxy == "http://a.example:1"


def test_the_proxy_of_an_option_comes_before_the_kubeconfig_s_and_that_before_the_environment_s(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = written(tmp_path / "config", config(cluster={"proxy-url": "http://b.example:1"}))
    variables = environment | {"https_proxy": "http://c.example:1"}
    assert auth.connect({"kubeconfig": path, "proxy": "http://a.example:1"}, variables).proxy == "http://a.example:1"
    assert auth.connect({"kubeconfig": path}, variables).proxy == "http://b.example:1"
    assert auth.connect({"host": HOST}, variables).proxy == "http://c.example:1"
    assert auth.connect({"host": "http://plain.example"}, variables).proxy == ""


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"host": "cluster.example:6443"}, "host is not a URL"),
        ({"host": "https://"}, "host is not a URL"),
        ({"host": "https://cluster.example:port"}, "host is not a URL"),
        ({"host": "https://ann:s3cret@cluster.example"}, "host must not hold a user or password"),
        ({"host": HOST, "proxy": "socks5://proxy.example:1080"}, "SOCKS is not supported"),
        ({"host": HOST, "client_cert": "a.pem"}, "client_cert and client_key go together"),
        ({"host": HOST, "ca_cert": "/nowhere/ca.pem"}, "ca_cert: /nowhere/ca.pem: No such file"),
        ({"kubeconfig": "/nowhere/config"}, "kubeconfig /nowhere/config: no such file"),
        ({"kubeconfig": config(), "context": "z"}, "context 'z' is not there (contexts: x)"),
        ({"kubeconfig": config({"auth-provider": {"name": "azure"}})}, "auth-provider is not supported"),
        ({"kubeconfig": config({"exec": "kubelogin"})}, "user 'u': exec is not a map"),
        ({"kubeconfig": config({"client-certificate-data": "%%"})}, "client-certificate-data is not base64"),
        ({"kubeconfig": config({"client-key": "/nowhere/key"})}, "client-key: /nowhere/key: No such file"),
        ({"kubeconfig": config({"client-key-data": "S0VZ"})}, "only one of client-certificate and client-key"),
        ({"kubeconfig": config({"token": 7})}, "user 'u': token is not a string"),
        ({"kubeconfig": config(cluster={"server": None})}, "server is not a URL"),
        ({"kubeconfig": config(clusters=[])}, "the cluster of context 'x' is not there (clusters: none)"),
        ({"kubeconfig": config(users=None)}, "the user of context 'x' is not there"),
        ({"kubeconfig": config(contexts="x")}, "contexts is not a list of maps"),
        ({"kubeconfig": config(**{"current-context": ""})}, "no current-context is set"),
    ],
)
def test_what_is_wrong_is_named(environment: dict[str, str], parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthError) as caught:
        auth.connect(parameters, environment)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("text", ["users: [{token: s3cret-token", "just text", "- a", "\0", ""])
def test_a_file_that_is_no_kubeconfig_is_named_without_its_content(
    tmp_path: Path, environment: dict[str, str], text: str
) -> None:
    with pytest.raises(AuthError, match=r"kubeconfig .*/config") as caught:
        auth.connect({"kubeconfig": written(tmp_path / "config", text)}, environment)
    assert "s3cret" not in str(caught.value)


def test_secrets_are_in_no_representation(tmp_path: Path, environment: dict[str, str]) -> None:
    parameters = {"host": HOST, "api_key": "s3cret-token", "username": "ann", "password": "s3cret-password"}
    proxy = {"proxy": "http://bob:s3cret-proxy@proxy.example:1", "proxy_headers": {"basic_auth": "a:s3cret-header"}}
    assert "s3cret" not in repr(auth.connect(parameters | proxy, environment))
    assert "s3cret" not in repr(options.resolve(parameters | proxy, environment))


@pytest.mark.parametrize(
    "user",
    [
        {"token": "t0ken"},
        {"username": "ann", "password": "pass"},
        {
            "client-certificate-data": base64.b64encode(b"C").decode(),
            "client-key-data": base64.b64encode(b"K").decode(),
        },
        {"tokenFile": "token", "token": "inline"},
    ],
)
def test_a_kubeconfig_means_the_same_as_to_the_official_client(
    tmp_path: Path, environment: dict[str, str], user: dict[str, Any]
) -> None:
    """The official loader is the oracle, on everything that both know."""
    written(tmp_path / "token", "inline")
    cluster = {
        "server": "https://10.0.0.1:6443/prefix/",
        "certificate-authority-data": base64.b64encode(PEM.encode()).decode(),
        "tls-server-name": "kubernetes",
        "proxy-url": "http://proxy.example:3128",
        "insecure-skip-tls-verify": False,
    }
    path = written(tmp_path / "config", config(user, cluster))
    theirs = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(path, client_configuration=theirs, persist_config=False)
    ours = auth.connect({"kubeconfig": path}, environment)
    assert (ours.host, ours.server_name, ours.verify) == (theirs.host, theirs.tls_server_name, theirs.verify_ssl)
    # Releases of it before proxy-url was known leave it out.
    assert theirs.proxy in (ours.proxy, None)
    assert ours.ca == Path(theirs.ssl_ca_cert).read_text(encoding="utf-8")
    header = next(iter(theirs.api_key.values()), "")  # its key changed between releases
    if ours.credentials.token:
        assert header == f"Bearer {ours.credentials.token}"
    elif ours.credentials.username:
        pair = f"{ours.credentials.username}:{ours.credentials.password}"
        assert header == "Basic " + base64.b64encode(pair.encode()).decode()
    else:
        assert ours.credentials.certificate == Path(theirs.cert_file).read_text(encoding="utf-8")
        assert ours.credentials.key == Path(theirs.key_file).read_text(encoding="utf-8")


def test_a_relative_home_is_expanded_from_the_given_environment(environment: dict[str, str], home: Path) -> None:
    written(home / "k", config())
    assert auth.connect({"kubeconfig": "~/k"}, environment).host == HOST


def test_loading_needs_one_file_at_least(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="no such file"):
        kubeconfig.load([tmp_path / "a", tmp_path / "b"])
