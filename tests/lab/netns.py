# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Network namespaces: their names, entering one, sysctls in one, and ending what runs in them."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

NAMES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_LONGEST = 100
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


class LabError(RuntimeError):
    """The lab could not be built, changed or asked."""


def prefix(lab_id: str) -> str:
    return f"npml-{lab_id}-"


def node_namespace(lab_id: str, node: str) -> str:
    return f"{prefix(lab_id)}node-{node}"


def pod_namespace(lab_id: str, key: str) -> str:
    """``key`` is namespace/name; a name too long for a file has its end replaced by its digest."""
    name = key.replace("/", ".", 1)
    if len(name) > _LONGEST:
        name = f"{name[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"
    return f"{prefix(lab_id)}pod-{name}"


def path(namespace: str) -> Path:
    return NAMES / namespace


def existing(start: str) -> list[str]:
    """The names of the namespaces that start so."""
    if not NAMES.is_dir():
        return []
    return sorted(entry.name for entry in NAMES.iterdir() if entry.name.startswith(start))


@contextlib.contextmanager
def entered(namespace: str) -> Iterator[None]:
    """The calling thread is in the namespace. Sockets made meanwhile stay in it."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path(namespace), os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target)
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def call_in(namespace: str, function: Callable[[], T]) -> T:
    """What the function returns when a thread of its own calls it in the namespace."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            with entered(namespace):
                results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def set_sysctls(namespace: str, values: Mapping[str, str]) -> None:
    """``values`` has the paths below /proc/sys. One that this kernel does not have is an error."""

    def write() -> None:
        for name, value in values.items():
            (Path("/proc/sys") / name).write_text(value)

    call_in(namespace, write)


def ip_batch(lines: Sequence[str], namespace: str | None = None) -> None:
    """Run ``ip -batch`` in the namespace (None: in the one of the caller); stops at the first line that fails."""
    if not lines:
        return
    command = ["ip", *(["-n", namespace] if namespace else []), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", text=True, capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"ip -batch in {namespace or 'the root namespace'}: {done.stderr.strip()}")


def processes(namespaces: Collection[str]) -> set[int]:
    """The processes (not their single threads) that are in one of the namespaces."""
    wanted = set()
    for name in namespaces:
        with contextlib.suppress(FileNotFoundError):
            info = path(name).stat()
            wanted.add((info.st_dev, info.st_ino))
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # It may end while we look; a zombie has no namespace any more.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                info = (entry / "ns" / "net").stat()
                if (info.st_dev, info.st_ino) in wanted:
                    found.add(int(entry.name))
    return found - {os.getpid()}


def wait_inside(process: subprocess.Popen[str], namespace: str, patience: float = 10.0) -> None:
    """Until the process has entered the namespace, or ended: before, whoever ends what runs there would miss it."""
    deadline = time.monotonic() + patience
    while process.poll() is None and process.pid not in processes([namespace]):
        if time.monotonic() > deadline:
            process.kill()
            raise LabError(f"{process.args} did not enter {namespace}")
        time.sleep(0.001)


def end_processes(namespaces: Collection[str], patience: float = 10.0) -> None:
    """Kill what runs in the namespaces and wait until it is gone."""
    deadline = time.monotonic() + patience
    while running := processes(namespaces):
        if time.monotonic() > deadline:
            raise LabError(f"processes of the lab that do not end: {sorted(running)}")
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def delete(namespaces: Collection[str]) -> None:
    """Remove the names; a namespace goes with its last name, process and socket."""
    ip_batch([f"netns del {name}" for name in namespaces if path(name).exists()])
