# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP to one API server: TLS, proxy and headers from a connection, and failures in words.

It stands straight on urllib3, as the ``kubernetes`` package does: urllib3 is all that would be used of that package,
whose own interface to it changes from version to version.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from .connection import AuthError, Connection, without

try:
    import urllib3

    # Its public name came with urllib3 2; the `kubernetes` package allowed 1.26 until lately.
    from urllib3._collections import HTTPHeaderDict
    from urllib3.exceptions import (
        ConnectTimeoutError,
        HTTPError,
        InsecureRequestWarning,
        NewConnectionError,
        ReadTimeoutError,
    )
    from urllib3.util.ssl_ import create_urllib3_context
except ImportError as error:  # said by the action that reads an API: manifests can do without
    URLLIB3_ERROR: ImportError | None = error
else:
    URLLIB3_ERROR = None

USER_AGENT = "ansible-npm.netpol"

_TLS_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
# How a connection ends that was open before, as opposed to one that never was.
_CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, *_TLS_CUT)
_SWITCHING_PROTOCOLS = 101
_OK = 200
_PIECE = 65536
_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES)


def patience(connect: float, read: float) -> urllib3.Timeout:
    """How long to wait for a connection, and then for each part of an answer; in seconds."""
    return urllib3.Timeout(connect=connect, read=read)


