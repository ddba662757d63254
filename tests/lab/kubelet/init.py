# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container's first process: enters its namespaces and root, runs what it is told to, and ends everything with it.

    python -m lab.kubelet.init DESCRIPTOR

The descriptor is a socket over which the sockets of containers come; for each of them a process is forked. The first
message of a container is its specification, answered with ``ready`` or what went wrong. Each later one is a command
with four descriptors: its standard streams, and one to which its end is written: the exit code, or ``!`` and why it
could not be started. When the other end closes the socket, all descendants are killed, daemons too: real runtimes
find them by their cgroup.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import sys
import termios
import time
from pathlib import Path
from typing import Any

from . import linux, root

_LARGEST_MESSAGE = 1 << 20
_CANNOT_RUN = 127
# As container runtimes say it.
_RUNTIME = "OCI runtime exec failed: exec failed: unable to start container process"


def main() -> None:
    """Until the other end is closed."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    # Nobody asks how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(orders, 16, 1)
        if not message:
            return
        control = socket.socket(fileno=descriptors[0])
        try:
            child = os.fork()
        except OSError as error:
            control.send(str(error).encode())
            control.close()
            continue
        if not child:
            orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            _keep(control)
            return
        control.close()


def _keep(control: socket.socket) -> None:
    """One container, in a process of its own."""
    spec = json.loads(control.recv(_LARGEST_MESSAGE))
    try:
        if spec["node_pid"]:
            _enter_node(spec)
        linux.adopt_orphans()
    except OSError as error:
        control.send(str(error).encode())
        return
    control.send(b"ready")
    _Init(control, spec).serve()


def _enter_node(spec: dict[str, Any]) -> None:
    """Returns in the process that is the container's; those on the way to it wait for its end, and exit."""
    own = f"/proc/{spec['node_pid']}/ns"
    namespaces = [os.open(f"{own}/{name}", os.O_RDONLY) for name in ("net", "uts", "ipc", "pid_for_children", "mnt")]
    for namespace in namespaces:
        linux.setns(namespace)
        os.close(namespace)
    _fork()
    if not spec["host_pid"]:
        linux.unshare(linux.CLONE_NEWPID)
        _fork()
    linux.unshare(linux.CLONE_NEWNS)
    if not spec["host_network"]:
        linux.unshare(linux.CLONE_NEWNET | linux.CLONE_NEWUTS)
        socket.sethostname(spec["hostname"])
        linux.raise_loopback()
    if not spec["host_ipc"]:
        linux.unshare(linux.CLONE_NEWIPC)
    root.enter(spec)


def _fork() -> None:
    """Go on in a child: only children are in a new pid namespace."""
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)


class _Init:
    def __init__(self, control: socket.socket, spec: dict[str, Any]) -> None:
        self._control = control
        self._spec = spec
        self._running: dict[int, int] = {}
        self._main = 0
        self._wanted = True

    def serve(self) -> None:
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ, self._obey)
            selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
            while self._wanted:
                for key, _ in selector.select():
                    key.data()
                self._reap()
        self._end()

    def _obey(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, _LARGEST_MESSAGE, 4)
        if not message:
            self._wanted = False
            return
        order = json.loads(message)
        if "signal" in order:
            if self._main in self._running:
                os.kill(self._main, order["signal"])
            return
        pid = self._start(order, descriptors)
        self._main = self._main or pid
        self._running[pid] = descriptors[3]
        for descriptor in descriptors[:3]:
            os.close(descriptor)

    def _start(self, order: dict[str, Any], descriptors: list[int]) -> int:
        pid = os.fork()
        if pid:
            return pid
        status = descriptors[3]
        argv = order["argv"]
        try:
            self._become(argv, descriptors, tty=order["tty"])
        except FileNotFoundError:
            os.write(status, f'!{_RUNTIME}: exec: "{argv[0]}": executable file not found in $PATH'.encode())
        except OSError as error:
            os.write(status, f'!{_RUNTIME}: exec: "{argv[0]}": {os.strerror(error.errno or 0).lower()}'.encode())
        finally:
            os._exit(_CANNOT_RUN)

    def _become(self, argv: list[str], descriptors: list[int], *, tty: bool) -> None:
        os.setsid()
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        for descriptor in range(3, 256):
            with contextlib.suppress(OSError):
                os.set_inheritable(descriptor, False)
        if tty:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for each in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(each, signal.SIG_DFL)
        os.umask(0o022)
        os.chdir(self._spec["directory"])
        if self._spec["capabilities"] is not None:
            linux.keep_capabilities(frozenset(self._spec["capabilities"]))
        for change, number in ((os.setgid, self._spec["group"]), (os.setuid, self._spec["user"])):
            if number is not None:
                change(number)
        os.execvpe(argv[0], argv, self._spec["environment"])  # noqa: S606 (it is what this program is for)

    def _reap(self) -> None:
        for pid, code in iter(_ended_child, None):
            status = self._running.pop(pid, None)
            if status is not None:
                # Nobody may be interested any more.
                with contextlib.suppress(BrokenPipeError):
                    os.write(status, f"\n{code}".encode())
                os.close(status)

    def _end(self) -> None:
        while pids := _descendants(os.getpid()):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
            self._reap()


def _ended_child() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    if not pid:
        return None
    return pid, os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _descendants(ancestor: int) -> set[int]:
    """Those that live; /proc is that of the caller's pid namespace."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                _, parent, *_ = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(parent)
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {ancestor}} - found:
        found |= more
    return found


if __name__ == "__main__":
    main()
