# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One request: TLS, proxy, headers, patience, and credentials that run out, all over real connections."""

from __future__ import annotations

import base64
import datetime
import email.utils
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import client as client_module
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import (
    AuthError,
    Connection,
    Credentials,
    Impersonation,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lab.api import ApiServer, ConnectProxy, Fault

MakeClient = Callable[..., ApiClient]
PATH = "/api/v1/namespaces"


@contextmanager
def answering(body: bytes, *, status: int = 200, **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """A server that answers everything alike; gives its URL and the headers of what it was asked."""
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_retry_after_is_the_least_to_wait(api: ApiServer, client: MakeClient, pauses: list[float]) -> None:
    told: list[str] = []
    api.faults.add(Fault("status", code=429, retry_after=3, times=2))
    reader = client(tell=told.append)
    assert reader.get(PATH)["kind"] == "NamespaceList"
    assert all(3 <= pause <= 3.75 for pause in pauses)
    assert len(pauses) == 2
    assert reader.requests == 3
    assert "429 Too Many Requests" in told[0]
    assert f"retry 1 of 2 in {pauses[0]:.1f} s" in told[0]


@pytest.mark.parametrize("retry_after", [0, 1])
def test_a_server_that_asks_for_little_again_and_again_is_given_more(
    api: ApiServer, client: MakeClient, pauses: list[float], retry_after: int
) -> None:
    api.faults.add(Fault("status", code=429, retry_after=retry_after))
    reader = client(retries=6)
    with pytest.raises(ApiError, match=r"429 Too Many Requests: .* \(tried 7 times\)"):
        reader.get(PATH)
    least = [max(retry_after, backoff) for backoff in (0.5, 1, 2, 4, 8, 8)]
    assert all(base <= pause <= 1.25 * base for base, pause in zip(least, pauses, strict=True))


def test_many_that_are_put_off_at_once_do_not_come_back_at_once(
    api: ApiServer, client: MakeClient, pauses: list[float]
) -> None:
    api.faults.add(Fault("status", code=429, retry_after=3))
    for _runner in range(4):
        with pytest.raises(ApiError):
            client(retries=1).get(PATH)
    assert len(set(pauses)) == 4


def test_without_it_the_wait_doubles_and_the_last_failure_counts(
    api: ApiServer, client: MakeClient, pauses: list[float]
) -> None:
    api.faults.add(Fault("status", code=503))
    reader = client(retries=6)
    with pytest.raises(ApiError, match=r"503 Service Unavailable: .* \(tried 7 times\)"):
        reader.get(PATH)
    assert all(base <= pause <= 1.25 * base for base, pause in zip((0.5, 1, 2, 4, 8, 8), pauses, strict=True))


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        ("0", 0.5, 0.7),
        ("59", 59, 60),
        ("86400", 60, 60),
        ("soon", 0.5, 0.7),
        (email.utils.format_datetime(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)), 0.5, 0.7),
        (email.utils.format_datetime(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)), 60, 60),
    ],
)
def test_any_retry_after_is_understood_and_bounded(
    client: MakeClient, pauses: list[float], retry_after: str, least: float, most: float
) -> None:
    with answering(b"", status=503, Retry_After=retry_after) as (url, _seen), pytest.raises(ApiError):
        client(options={"host": url}, retries=1).get(PATH)
    assert least <= pauses[0] <= most


@pytest.mark.parametrize("code", [400, 403, 404, 405, 410])
def test_what_will_not_change_is_not_tried_again(api: ApiServer, client: MakeClient, code: int) -> None:
    api.faults.add(Fault("status", code=code))
    reader = client()
    with pytest.raises(ApiError) as caught:
        reader.get(PATH)
    assert (caught.value.status, caught.value.expired, reader.requests) == (code, code == 410, 1)


