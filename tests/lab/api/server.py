# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server: listens on TCP (plain or TLS) and on a Unix socket, and writes what clients need into its directory."""

from __future__ import annotations

import json
import os
import secrets
import socket
import socketserver
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import yaml

from .control import Control
from .faults import Faults
from .features import Features
from .handler import Handler
from .identities import ADMIN, Identities, Identity
from .requestlog import RequestLog
from .service import Service
from .store import Store
from .tls import Certificates

if TYPE_CHECKING:
    from lab.kubelet.pods import Kubelets

_HANDSHAKE_SECONDS = 10
_POLL_SECONDS = 0.05


@dataclass(slots=True)
class Core:
    """What all connections share."""

    store: Store
    identities: Identities
    service: Service
    faults: Faults = field(default_factory=Faults)
    requests: RequestLog = field(default_factory=RequestLog)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def control(self) -> Control:
        service = self.service
        return Control(self.store, self.faults, self.identities, self.requests, service.features, service.kubelets)


class ApiServer:
    """A server in threads of this process; a context manager.

    ``state_dir``: where its files go; None: a temporary directory that goes with the server. ``hosts``: more names and
    addresses for the certificate. ``identities``: beside ``admin``, which may do everything. ``store``: default: a new
    one.
    """

    def __init__(
        self,
        *,
        state_dir: Path | None = None,
        bind: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        hosts: Iterable[str] = (),
        identities: Iterable[Identity] = (),
        store: Store | None = None,
        bookmark_seconds: float = 5.0,
    ) -> None:
        store = store or Store()
        self.token = secrets.token_urlsafe(24)
        admin = Identity(ADMIN, self.token, groups=("system:masters",))
        service = Service(store, bookmark_seconds, Features())
        self._core = Core(store, Identities((admin, *identities)), service)
        self._address = (bind, port)
        self._tls = tls
        self._hosts = tuple(hosts)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if state_dir is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="lab-api-")
            state_dir = Path(self._temporary.name)
        self.directory = state_dir
        self._listeners: list[_Listener] = []

    @property
    def store(self) -> Store:
        return self._core.store

    @property
    def faults(self) -> Faults:
        return self._core.faults

    @property
    def identities(self) -> Identities:
        return self._core.identities

    @property
    def requests(self) -> RequestLog:
        return self._core.requests

    @property
    def features(self) -> Features:
        return self._core.service.features

    @property
    def kubelets(self) -> Kubelets | None:
        return self._core.service.kubelets

    def run_pods(self, kubelets: Kubelets) -> None:
        """From now on, those run what clients create; before, pods stay as they are written."""
        self._core.service.kubelets = kubelets

    def start(self) -> ApiServer:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        (self.directory / "ready").unlink(missing_ok=True)
        bind = self._address[0]
        certificates = Certificates([*self._hosts, bind], self.directory) if self._tls else None
        network = _TcpListener(self._address, self._core, certificates)
        self._listeners = [network, _UnixListener(self.socket_file, self._core)]
        host, port = network.server_address[:2]
        self._address = (str(host), int(port))
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        _write_private(self.directory / "token", self.token)
        _write_private(self.directory / "kubeconfig", self.kubeconfig(ADMIN))
        _write_private(self.directory / "ready", json.dumps({"url": self.url, "pid": os.getpid()}))
        return self

    def stop(self) -> None:
        """Ends every connection, and removes ``ready`` and the socket, or the whole temporary directory."""
        self._core.stopping.set()
        self._core.store.wake()
        if self.kubelets is not None:
            self.kubelets.stop()
        for listener in self._listeners:
            listener.stop()
        self._listeners = []
        for name in ("ready", "socket"):
            (self.directory / name).unlink(missing_ok=True)
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> ApiServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        host, port = self._address
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def ca_file(self) -> Path | None:
        return self.directory / "ca.crt" if self._tls else None

    @property
    def socket_file(self) -> Path:
        return self.directory / "socket"

    def kubeconfig(self, identity: str = ADMIN) -> str:
        """The text of a kubeconfig for this identity."""
        cluster = {"server": self.url} | ({"certificate-authority": str(self.ca_file)} if self._tls else {})
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": identity, "user": {"token": self._core.identities.named(identity).token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": identity}}],
            "current-context": "lab",
        }
        return yaml.safe_dump(config, sort_keys=False)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One socket that connections come from; each is served in a thread of its own."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    trusted = False

    def __init__(self, address: Any, core: Core, handler: type[Handler]) -> None:
        self.core = core
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away or refuse our certificate are no errors of ours; all else is printed."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError | ssl.SSLError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        with self._connections_lock:
            for connection in self._connections:
                try:
                    # Not SSLSocket's own shutdown: that would take the TLS object from under its thread.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    continue  # closed already


class _TcpHandler(Handler):
    disable_nagle_algorithm = True


class _TcpListener(_Listener):
    def __init__(self, address: tuple[str, int], core: Core, certificates: Certificates | None) -> None:
        self._certificates = certificates
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, core, _TcpHandler)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._certificates is None:
            return connection, address
        context = self._certificates.context(self.core.faults.take_certificate())
        # The handshake belongs to the connection's thread: a silent client must not keep others waiting.
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.settimeout(_HANDSHAKE_SECONDS)
            request.do_handshake()
            request.settimeout(None)
        super().finish_request(request, client_address)


class _UnixListener(_Listener):
    """Whoever may open the socket (its directory is 0700) is admin."""

    address_family = socket.AF_UNIX
    trusted = True

    def __init__(self, path: Path, core: Core) -> None:
        path.unlink(missing_ok=True)
        super().__init__(str(path), core, Handler)


def _write_private(path: Path, text: str) -> None:
    """Atomically: whoever sees the file sees all of it."""
    draft = path.with_name(f".{path.name}.new")
    draft.touch(0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
