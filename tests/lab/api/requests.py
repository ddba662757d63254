# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A request as the API understands it: which verb, on what, with which options; free of HTTP's details."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from . import errors
from .identities import Attributes

if TYPE_CHECKING:
    from .exec import Exec

_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. ``group`` None: not a resource (discovery, health, control)."""

    segments: tuple[str, ...]
    group: str | None = None
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> Target:
        segments = tuple(unquote(step) for step in path.split("/") if step)
        match segments:
            case ("api", version, *rest) if rest:
                return cls._resource(segments, "", version, rest)
            case ("apis", group, version, *rest) if rest:
                return cls._resource(segments, group, version, rest)
            case _:
                return cls(segments)

    @classmethod
    def _resource(cls, segments: tuple[str, ...], group: str, version: str, rest: list[str]) -> Target:
        namespace = ""
        # /namespaces/NAME alone (or with /status) names the namespace itself.
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
            namespace, rest = rest[1], rest[2:]
        if len(rest) > 3:
            raise errors.no_such_path()
        plural, name, subresource = [*rest, "", ""][:3]
        return cls(segments, group, version, plural, namespace, name, subresource)


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: Target
    # The query as it came: a name may be there more than once.
    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
        """``headers`` has lower-case names."""
        parts = urlsplit(url)
        pairs = tuple(parse_qsl(parts.query, keep_blank_values=True))
        return cls(method, parts.path, dict(pairs), headers, body, Target.of(parts.path), pairs)

    @property
    def verb(self) -> str:
        if self.target.group is None:
            return self.method.lower()
        if self.method == "GET":
            if self.target.name:
                return "get"
            return "watch" if self.query.get("watch") in {"true", "1"} else "list"
        if self.method == "DELETE":
            return "delete" if self.target.name else "deletecollection"
        return _WRITES.get(self.method, self.method.lower())

    @property
    def resource(self) -> str:
        target = self.target
        return f"{target.plural}/{target.subresource}" if target.subresource else target.plural

    @property
    def asks_for_websocket(self) -> bool:
        tokens = {token.strip().lower() for token in self.headers.get("connection", "").split(",")}
        return self.headers.get("upgrade", "").lower() == "websocket" and "upgrade" in tokens

    @property
    def websocket_protocols(self) -> list[str]:
        """The subprotocols that a WebSocket client offers, in its order."""
        offered = self.headers.get("sec-websocket-protocol", "")
        return [name.strip() for name in offered.split(",") if name.strip()]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "application/json").split(";")[0].strip()

    def attributes(self) -> Attributes:
        target = self.target
        return Attributes(self.verb, target.group or "", self.resource, target.namespace, target.name)

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise errors.bad_request(f"the body is not JSON: {error}") from error

    def document(self) -> dict[str, Any]:
        if self.content_type not in {"application/json", "text/plain"}:
            raise errors.ApiError(415, f"the media type {self.content_type!r} is not supported")
        document = self.json()
        if not isinstance(document, dict):
            raise errors.bad_request("the body is not an object")
        return document


@dataclass(frozen=True, slots=True)
class Answer:
    """``lines`` instead of ``body``: a stream, which ends when the iterator does.

    ``exec``: the connection becomes a WebSocket for it.
    """

    code: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: Iterator[bytes] | None = None
    exec: Exec | None = None

    @classmethod
    def of(cls, code: int, document: Any) -> Answer:
        return cls(code, json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())

    @classmethod
    def failure(cls, error: errors.ApiError) -> Answer:
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        return cls(error.code, cls.of(error.code, error.status()).body, headers)