def test_an_untrusted_server_is_asked_once_and_is_not_told_the_token(api: ApiServer, client: MakeClient) -> None:
    reader = client(options={"ca_cert": None, "host": api.url.replace("127.0.0.1", "localhost")})
    with pytest.raises(ApiError, match=r"not trusted: .* \(checked against the system's CAs, as none is given"):
        reader.get(PATH)
    assert reader.requests == 1
    assert api.requests.all() == []


def test_a_server_that_is_slow_is_given_up(api: ApiServer, client: MakeClient) -> None:
    api.faults.add(Fault("delay", seconds=30))
    with pytest.raises(ApiError, match=r"no answer within 0\.2 s \(tried 3 times\)"):
        client(timeout=0.2).get(PATH)


def test_without_verification_any_certificate_does(api: ApiServer, client: MakeClient) -> None:
    api.faults.add(Fault("certificate", certificate="other-ca"))
    assert client(options={"validate_certs": False}).get(PATH)["kind"] == "NamespaceList"


def test_a_certificate_may_be_for_another_name_that_was_given(api: ApiServer, client: MakeClient) -> None:
    with ApiServer(tls=True, hosts=["kubernetes.example"]) as other:
        options = {"host": other.url, "api_key": other.token, "ca_cert": str(other.ca_file)}
        named = client(options=options | {"tls_server_name": "kubernetes.example"})
        assert named.get(PATH)["kind"] == "NamespaceList"
        with pytest.raises(ApiError, match="not trusted"):
            client(options=options | {"tls_server_name": "elsewhere.example"}).get(PATH)


def test_http_to_a_tls_port_and_tls_to_an_http_port(api: ApiServer, client: MakeClient) -> None:
    with pytest.raises(ApiError):
        client(options={"host": api.url.replace("https", "http")}).get(PATH)
    with answering(b"{}") as (url, seen):
        with pytest.raises(ApiError, match=r"TLS failed"):
            client(options={"host": url.replace("http", "https")}).get(PATH)
        assert seen == []


def test_a_page_of_a_proxy_is_no_api(client: MakeClient) -> None:
    with (
        answering(b"<html>Sign in</html>", Content_Type="text/html; charset=utf-8") as (url, _seen),
        pytest.raises(ApiError, match="answered with text/html instead of JSON"),
    ):
        client(options={"host": url}).get(PATH)


def test_a_redirection_is_not_followed(client: MakeClient) -> None:
    with answering(b"{}") as (elsewhere, seen):
        with (
            answering(b"", status=302, Location=elsewhere) as (url, _seen),
            pytest.raises(ApiError, match="302 Found"),
        ):
            client(options={"host": url}).get(PATH)
        assert seen == []


def test_an_answer_shorter_than_it_says_is_cut(client: MakeClient) -> None:
    with answering(b'{"kind": "NamespaceList"}', Content_Length="99") as (url, _seen), pytest.raises(ApiError):
        client(options={"host": url}, timeout=0.5).get(PATH)


def test_a_compressed_answer_is_read_and_a_cut_one_is_not(client: MakeClient) -> None:
    import gzip  # noqa: PLC0415 - only this test needs it

    packed = gzip.compress(json.dumps({"kind": "NamespaceList", "x": "y" * 5000}).encode())
    with answering(packed, Content_Encoding="gzip", Content_Type="application/json") as (url, seen):
        assert client(options={"host": url}).get(PATH)["kind"] == "NamespaceList"
        assert seen[0]["Accept-Encoding"] == "gzip"
    with (
        answering(packed[:-30], Content_Encoding="gzip", Content_Type="application/json") as (url, seen),
        pytest.raises(ApiError, match=r"tried 3 times"),
    ):
        client(options={"host": url}).get(PATH)
    assert len(seen) == 3


def test_a_server_that_repeats_our_secrets_does_not_get_them_into_messages(client: MakeClient) -> None:
    status = {"kind": "Status", "message": "no session for s3cret-token"}
    with (
        answering(json.dumps(status).encode(), status=400, Content_Type="application/json") as (url, _seen),
        pytest.raises(ApiError, match=r"400 Bad Request: no session for \(secret\)$"),
    ):
        client(options={"host": url, "api_key": "s3cret-token"}).get(PATH)


