# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small HTTP proxy for CONNECT, for tests of proxy options: passes bytes on and remembers who asked for what."""

from __future__ import annotations

import contextlib
import selectors
import socket
import socketserver
import threading
from types import TracebackType
from typing import Any

_CONNECT_SECONDS = 10
_POLL_SECONDS = 0.1
_BLOCK = 65536


class ConnectProxy:
    """In threads of this process; a context manager. ``targets``: ``host:port`` of every tunnel, in order.

    ``authorization``: the value of Proxy-Authorization that it insists on, with 407 for any other.
    """

    def __init__(self, bind: str = "127.0.0.1", authorization: str | None = None) -> None:
        self.targets: list[str] = []
        self.authorization = authorization
        self._server = _Server((bind, 0), _Tunnel)
        self._server.proxy = self

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> ConnectProxy:
        threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    proxy: ConnectProxy

    def __init__(self, address: tuple[str, int], handler: type[socketserver.BaseRequestHandler]) -> None:
        self.stopping = threading.Event()
        super().__init__(address, handler)


class _Tunnel(socketserver.StreamRequestHandler):
    server: Any
    rbufsize = 0  # what follows the head belongs to the tunnel

    def handle(self) -> None:
        method, target, headers = self._head()
        proxy = self.server.proxy
        if method != "CONNECT":
            self._answer("405 Method Not Allowed")
        elif proxy.authorization not in {None, headers.get("proxy-authorization")}:
            self._answer("407 Proxy Authentication Required")
        else:
            proxy.targets.append(target)
            host, _, port = target.rpartition(":")
            try:
                upstream = socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS)
            except OSError:
                self._answer("502 Bad Gateway")
                return
            with upstream:
                upstream.settimeout(None)
                self._answer("200 Connection established")
                self._pass_on(upstream)

    def _head(self) -> tuple[str, str, dict[str, str]]:
        method, target, *_ = [*self.rfile.readline().decode("latin-1").split(), "", ""]
        headers = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return method, target, headers

    def _answer(self, status: str) -> None:
        self.wfile.write(f"HTTP/1.1 {status}\r\n\r\n".encode())

    def _pass_on(self, upstream: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, contextlib.suppress(ConnectionError):
            selector.register(self.connection, selectors.EVENT_READ, (self.connection, upstream))
            selector.register(upstream, selectors.EVENT_READ, (upstream, self.connection))
            while not self.server.stopping.is_set():
                for key, _ in selector.select(_POLL_SECONDS):
                    source, target = key.data
                    data = source.recv(_BLOCK)
                    if not data:
                        return
                    target.sendall(data)
