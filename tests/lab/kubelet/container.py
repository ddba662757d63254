# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running container, as the kubelet has it: started, given commands, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).resolve().parents[2]
_KILLED = 137


class ContainerError(RuntimeError):
    """The container could not be started, or is no more."""


@dataclass(frozen=True, slots=True)
class Volume:
    """``source``: a path of the node; empty: a new, empty directory."""

    path: str
    source: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What ``init`` needs to know. ``node_pid`` 0: no namespaces, no root: on this machine as it is.

    ``capabilities`` None: all of them.
    """

    command: tuple[str, ...]
    environment: dict[str, str]
    node_pid: int = 0
    image: dict[str, Any] = field(default_factory=dict)
    mounts: tuple[Volume, ...] = ()
    hostname: str = ""
    host_pid: bool = False
    host_network: bool = False
    host_ipc: bool = False
    privileged: bool = False
    read_only: bool = False
    capabilities: tuple[str, ...] | None = None
    user: int | None = None
    group: int | None = None
    directory: str = "/"


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended; ``error``: why it could not even begin."""

    code: int
    error: str = ""


class Process:
    """A command in a container. ``fileno()`` is readable when it may have ended."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._said = b""
        self._result: Result | None = None

    def fileno(self) -> int:
        return self._descriptor

    def poll(self) -> Result | None:
        """How it ended; None: it runs. What its container took with it was killed."""
        if self._result is not None:
            return self._result
        while True:
            try:
                data = os.read(self._descriptor, 4096)
            except BlockingIOError:
                return None
            if not data:
                break
            self._said += data
        self._result = _result(self._said.decode(errors="replace"))
        return self._result

    def close(self) -> None:
        os.close(self._descriptor)


class Container:
    """Starts it; ``main`` is its own command. Raises :class:`ContainerError` with the reason."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                _ParentOfInits.get().fork(theirs)
            self._control.send(json.dumps(asdict(spec)).encode())
            answer = self._control.recv(4096)
        except OSError as error:
            self._control.close()
            raise ContainerError(f"the container's first process: {error}") from error
        if answer != b"ready":
            self.end()
            raise ContainerError(answer.decode(errors="replace") or "the container's first process ended")
        self.main = self.run(spec.command)

    def run(
        self, argv: Sequence[str], stdin: int | None = None, stdout: int | None = None, stderr: int | None = None,
        *, tty: bool = False,
    ) -> Process:  # fmt: skip
        """Start a command with these descriptors (None: /dev/null), which stay the caller's."""
        status, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        streams = [nothing if each is None else each for each in (stdin, stdout, stderr)]
        try:
            os.set_blocking(theirs, True)
            order = json.dumps({"argv": list(argv), "tty": tty}).encode()
            socket.send_fds(self._control, [order], [*streams, theirs])
        except OSError as error:
            os.close(status)
            raise ContainerError(str(error)) from error
        finally:
            os.close(theirs)
            os.close(nothing)
        return Process(status)

    def signal(self, number: int) -> None:
        """To its own command."""
        with contextlib.suppress(OSError):
            self._control.send(json.dumps({"signal": int(number)}).encode())

    def end(self) -> None:
        """Kill all that runs in it, and wait until that is gone. Twice is no error."""
        with self._control, contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
            # Only what has ended holds its side of the socket no more.
            while self._control.recv(4096):
                pass

    def close(self) -> None:
        """End it, and forget what its own command said. Once."""
        self.end()
        self.main.close()


def _result(said: str) -> Result:
    error, _, code = said.rpartition("\n")
    if error.startswith("!"):
        return Result(_KILLED, error[1:])
    return Result(int(code) if code.isdigit() else _KILLED)


class _ParentOfInits:
    """Of all of this process, with which it ends. Forked from it, fifty do not each start an interpreter."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-S", "-m", "lab.kubelet.init", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=_TESTS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def fork(self, control: socket.socket) -> None:
        socket.send_fds(self._orders, [b"container"], [control.fileno()])

    @classmethod
    def get(cls) -> _ParentOfInits:
        global _parent  # noqa: PLW0603 (one for a process, begun when it is first needed)
        with _parent_lock:
            if _parent is None or _parent._process.poll() is not None:
                _parent = cls()
            return _parent


_parent: _ParentOfInits | None = None
_parent_lock = threading.Lock()