@pytest.mark.parametrize("ahead", [0, 480, 490, 499])
def test_nor_a_part_of_them_where_a_message_is_cut(client: MakeClient, ahead: int) -> None:
    status = {"kind": "Status", "message": f"{'x' * ahead} s3cret-token and more{'.' * 600}"}
    with (
        answering(json.dumps(status).encode(), status=400, Content_Type="application/json") as (url, _seen),
        pytest.raises(ApiError, match="400 Bad Request") as caught,
    ):
        client(options={"host": url, "api_key": "s3cret-token"}).get(PATH)
    assert "s3c" not in str(caught.value)
    assert caught.value.message.endswith("…")


def test_impersonation_is_sent_group_by_group(client: MakeClient) -> None:
    impersonated = {"impersonate_user": "ann@zürich.example", "impersonate_groups": ["a,b", "c"]}
    with answering(b"{}") as (url, seen):
        client(options={"host": url} | impersonated).get(PATH)
    assert seen[0]["Impersonate-User"].encode("latin-1").decode() == "ann@zürich.example"
    assert seen[0].get_all("Impersonate-Group") == ["a,b", "c"]


def test_all_of_an_impersonation_is_sent() -> None:
    impersonation = Impersonation("ann", "1-2", ("g",), {"example.org/Reason": ("audit", "x")})
    with (
        answering(b"{}") as (url, seen),
        ApiClient(lambda: Connection(url, "t", impersonation=impersonation)) as reader,
    ):
        reader.get(PATH)
    assert seen[0]["Impersonate-Uid"] == "1-2"
    assert seen[0].get_all("Impersonate-Extra-example.org%2Freason") == ["audit", "x"]


def test_a_name_and_password_are_sent(client: MakeClient) -> None:
    with answering(b"{}") as (url, seen):
        client(options={"host": url, "api_key": None, "username": "ann", "password": "pä:ss"}).get(PATH)
    assert base64.b64decode(seen[0]["Authorization"].removeprefix("Basic ")).decode() == "ann:pä:ss"


def test_a_header_that_would_be_two_is_refused_without_repeating_it(client: MakeClient) -> None:
    with pytest.raises(AuthError, match="the header Authorization would hold a line break") as caught:
        client(options={"api_key": "s3cret\r\nX-Other: 1"})
    assert "s3cret" not in str(caught.value)


def test_a_proxy_is_gone_through(api: ApiServer, client: MakeClient) -> None:
    target = api.url.removeprefix("https://")
    with ConnectProxy() as proxy:
        assert client(options={"proxy": proxy.url}).get(PATH)["kind"] == "NamespaceList"
        assert proxy.targets == [target]
        client(options={"proxy": proxy.url, "no_proxy": "127.0.0.0/8"}).get(PATH)
        assert proxy.targets == [target]
        client(environment={"HTTPS_PROXY": proxy.url}).get(PATH)
        assert proxy.targets == [target], "a proxy has a 127.0.0.1 of its own"
        assert client(environment={"K8S_AUTH_PROXY": proxy.url}).get(PATH)["kind"] == "NamespaceList"
        assert proxy.targets == [target, target]


@pytest.mark.parametrize("way", ["url", "header"])
def test_a_proxy_that_wants_a_password(api: ApiServer, client: MakeClient, way: str) -> None:
    expected = "Basic " + base64.b64encode(b"ann:s3cret/1").decode()
    with ConnectProxy(authorization=expected) as proxy:
        given = {"proxy": proxy.url.replace("//", "//ann:s3cret%2F1@")}
        if way == "header":
            given = {"proxy": proxy.url, "proxy_headers": {"proxy_basic_auth": "ann:s3cret/1"}}
        assert client(options=given).get(PATH)["kind"] == "NamespaceList"
        with pytest.raises(ApiError, match=r"through the proxy: .*407") as caught:
            client(options={"proxy": proxy.url.replace("//", "//ann:s3cret-wrong@")}).get(PATH)
        assert "s3cret" not in str(caught.value)