class TransportError(Exception):
    """No answer, or not a whole one. ``transient``: it may be there later.

    ``stale``: the connection was kept from an earlier request, and the server may have given it up meanwhile.
    """

    def __init__(self, reason: str, *, transient: bool, stale: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that speaks another protocol from here on, taken away from urllib3's pool."""

    headers: Mapping[str, str]
    socket: socket.socket
    # What the server has said already.
    received: bytes
    _response: Any

    @classmethod
    def of(cls, response: Any) -> Upgraded:
        own: socket.socket = response.connection.sock
        own.setblocking(False)
        try:
            # http.client reads through a buffer: what came along with the headers is in it.
            received = bytes(response._fp.fp.peek())
        except (BlockingIOError, ssl.SSLWantReadError):
            received = b""
        return cls(response.headers, own, received, response)

    def close(self) -> None:
        self._response.close()
        self.socket.close()


class Lines:
    """An answer that comes line by line for as long as the server has something to say."""

    def __init__(self, response: Any, in_words: Callable[[BaseException], str]) -> None:
        self._response = response
        self._in_words = in_words

    def __iter__(self) -> Iterator[bytes]:
        """The lines as they arrive, without their ends.

        Raises :class:`TransportError`, also when the answer ends in the middle of a line.
        """
        rest = b""
        try:
            for piece in self._response.stream(_PIECE):
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
        except (HTTPError, OSError) as error:
            raise TransportError(self._in_words(error), transient=True) from error
        if rest:
            raise TransportError("the connection broke off in the middle of a line", transient=True)

    def close(self) -> None:
        """Hang up: what the server has yet to say is of no interest."""
        self._response.close()


class Transport:
    """An open way to the server of ``connection``; one connection is kept alive."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._headers = _headers(connection)
        self._pool = _pool(connection)
        # Whether the last request has left its connection to the next.
        self._kept = False

    def request(
        self, method: str, target: str, timeout: urllib3.Timeout, body: bytes | None = None
    ) -> urllib3.BaseHTTPResponse:
        """The answer, read whole. ``target`` is path and query, ``body`` JSON.

        Raises :class:`TransportError`.
        """
        headers = self._headers
        if body is not None:
            headers = headers.copy()
            headers["Content-Type"] = "application/json"
        return self._open(method, target, timeout, headers, body=body)

    def lines(self, target: str, timeout: urllib3.Timeout) -> urllib3.BaseHTTPResponse | Lines:
        """Ask for an answer that goes on, on a connection of its own.

        What is no success is read whole. Raises :class:`TransportError`.
        """
        response = self._open("GET", target, timeout, self._headers, preload_content=False)
        if response.status == _OK:
            self._kept = False
            return Lines(response, partial(self._in_words, timeout=timeout))
        try:
            response.read(cache_content=True)
        except (HTTPError, OSError) as error:
            raise TransportError(self._in_words(error, timeout), transient=True) from error
        return response

    def upgrade(
        self, target: str, timeout: urllib3.Timeout, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse | Upgraded:
        """Ask for another protocol on the connection: it is ours alone if the server agrees (101).

        Any other answer is read whole. Raises :class:`TransportError`.
        """
        if urlsplit(self._connection.proxy).scheme == "https":
            # TLS inside TLS: urllib3's socket for that cannot wait for reading and writing at once.
            raise AuthError("a proxy that is itself reached over https can carry requests, but no command: use http")
        together = self._headers.copy()
        together.update(headers)
        response = self._open("GET", target, timeout, together, preload_content=False)
        try:
            if response.status != _SWITCHING_PROTOCOLS:
                response.read(cache_content=True)
                return response
            self._kept = False
            return Upgraded.of(response)
        except (HTTPError, OSError) as error:
            raise TransportError(self._in_words(error, timeout), transient=True) from error

    def _open(
        self, method: str, target: str, timeout: urllib3.Timeout, headers: HTTPHeaderDict, **more: Any
    ) -> urllib3.BaseHTTPResponse:
        url = f"{self._connection.host}{target}"
        was_kept, self._kept = self._kept, False
        try:
            response = self._pool.request(
                method, url, headers=headers, timeout=timeout, retries=False, redirect=False, **more
            )
        except (HTTPError, OSError) as error:
            stale = was_kept and any(isinstance(cause, _CUT) for cause in _causes(error))
            words = self._in_words(error, timeout)
            raise TransportError(words, transient=not _is_final(error), stale=stale) from error
        self._kept = True
        return response

    def close(self) -> None:
        self._pool.clear()

    def without_secrets(self, text: str) -> str:
        """``text`` with our own credentials blotted out, should a server repeat them."""
        credentials = self._connection.credentials
        return without((credentials.token, credentials.password), text)

    def _in_words(self, error: BaseException, timeout: urllib3.Timeout) -> str:
        causes = list(_causes(error))
        through = " through the proxy" if self._connection.proxy else ""
        for recognise in (_tls_words, _connect_words, _time_words, _cut_words):
            words = next(filter(None, (recognise(cause, self._connection, timeout) for cause in causes)), "")
            if words:
                return f"{words}{through}"
        return f"no answer{through}: {self.without_secrets(str(causes[-1]))}"


def _tls_words(cause: BaseException, connection: Connection, _timeout: urllib3.Timeout) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        authority = "the given CA" if connection.ca else "the system's CAs, as none is given"
        return f"the server's certificate is not trusted: {cause.verify_message} (checked against {authority})"
    # urllib3 1.26 compares the names itself, and has an exception of its own for it.
    if type(cause).__name__ == "CertificateError":
        return f"the server's certificate is not trusted: {cause}"
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_CUT):
        return f"TLS failed: {cause.reason or cause}"
    return ""


def _connect_words(cause: BaseException, _connection: Connection, _timeout: urllib3.Timeout) -> str:
    if isinstance(cause, socket.gaierror):
        return f"the name cannot be resolved: {cause.strerror}"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
        return f"unreachable: {os.strerror(cause.errno or 0)}"
    return ""


def _time_words(cause: BaseException, _connection: Connection, timeout: urllib3.Timeout) -> str:
    # A NewConnectionError is a ConnectTimeoutError too, by inheritance only.
    if isinstance(cause, ConnectTimeoutError) and not isinstance(cause, NewConnectionError):
        return f"no connection within {timeout.connect_timeout:g} s"
    if isinstance(cause, ReadTimeoutError):
        return f"no answer within {timeout.read_timeout:g} s"
    return ""


def _cut_words(cause: BaseException, _connection: Connection, _timeout: urllib3.Timeout) -> str:
    cut = isinstance(cause, (ConnectionError, IncompleteRead, *_TLS_CUT))
    return "the connection broke off before the answer was complete" if cut else ""


def _is_final(error: BaseException) -> bool:
    """Whether trying again is of no use: who the server is will not change."""
    return any(
        type(cause).__name__ == "CertificateError"
        or (isinstance(cause, ssl.SSLError) and not isinstance(cause, _TLS_CUT) and not isinstance(cause, TimeoutError))
        for cause in _causes(error)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _headers(connection: Connection) -> HTTPHeaderDict:
    headers = HTTPHeaderDict({"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT})
    credentials, impersonation = connection.credentials, connection.impersonation
    if credentials.token:
        _add(headers, "Authorization", f"Bearer {credentials.token}")
    elif credentials.username:
        _add(headers, "Authorization", _basic(credentials.username, credentials.password))
    if impersonation.user:
        _add(headers, "Impersonate-User", impersonation.user)
    if impersonation.uid:
        _add(headers, "Impersonate-Uid", impersonation.uid)
    for group in impersonation.groups:
        _add(headers, "Impersonate-Group", group)
    for key, values in sorted(impersonation.extra.items()):
        for value in values:
            _add(headers, f"Impersonate-Extra-{quote(key.lower(), safe='')}", value)
    return headers


def _add(headers: HTTPHeaderDict, name: str, value: str) -> None:
    if any(character in value for character in "\r\n\0"):
        raise AuthError(f"the header {name} would hold a line break: see the option that it is from")
    # Header bytes are UTF-8 to Kubernetes, and http.client writes Latin-1.
    headers.add(name, value.encode().decode("latin-1"))


def _basic(username: str, password: str) -> str:
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def _pool(connection: Connection) -> urllib3.PoolManager:
    if not connection.verify:
        urllib3.disable_warnings(InsecureRequestWarning)
    options: dict[str, Any] = {"num_pools": 1, "maxsize": 1}
    if connection.host.startswith("https:"):
        options["ssl_context"] = _tls(connection)
        options["cert_reqs"] = "CERT_REQUIRED" if connection.verify else "CERT_NONE"
        if connection.server_name:
            options["server_hostname"] = connection.server_name
            options["assert_hostname"] = connection.server_name
        if not connection.verify:
            options["assert_hostname"] = False
    if not connection.proxy:
        return urllib3.PoolManager(**options)
    parts = urlsplit(connection.proxy)
    headers = {name.title(): value for name, value in _proxy_headers(connection).items()}
    if parts.username and "Proxy-Authorization" not in headers:
        headers["Proxy-Authorization"] = _basic(unquote(parts.username), unquote(parts.password or ""))
    proxy_url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return urllib3.ProxyManager(proxy_url, proxy_headers=headers, **options)


def _proxy_headers(connection: Connection) -> dict[str, str]:
    given = connection.proxy_headers
    headers: dict[str, str] = {}
    for option, name in (("proxy_basic_auth", "Proxy-Authorization"), ("basic_auth", "Authorization")):
        if given.get(option):
            user, _colon, password = given[option].partition(":")
            headers[name] = _basic(user, password)
    if given.get("user_agent"):
        headers["User-Agent"] = given["user_agent"]
    return headers


def _tls(connection: Connection) -> ssl.SSLContext:
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if connection.verify else ssl.CERT_NONE)
    # As Kubernetes' own clients: the authorities of clusters lack extensions that Python 3.13 insists on, and one
    # below a root may be the trusted one.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if connection.ca:
        try:
            context.load_verify_locations(cadata=connection.ca)
        except (ssl.SSLError, ValueError) as error:
            raise AuthError(f"{connection.source}: the CA certificate is not PEM text of a certificate") from error
    elif connection.verify:
        context.load_default_certs()
    if connection.credentials.certificate:
        _load_certificate(context, connection)
    return context


def _load_certificate(context: ssl.SSLContext, connection: Connection) -> None:
    # OpenSSL reads the pair from files only: they are gone before anything is sent.
    try:
        with tempfile.TemporaryDirectory(prefix="npm-netpol-") as directory:
            certificate, key = Path(directory) / "certificate", Path(directory) / "key"
            for path, text in ((certificate, connection.credentials.certificate), (key, connection.credentials.key)):
                path.touch(mode=0o600)
                path.write_text(text, encoding="utf-8")
            context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        words = "are not a PEM pair that belongs together, without a passphrase"
        raise AuthError(f"{connection.source}: the client's certificate and key {words}") from error
    except OSError as error:
        raise AuthError(
            f"{connection.source}: the client's certificate and key cannot be put into a file for a moment: "
            f"{_no_temporary_file(error)}"
        ) from error


def _no_temporary_file(error: OSError) -> str:
    """Why there is none, with the directory."""
    # Without any usable directory there is none to name: Python's own words list those that it tried.
    return f"{tempfile.tempdir}: {error.strerror}" if tempfile.tempdir else str(error.strerror)


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal."""
    return ""
