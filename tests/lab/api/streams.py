# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""This end of a command's standard streams, none of which ever blocks."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import struct
import termios
from fcntl import ioctl
from typing import TYPE_CHECKING

from . import channels

if TYPE_CHECKING:
    from lab.kubelet.container import Container, Process

_BLOCK = 32 * 1024


class Streams:
    """A command's standard streams. ``outputs``: descriptor to channel, of those that are not at their end."""

    def __init__(self, command: tuple[str, ...], *, stdin: bool, tty: bool) -> None:
        self._command = command
        self._stdin = stdin
        self._tty = tty
        self.outputs: dict[int, int] = {}
        self.input = -1
        self.backlog = bytearray()
        self._input_ends = False
        self._open: set[int] = set()

    def start(self, container: Container) -> Process:
        if self._tty:
            ours, theirs = pty.openpty()
            self.outputs[ours] = channels.STDOUT
            self.input = ours if self._stdin else -1
            return self._run(container, [theirs, theirs, theirs], [ours])
        stdin, self.input = os.pipe2(os.O_CLOEXEC) if self._stdin else (None, -1)
        stdout, stdout_theirs = os.pipe2(os.O_CLOEXEC)
        stderr, stderr_theirs = os.pipe2(os.O_CLOEXEC)
        self.outputs = {stdout: channels.STDOUT, stderr: channels.STDERR}
        ours_all = [stdout, stderr] + ([self.input] if stdin is not None else [])
        return self._run(container, [stdin, stdout_theirs, stderr_theirs], ours_all)

    def _run(self, container: Container, theirs: list[int | None], ours: list[int]) -> Process:
        self._open.update(ours)
        for descriptor in ours:
            os.set_blocking(descriptor, False)
        try:
            return container.run(self._command, *theirs, tty=self._tty)
        finally:
            for descriptor in {each for each in theirs if each is not None}:
                os.close(descriptor)

    @property
    def wants_input(self) -> bool:
        return self.input >= 0 and bool(self.backlog)

    def read(self, descriptor: int) -> bytes:
        try:
            data = os.read(descriptor, _BLOCK)
        except BlockingIOError:
            return b""
        except OSError:  # a terminal that nobody has open any more
            data = b""
        if not data:
            del self.outputs[descriptor]
        return data

    def feed(self, data: bytes) -> None:
        if self.input >= 0 and not self._input_ends:
            self.backlog += data
            self.write()

    def write(self) -> None:
        try:
            written = os.write(self.input, bytes(self.backlog[:_BLOCK]))
        except BlockingIOError:
            return
        except OSError:  # the command does not read any more
            self.backlog.clear()
            self._close_input()
            return
        del self.backlog[:written]
        self._close_if_done()

    def end_input(self) -> None:
        self._input_ends = True
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._input_ends and not self.backlog:
            self._close_input()

    def _close_input(self) -> None:
        """A terminal stays open: its input has no end."""
        if self.input >= 0 and not self._tty:
            os.close(self.input)
            self._open.discard(self.input)
        self.input = -1

    def resize(self, data: bytes) -> None:
        if self._tty and self.outputs:
            size = json.loads(data)
            packed = struct.pack("HHHH", size["Height"], size["Width"], 0, 0)
            ioctl(next(iter(self.outputs)), termios.TIOCSWINSZ, packed)

    def abandon(self) -> None:
        """Nobody is there any more: the input ends; output is not read, as by real runtimes."""
        self.backlog.clear()
        self._close_input()

    def close(self) -> None:
        for descriptor in self._open:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._open.clear()