def test_a_proxy_that_is_not_there(api: ApiServer, client: MakeClient) -> None:
    with ConnectProxy() as proxy:
        url = proxy.url
    with pytest.raises(ApiError, match="connection refused through the proxy"):
        client(options={"proxy": url}).get(PATH)


def test_renewable_credentials_are_renewed_once(api: ApiServer) -> None:
    tokens = iter(["stale-token", api.token, "never-asked-for"])

    def connect() -> Connection:
        ca = Path(str(api.ca_file)).read_text(encoding="utf-8")
        return Connection(api.url, "a plugin", Credentials(next(tokens), renewable=True), ca=ca)

    with ApiClient(connect) as reader:
        assert reader.get(PATH)["kind"] == "NamespaceList"
        assert reader.get(PATH)["kind"] == "NamespaceList"
        assert reader.requests == 3


def test_renewed_credentials_that_are_refused_too_fail(api: ApiServer) -> None:
    asked: list[int] = []

    def connect() -> Connection:
        asked.append(1)
        if len(asked) > 2:
            raise AuthError("the plugin is tired")
        ca = Path(str(api.ca_file)).read_text(encoding="utf-8")
        return Connection(api.url, "a plugin", Credentials("stale-token", renewable=True), ca=ca)

    with ApiClient(connect) as reader:
        with pytest.raises(ApiError, match="the API does not accept the credentials from a plugin"):
            reader.get(PATH)
        with pytest.raises(ApiError, match="401, and no new credentials: the plugin is tired"):
            reader.get(PATH)


def client_pair(common_name: str) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), plain.decode()


def test_a_client_certificate_is_shown_to_the_server_and_left_in_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: ApiServer
) -> None:
    certificate, key = client_pair("ann")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own, own_key = client_pair("server")
    (tmp_path / "server").write_text(own + own_key, encoding="utf-8")
    context.load_cert_chain(tmp_path / "server")
    (tmp_path / "server").unlink()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate)
    seen: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(item[0] for item in self.connection.getpeercert()["subject"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_port}"
        credentials = Credentials(certificate=certificate, key=key)
        with ApiClient(lambda: Connection(url, "t", credentials, verify=False)) as reader:
            assert reader.get("/") == {}
        assert seen == [{"commonName": "ann"}]
        assert list(tmp_path.iterdir()) == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_a_place_for_its_file_a_client_certificate_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = client_pair("ann")
    credentials = Credentials(certificate=certificate, key=key)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(AuthError, match=f"kubeconfig k: .* for a moment: {tmp_path}/gone: No such file") as caught:
        ApiClient(lambda: Connection("https://a.example", "kubeconfig k", credentials))
    assert "PRIVATE KEY" not in str(caught.value)
    # Neither /tmp nor another usual place takes a file.
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(AuthError, match=f"for a moment: No usable temporary directory found in .*{tmp_path}/gone"):
        ApiClient(lambda: Connection("https://a.example", "kubeconfig k", credentials))


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ({"ca": "not PEM"}, "the CA certificate is not PEM"),
        ({"credentials": Credentials(certificate="C", key="K")}, "the client's certificate and key are not a PEM pair"),
    ],
)
def test_text_that_is_no_pem_is_named(connection: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthError, match=words):
        ApiClient(lambda: Connection("https://a.example", "kubeconfig k", **connection))


def test_a_key_with_a_passphrase_asks_nobody() -> None:
    certificate, plain = client_pair("ann")
    key = serialization.load_pem_private_key(plain.encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    ).decode()
    credentials = Credentials(certificate=certificate, key=locked)
    with pytest.raises(AuthError, match="without a passphrase"):
        ApiClient(lambda: Connection("https://a.example", "kubeconfig k", credentials))


def test_the_longest_wait_is_a_minute() -> None:
    assert client_module.LONGEST_WAIT == 60
