# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests to a Kubernetes API, with patience for what passes and words for what does not."""

from __future__ import annotations

import email.utils
import itertools
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from . import json_text, transport
from .connection import AuthError, Connection
from .transport import Upgraded

_T = TypeVar("_T")

# However long a server asks us to wait, somebody waits for the run.
LONGEST_WAIT = 60.0

_CONNECT_TIMEOUT = 10.0
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 8.0
_LONGEST_REASON = 500

_DONE = frozenset({200, 201, 202})
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_NOT_FOUND = 404
_GONE = 410
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_HINTS: Mapping[int, str] = {
    _UNAUTHORIZED: "the API does not accept the credentials from {source}",
    _FORBIDDEN: "the collection's docs/rbac.yaml has the rights that are needed",
}


class ApiError(Exception):
    """A request that failed: what was asked, of which host, and why in words.

    ``status`` is the HTTP status, 0 without an answer. ``transient``: the same request may well succeed later,
    after ``retry_after`` seconds if the server said so. ``message`` is what the API itself said, if anything.
    """

    def __init__(
        self,
        where: str,
        reason: str,
        *,
        status: int = 0,
        message: str = "",
        transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.status = status
        self.message = message
        self.transient = transient
        self.retry_after = retry_after

    @property
    def expired(self) -> bool:
        """The continue token of a list, or the resourceVersion of a watch, is too old."""
        return self.status == _GONE


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of an answer that goes on; iterating raises :class:`ApiError` when it ends before its time."""

    where: str
    _answer: transport.Lines

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._answer
        except transport.TransportError as error:
            raise ApiError(self.where, str(error), transient=error.transient) from error

    def close(self) -> None:
        self._answer.close()


class ApiClient:
    """Talks to one API server. ``requests`` counts what was sent, retries included.

    What reads a cluster calls :meth:`get` and :meth:`lines` alone; the others are for objects of our own: helper pods
    and the ConfigMaps of a state.

    ``connect`` gives the connection, and is asked again when renewable credentials are refused. ``retries`` is how
    often a request that failed in passing (429, 5xx, a broken connection, an answer that was cut) is sent again;
    ``timeout`` is in seconds, for one wait on the network. ``tell`` hears of each retry. Raises :class:`AuthError`.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        retries: int = 4,
        timeout: float = 30.0,
        tell: Callable[[str], None] = lambda message: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connect = connect
        self._retries = retries
        self._timeout = timeout
        self._tell = tell
        self._sleep = sleep
        self.requests = 0
        self.connection = connect()
        self._transport = transport.Transport(self.connection)

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def get(self, path: str, query: Iterable[tuple[str, str]] = (), *, retries: int | None = None) -> Any:
        """The JSON value at ``path``. ``retries``: those of the client unless others are given.

        Raises :class:`ApiError`, without the credentials in it.
        """
        return self._patiently(_target(path, query), lambda target: self._send("GET", target), retries)

    def create(self, path: str, item: Mapping[str, Any]) -> Any:
        """Add an object to the list at ``path`` and return it as the API keeps it.

        A request that is sent again may find its own work: with a name in it that is an :class:`ApiError` of status
        409, never a second object.
        """
        body = json.dumps(item).encode()
        return self._patiently(path, lambda target: self._send("POST", target, body))

    def replace(self, path: str, item: Mapping[str, Any]) -> Any:
        """Put an object in the place of the one at ``path`` and return it as the API keeps it.

        With a resourceVersion in it, only in the place of that version; otherwise that is an :class:`ApiError` of
        status 409, which a request that is sent again may meet for its own work.
        """
        body = json.dumps(item).encode()
        return self._patiently(path, lambda target: self._send("PUT", target, body))

    def delete(self, path: str, query: Iterable[tuple[str, str]] = ()) -> None:
        """Remove the object at ``path``; one that is not there is no error."""
        try:
            self._patiently(_target(path, query), lambda target: self._send("DELETE", target))
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise

    def lines(self, path: str, query: Iterable[tuple[str, str]], seconds: float) -> Lines:
        """An answer that goes on for ``seconds`` (a watch), on a connection of its own; others may be open beside it.

        Opening it is tried again as every request is; what goes wrong afterwards is the reader's matter. A server
        that says nothing may take that much longer for it. Raises :class:`ApiError`.
        """
        return self._patiently(_target(path, query), lambda target: self._lines(target, self._patience(seconds)))

    def upgrade(self, path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Upgraded:
        """A connection of one's own to ``path`` that speaks the protocol which ``headers`` ask for.

        It is not tried again: what went wrong may need more than that. Only a connection that was kept from an earlier
        request, and broke before any answer, is replaced by a fresh one: servers give up what is quiet.
        """
        return self._patiently(_target(path, query), lambda target: self._upgrade(target, headers), retries=0)

    def _patiently(self, target: str, send: Callable[[str], _T], retries: int | None = None) -> _T:
        retries = self._retries if retries is None else retries
        may_renew = self.connection.credentials.renewable
        for attempt in itertools.count():
            try:
                return send(target)
            except ApiError as error:
                if error.status == _UNAUTHORIZED and may_renew:
                    may_renew = False
                    self._renew(error.where)
                    continue
                if not error.transient:
                    raise
                if attempt >= retries:
                    tries = f" (tried {attempt + 1} times)" if attempt else ""
                    last = ApiError(
                        error.where,
                        error.reason + tries,
                        status=error.status,
                        message=error.message,
                        transient=error.transient,
                    )
                    raise last from error
                pause = _pause(attempt, error.retry_after)
                self._tell(f"{error}; retry {attempt + 1} of {retries} in {pause:.1f} s")
                self._sleep(pause)
        raise AssertionError  # itertools.count() does not end

    def _send(self, method: str, target: str, body: bytes | None = None) -> Any:
        where = self._where(method, target)
        self.requests += 1
        try:
            response = self._transport.request(method, target, self._patience(), body)
        except transport.TransportError as error:
            raise ApiError(where, str(error), transient=error.transient) from error
        if response.status not in _DONE:
            raise self._refusal(where, response)
        try:
            return json_text.read(response.data)
        except ValueError as error:
            kind = response.headers.get("Content-Type", "an unknown type").partition(";")[0]
            if kind != "application/json":
                reason = f"answered with {kind} instead of JSON: is this a Kubernetes API, or a proxy's page?"
                raise ApiError(where, reason, status=response.status) from error
            reason = f"the answer is not complete JSON ({len(response.data)} bytes: {error})"
            raise ApiError(where, reason, status=response.status, transient=True) from error

    def _lines(self, target: str, timeout: Any) -> Lines:
        where = self._where("GET", target)
        self.requests += 1
        try:
            answer = self._transport.lines(target, timeout)
        except transport.TransportError as error:
            raise ApiError(where, str(error), transient=error.transient) from error
        if isinstance(answer, transport.Lines):
            return Lines(where, answer)
        raise self._refusal(where, answer)

    def _upgrade(self, target: str, headers: Mapping[str, str]) -> Upgraded:
        where = self._where("GET", target)
        while True:
            self.requests += 1
            try:
                answer = self._transport.upgrade(target, self._patience(), headers)
                break
            except transport.TransportError as error:
                # The next one is fresh, so that this is said at most once.
                if not error.stale:
                    raise ApiError(where, str(error), transient=error.transient) from error
        if isinstance(answer, Upgraded):
            return answer
        raise self._refusal(where, answer)

    def _patience(self, silence: float = 0) -> Any:
        """The timeouts of a request whose answer may hold ``silence``, in seconds."""
        return transport.patience(min(self._timeout, _CONNECT_TIMEOUT), self._timeout + silence)

    def _where(self, method: str, target: str) -> str:
        return f"{method} {self.connection.host}{target.partition('?')[0]}"

    def _refusal(self, where: str, response: Any) -> ApiError:
        words = [f"{response.status} {response.reason or ''}".strip()]
        # In this order: a secret that is cut in two is found by nobody, but by who reads its half.
        message = _in_short(self._transport.without_secrets(_status_message(response.data)))
        if message:
            words.append(message)
        hint = _HINTS.get(response.status, "").format(source=self.connection.source)
        if hint:
            words.append(f"({hint})")
        return ApiError(
            where,
            f"{words[0]}: {' '.join(words[1:])}" if words[1:] else words[0],
            status=response.status,
            message=message,
            transient=response.status in _TRANSIENT,
            retry_after=_seconds(response.headers.get("Retry-After")),
        )

    def _renew(self, where: str) -> None:
        """Fresh credentials: a plugin's or a service account's token may have run out since we read it."""
        try:
            self.connection = self._connect()
        except AuthError as error:
            raise ApiError(where, f"401, and no new credentials: {error}", status=_UNAUTHORIZED) from error
        self._transport.close()
        self._transport = transport.Transport(self.connection)


def _target(path: str, query: Iterable[tuple[str, str]]) -> str:
    parameters = urlencode(list(query))
    return f"{path}?{parameters}" if parameters else path


def _status_message(body: bytes) -> str:
    """The message of a Status object; whatever else a proxy may answer is nothing to quote."""
    try:
        status = json_text.read(body)
    except ValueError:
        return ""
    message = status.get("message") if isinstance(status, dict) else None
    return message if isinstance(message, str) else ""


def _in_short(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"


def _pause(attempt: int, retry_after: float | None) -> float:
    """In seconds: what the server asks for at the least, and longer the more often it has failed.

    A server that says the same each time, or names a moment that is past by our clock, is not asked in haste.
    """
    backoff = min(_FIRST_BACKOFF * 2.0**attempt, _LONGEST_BACKOFF)
    # Spread out, so that many runners that one outage has hit do not come back as one.
    spread = random.uniform(1, 1.25)  # noqa: S311 (nothing secret depends on it)
    return min(max(retry_after or 0, backoff) * spread, LONGEST_WAIT)


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After``, which is seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except (TypeError, ValueError):
        return None
    return max(0.0, moment.timestamp() - time.time())
