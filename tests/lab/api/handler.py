# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP: reads a request, lets the service answer it, and sends the answer, or what a fault makes of it."""

from __future__ import annotations

import contextlib
import gzip
import select
import socket
import struct
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from . import errors
from .exec import Exec, Session
from .faults import DENIALS, EXEC_KINDS, Fault
from .identities import ADMIN, Identity
from .paging import ContinueToken, expired_token
from .requestlog import RequestRecord
from .requests import Answer, Request
from .service import PUBLIC, Call
from .websocket import WebSocket

if TYPE_CHECKING:
    from .server import Core

_COMPRESSED_FROM = 128 * 1024  # as the real server

# Whatever the object is: larger requests aren't looked at.
LONGEST_BODY = 3 * 1024 * 1024


class Handler(BaseHTTPRequestHandler):
    """One connection. The listener has ``core``, and ``trusted`` says whether callers are admin (the Unix socket)."""

    protocol_version = "HTTP/1.1"
    server_version = "lab"
    server: Any

    @property
    def core(self) -> Core:
        core: Core = self.server.core
        return core

    def address_string(self) -> str:
        return "socket" if isinstance(self.client_address, str) else str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """The request log is ours."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "transfer-encoding" in headers:
            refusal = Answer.failure(errors.ApiError(411, "a body needs a Content-Length here"))
            # The connection ends: the unread body would pass for the next request.
            self._send(Answer(refusal.code, refusal.body, {"Connection": "close"}))
            return
        body = self.rfile.read(int(headers.get("content-length", 0)))
        try:
            request = Request.of(self.command, self.path, headers, body)
        except errors.ApiError as error:
            self._send(Answer.failure(error))
            return
        if request.target.segments[:1] == ("lab",):
            self._send(self._control(request))
        else:
            self._serve(request)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the base class's names

    def _control(self, request: Request) -> Answer:
        try:
            if self._identity(request).name != ADMIN:
                raise errors.ApiError(403, "only admin controls the lab")
            return self.core.control.answer(request)
        except errors.ApiError as error:
            return Answer.failure(error)

    def _serve(self, request: Request) -> None:
        page = _page_number(request)
        trusted = self.server.trusted
        fault = None if trusted else self.core.faults.take(request.verb, request.resource, page)
        if fault and fault.kind == "delay":
            self.core.stopping.wait(fault.seconds)
        identity: Identity | None = None
        try:
            identity = self._identity(request)
            if len(request.body) > LONGEST_BODY:
                raise errors.ApiError(413, f"Request entity too large: limit is {LONGEST_BODY}")
            answer = self._answer(request, identity, fault)
        except errors.ApiError as error:
            answer = Answer.failure(error)
        self._log(request, identity, answer, fault)
        if fault and fault.kind == "mutate":
            self._mutate(fault)
        if fault and fault.kind == "hangup":
            self._reset()
        elif fault and fault.kind == "cut" and answer.lines is None:
            self._send_half(answer)
        elif fault and fault.kind == "truncate" and answer.lines is None:
            self._send(Answer(answer.code, answer.body[: len(answer.body) // 2], answer.headers))
        elif answer.exec is not None:
            self._run(answer.exec, fault)
        elif answer.lines is not None:
            self._stream(self._counted(answer.lines), fault)
        else:
            self._send(answer)

    def _identity(self, request: Request) -> Identity:
        if self.server.trusted:
            return self.core.identities.named(ADMIN)
        authorization = request.headers.get("authorization", "")
        if not authorization and request.target.segments in PUBLIC:
            return Identity("system:anonymous", rules=())
        return self.core.identities.authenticate(authorization)

    def _answer(self, request: Request, identity: Identity, fault: Fault | None) -> Answer:
        if fault and fault.kind == "status":
            message = "Unauthorized" if fault.code == 401 else f"the lab answers {fault.code} here"
            raise errors.ApiError(fault.code, fault.message or message, retry_after=fault.retry_after)
        if fault and fault.kind == "expire":
            raise expired_token(ContinueToken.decode(request.query["continue"]))
        user = request.headers.get("impersonate-user")
        if user:
            identity = self.core.identities.impersonated(identity, user)
        stale = fault.resource_version if fault and fault.kind == "stale" else None
        denial = fault if fault and fault.kind in DENIALS else None
        trusted = self.server.trusted
        return self.core.service.answer(Call(request, identity, self._is_wanted, stale, denial, trusted))

    def _is_wanted(self) -> bool:
        """Whether a stream goes on: a client has nothing to say during one, so what can be read is its end."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return not readable and not self.core.stopping.is_set()

    def _mutate(self, fault: Fault) -> None:
        store = self.core.store
        store.load(dict(document) for document in fault.apply)
        for document in fault.remove:
            metadata = document["metadata"]
            resource = store.catalog.of(document)
            store.delete(resource.plural, metadata["name"], metadata.get("namespace", ""))

    def _log(self, request: Request, identity: Identity | None, answer: Answer, fault: Fault | None) -> None:
        if self.server.trusted:
            return
        headers = request.headers
        self.core.requests.add(
            RequestRecord(
                method=request.method,
                path=request.path,
                # A command line may have a secret in it.
                query={name: value for name, value in request.query.items() if name != "command"},
                verb=request.verb,
                resource=request.resource,
                identity=identity.name if identity else "",
                user_agent=headers.get("user-agent", ""),
                accept=headers.get("accept", ""),
                code=answer.code,
                bytes_sent=len(answer.body),
                fault=fault.kind if fault else "",
                impersonate_user=headers.get("impersonate-user", ""),
                impersonate_groups=tuple(self.headers.get_all("Impersonate-Group") or ()),
            )
        )

    def _send(self, answer: Answer) -> None:
        body, headers = self._compressed(answer)
        self._head(answer.code, {**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _compressed(self, answer: Answer) -> tuple[bytes, Mapping[str, str]]:
        wanted = "gzip" in self.headers.get("Accept-Encoding", "")
        if not wanted or len(answer.body) < _COMPRESSED_FROM:
            return answer.body, answer.headers
        return gzip.compress(answer.body, 1), {**answer.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}

    def _send_half(self, answer: Answer) -> None:
        body, headers = self._compressed(answer)
        self._head(answer.code, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body[: len(body) // 2])
        self._reset()

    def _counted(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            self.core.requests.add_streamed(len(line))
            yield line

    def _stream(self, lines: Iterator[bytes], fault: Fault | None) -> None:
        self._head(200, {"Transfer-Encoding": "chunked"})
        if fault and fault.kind == "line":
            self._send_chunk(fault.message.encode() + b"\n")
        kind = fault.kind if fault else ""
        sent = 0
        for line in lines:
            if kind in {"cut", "truncate", "end"} and fault and sent >= fault.after_bytes:
                if kind == "truncate":
                    self._send_chunk(line[: len(line) // 2])
                if kind == "cut":
                    self.wfile.write(b"%x\r\n%s" % (len(line), line[: len(line) // 2]))
                    self._reset()
                    return
                break
            self._send_chunk(line)
            sent += len(line)
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))

    def _run(self, request: Exec, fault: Fault | None) -> None:
        self.close_connection = True
        websocket = WebSocket(self.connection, self.headers.items(), self.path, request.protocol.name)
        fault = fault if fault and fault.kind in EXEC_KINDS else None
        seconds = self.core.service.features.ping_seconds
        Session(request, websocket, self.core.stopping, ping_seconds=seconds, fault=fault, cut=self._cut).run()

    def _cut(self, reset: bool) -> None:
        if reset:
            self._reset()
        else:
            # Not SSLSocket's own, which would say a proper TLS goodbye.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def _head(self, code: int, headers: Mapping[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _reset(self) -> None:
        """End the connection with a TCP reset, so that no client takes what came for the whole."""
        self.close_connection = True
        with contextlib.suppress(OSError):  # Unix sockets know no resets
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()


def _page_number(request: Request) -> int | None:
    if request.verb != "list":
        return None
    text = request.query.get("continue", "")
    if not text:
        return 1
    try:
        return ContinueToken.decode(text).page
    except errors.ApiError:
        return None
