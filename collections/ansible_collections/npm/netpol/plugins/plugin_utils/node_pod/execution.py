# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One command on a node: an exec into the helper pod, from the handshake to the word that ends both outputs.

Until the program on the node has said that it is ready, nothing of the command is sent, and whatever goes wrong can be
tried again. Afterwards nothing is: a connection that is lost may have run the command or not. The server's own status
is no proof of an end, since a cut behind it can reach us as a success; only our word is.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..cluster.client import ApiClient, ApiError
from . import program, websocket
from .channels import PROTOCOLS, STATUS, STDERR, STDIN, STDOUT, Channels, LostError, Patience
from .errors import NodePodError, NotStartedError

# After the server's status, what is left of the outputs is on its way.
_GRACE = 10.0
_LONGEST_COMPLAINT = 2000
_FORBIDDEN = 403
_POD_HAS_ENDED = (400, 404, 409)
# As a shell and runtimes give the signals by which a pod is ended: SIGKILL, SIGTERM.
_SIGNALLED = ("137", "143")
# Who answers pings is the API server, and not the node: after so many seconds without output somebody has to look.
_QUIET = 30.0

# Given what both outputs hold so far: what to send now (a password), and whether the command's own input may follow.
Gate = Callable[[bytes, bytes], tuple[bytes, bool]]


