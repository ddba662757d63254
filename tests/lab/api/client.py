# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small client of the lab's API server, for the lab itself and for tests that control a server in another process."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .errors import ApiError
from .faults import Fault
from .identities import Identity
from .patches import MERGE_PATCH
from .records import Object
from .resources import RESOURCES, Resource

_TIMEOUT_SECONDS = 60
_OBJECTS_A_REQUEST = 500
_Objects = list[Object]


class Client:
    """One connection a request. Methods raise ApiError with the server's code, OSError when it can't be reached."""

    def __init__(self, connect: Callable[[], http.client.HTTPConnection], headers: Mapping[str, str]) -> None:
        self._connect = connect
        self._headers = {"Accept": "application/json", "User-Agent": "lab-client", **headers}

    @classmethod
    def unix(cls, path: Path) -> Client:
        """Through the server's Unix socket: as admin, without faults, from any network namespace."""
        return cls(lambda: _UnixConnection(path), {})

    @classmethod
    def http(cls, url: str, token: str, ca_file: Path | None = None) -> Client:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port

        def connect() -> http.client.HTTPConnection:
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=ca_file)
                return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=context)
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)

        return cls(connect, {"Authorization": f"Bearer {token}"})

    # Objects; a resource is named by its plural

    def get(self, resource: str, name: str, namespace: str = "") -> Object:
        return self._object("GET", _path(_by_plural(resource), namespace, name))

    def list(self, resource: str, namespace: str = "") -> _Objects:
        items: _Objects = self.request("GET", _path(_by_plural(resource), namespace))["items"]
        return items

    def create(self, document: Object) -> Object:
        resource, namespace, _ = _place(document)
        return self._object("POST", _path(resource, namespace), document)

    def replace(self, document: Object) -> Object:
        return self._object("PUT", _path(*_place(document)), document)

    def apply(self, document: Object) -> Object:
        """Create it, or replace the one that exists, whatever its version and UID are."""
        try:
            return self.create(document)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        metadata = {name: value for name, value in document["metadata"].items() if name not in _SERVERS_OWN}
        return self.replace(document | {"metadata": metadata})

    def patch(self, resource: str, name: str, namespace: str, change: Any, content_type: str = MERGE_PATCH) -> Object:
        return self._object("PATCH", _path(_by_plural(resource), namespace, name), change, content_type)

    def delete(self, document: Object, grace_seconds: int | None = None) -> None:
        query = "" if grace_seconds is None else f"?gracePeriodSeconds={grace_seconds}"
        self.request("DELETE", _path(*_place(document)) + query)

    def load(self, documents: Iterable[Object]) -> int:
        """Store many objects as they are; returns how many."""
        count = 0
        for batch in _batches(documents):
            body = b"\n".join(json.dumps(document).encode() for document in batch)
            count += self.request("POST", "/lab/objects", body)["loaded"]
        return count

    # Control

    def add_fault(self, fault: Fault) -> int:
        number: int = self.request("POST", "/lab/faults", fault.to_json())["id"]
        return number

    def faults(self) -> _Objects:
        active: _Objects = self.request("GET", "/lab/faults")
        return active

    def clear_faults(self) -> None:
        self.request("DELETE", "/lab/faults")

    def requests(self) -> _Objects:
        records: _Objects = self.request("GET", "/lab/requests")
        return records

    def clear_requests(self) -> None:
        self.request("DELETE", "/lab/requests")

    def add_identity(self, identity: Identity) -> None:
        self.request("POST", "/lab/identities", identity.to_json())

    def settings(self, **settings: Any) -> None:
        self.request("PUT", "/lab/settings", settings)

    def evict(self, namespace: str, name: str, message: str = "") -> None:
        """The node's kubelet evicts a pod that a client created."""
        self.request("POST", "/lab/evict", {"namespace": namespace, "name": name, "message": message})

    def compact(self) -> None:
        self.request("POST", "/lab/compact")

    # Plumbing

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The answer's JSON. ``body``: bytes as they are, else anything that JSON knows."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = self._connect()
        try:
            connection.request(method, path, data, self._headers | {"Content-Type": content_type})
            answer = connection.getresponse()
            document = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise ApiError(answer.status, document["message"], reason=document.get("reason"))
        return document

    def _object(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        document: Object = self.request(method, path, body, content_type)
        return document


_SERVERS_OWN = frozenset({"resourceVersion", "uid"})


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


def _by_plural(plural: str) -> Resource:
    return next(resource for resource in RESOURCES if resource.plural == plural)


def _place(document: Object) -> tuple[Resource, str, str]:
    """Resource, namespace and name of an object."""
    wanted = (document["apiVersion"], document["kind"])
    resource = next((each for each in RESOURCES if (each.api_version, each.kind) == wanted), None)
    if resource is None:
        raise ValueError(f"the lab's API has no resource for apiVersion {wanted[0]!r}, kind {wanted[1]!r}")
    metadata = document["metadata"]
    namespace = metadata.get("namespace", "default") if resource.namespaced else ""
    return resource, namespace, metadata.get("name", "")


def _path(resource: Resource, namespace: str = "", name: str = "") -> str:
    steps = ["apis" if resource.group else "api", resource.api_version]
    steps += ["namespaces", quote(namespace)] if namespace else []
    steps += [resource.plural] + ([quote(name)] if name else [])
    return "/" + "/".join(steps)


def _batches(documents: Iterable[Object]) -> Iterator[list[Object]]:
    batch: list[Object] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _OBJECTS_A_REQUEST:
            yield batch
            batch = []
    if batch:
        yield batch