class Execution:
    """A program on the node that waits for one command. Use once, and close."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._complaint = b""
        self._status: dict[str, Any] | None = None
        self._until = 0.0

    @classmethod
    def open(cls, client: ApiClient, path: str, timeout: float, patience: Patience) -> Execution:
        """Start the program by an exec at ``path`` and wait until it is ready.

        Raises :class:`NotStartedError`, or :class:`NodePodError` where another try is of no use.
        """
        key = websocket.new_key()
        query = [("container", "node"), ("stdin", "true"), ("stdout", "true"), ("stderr", "true")]
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Protocol": ", ".join(PROTOCOLS),
        }
        try:
            upgraded = client.upgrade(path, [*query, *(("command", each) for each in program.ARGV)], headers)
        except ApiError as error:
            if error.status == _FORBIDDEN:
                said = error.message or error.reason
                raise NodePodError(
                    f"no command may be run in the helper pod: {said} (docs/node-pod/access.yaml has the rights)"
                ) from error
            # A pod that is not there, or does not run any more, is a matter of making another.
            passes = error.transient or error.status in _POD_HAS_ENDED
            words = f"no command can be run in the helper pod: {error}"
            raise (NotStartedError if passes else NodePodError)(words) from error
        channels = Channels(upgraded, patience)
        try:
            if not websocket.accepts(key, upgraded.headers.get("Sec-WebSocket-Accept", "")):
                raise NodePodError("the API did not answer as a WebSocket server: is a proxy between?")
            if upgraded.headers.get("Sec-WebSocket-Protocol") not in PROTOCOLS:
                raise NodePodError(f"the API speaks neither {' nor '.join(PROTOCOLS)}")
            execution = cls(channels)
            execution._wait_until_ready(timeout)
        except BaseException:
            channels.close()
            raise
        return execution

    def close(self) -> None:
        self._channels.close()

    def run(
        self,
        command: str,
        path: str,
        *,
        write: Callable[[bytes], object],
        complain: Callable[[bytes], object],
        data: Iterable[bytes] | None = None,
        gate: Gate | None = None,
        loss: Callable[[], str] = str,
    ) -> int:
        """Run a command and return its exit code. ``write`` and ``complain`` take its outputs as they come.

        ``path`` is the PATH on the node, ``data`` the standard input, which waits for ``gate``. ``loss`` says why the
        command cannot run any more; it is asked from time to time while there is no output. Raises
        :class:`NodePodError` when the end of the command was not seen, whatever else was.
        """
        word = secrets.token_hex(16)
        out, err = program.Output(word, write), program.Output(word, self._complaints(complain))
        with_input = data is not None or gate is not None
        for message in program.messages(program.request(word, command, path, with_input=with_input)):
            self._channels.send(STDIN, message)
        feed = program.Feed(data or ())
        pending = iter(feed) if with_input else iter(())
        waiting = _Waiting(gate) if gate is not None else None
        lookout = _Lookout(loss)
        try:
            while out.code is None or err.code is None:
                if waiting is not None and waiting.is_over(self._channels):
                    waiting = None
                if waiting is None:
                    self._fill(pending)
                for channel, text in self._exchange():
                    lookout.heard()
                    if waiting is not None:
                        waiting.hear(channel, text)
                    {STDOUT: out, STDERR: err}[channel].feed(text)
                lookout.look()
            if out.code != err.code:
                raise LostError(f"its outputs end with different codes ({out.code} and {err.code})")
        except (LostError, ValueError) as error:
            words = f"the command's end was not seen, so nothing is known of it: {self._words(error)}"
            raise NodePodError(words) from error
        feed.stop()
        self._finish(pending)
        return out.code

    def _wait_until_ready(self, timeout: float) -> None:
        said = b""
        deadline = time.monotonic() + timeout
        try:
            while program.READY not in said:
                if time.monotonic() > deadline:
                    raise LostError(f"the program on the node did not start within {timeout:g} s")
                for channel, text in self._exchange():
                    if channel == STDOUT:
                        said += text
                    else:
                        self._complaint = (self._complaint + text)[-_LONGEST_COMPLAINT:]
        except LostError as error:
            words = f"the helper pod does not reach the node: {self._words(error)}"
            # A shell or nsenter that ended by itself will not do better next time.
            raise (NodePodError if _ended_by_itself(self._status) else NotStartedError)(words) from error
        self._complaint = b""

    def _exchange(self) -> Iterator[tuple[int, bytes]]:
        """What the two outputs brought. Raises :class:`LostError`."""
        if self._status is not None and time.monotonic() > self._until:
            raise LostError("the server says that it ended")
        for channel, data in self._channels.exchange(_GRACE):
            if channel == STATUS:
                self._status = _status(data)
                self._until = time.monotonic() + _GRACE
            elif channel in (STDOUT, STDERR):
                yield channel, data

    def _fill(self, pending: Iterator[bytes]) -> None:
        while self._channels.has_room and (message := next(pending, None)) is not None:
            self._channels.send(STDIN, message)

    def _finish(self, pending: Iterator[bytes]) -> None:
        """Let the program on the node end in order: it would take an input that breaks off for a cut."""
        try:
            for message in pending:
                self._channels.send(STDIN, message)
                while not self._channels.has_room:
                    self._channels.exchange(_GRACE)
            while self._channels.has_unsent:
                self._channels.exchange(_GRACE)
        except LostError:
            # The command has ended, and its program too.
            pass

    def _complaints(self, complain: Callable[[bytes], object]) -> Callable[[bytes], object]:
        def take(text: bytes) -> None:
            self._complaint = (self._complaint + text)[-_LONGEST_COMPLAINT:]
            complain(text)

        return take

    def _words(self, error: Exception) -> str:
        words = [str(error)]
        message = (self._status or {}).get("message")
        if isinstance(message, str) and message:
            words.append(f"the API says: {' '.join(message.split())}")
        complaint = " ".join(self._complaint.decode("utf-8", "replace").split())
        if complaint:
            words.append(f"the node says: {complaint}")
        return "; ".join(words)


class _Lookout:
    """Asks what became of the command while nothing is heard of it."""

    def __init__(self, loss: Callable[[], str]) -> None:
        self._loss = loss
        self.heard()

    def heard(self) -> None:
        self._next = time.monotonic() + _QUIET

    def look(self) -> None:
        """Raises :class:`LostError`."""
        if time.monotonic() > self._next:
            if why := self._loss():
                raise LostError(why)
            self.heard()


class _Waiting:
    """Input that waits for its gate, which hears both outputs."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._heard = {STDOUT: b"", STDERR: b""}

    def hear(self, channel: int, text: bytes) -> None:
        self._heard[channel] += text

    def is_over(self, channels: Channels) -> bool:
        now, is_open = self._gate(self._heard[STDOUT], self._heard[STDERR])
        for message in program.piece(now):
            channels.send(STDIN, message)
        return is_open


def _ended_by_itself(status: Mapping[str, Any] | None) -> bool:
    """With an exit code, and none that tells of a signal. Success tells nothing: a cut can look like it."""
    if status is None or status.get("reason") != "NonZeroExitCode":
        return False
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    return not any(isinstance(each, dict) and each.get("message") in _SIGNALLED for each in causes or ())


def _status(data: bytes) -> dict[str, Any]:
    try:
        status = json.loads(data)
    except ValueError:
        status = {}
    return status if isinstance(status, dict) else {}
