# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One way to a node, in a process of its own in the lab's controller: how long it takes, and how much memory.

``python -m bench.one_way PLAN``, where PLAN is JSON: ``kind`` (``ansible`` or ``client``), ``options`` (of
:class:`AnsibleConnection` or :class:`OfficialClient`), and ``steps``, which are run in order: ``["command", ROUNDS]``,
``["script", ROUNDS]``, ``["put", FROM, TO]`` and ``["fetch", FROM, TO]``. Prints a list of what each took.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

# About as much as the product sends to a node in sync. It is read whole before it ends.
SCRIPT = b"# a comment, as long as any line of a script\n" * 70 + b"exit 0\n"
_BLOCK = 1 << 20
_LOOK_AGAIN_SECONDS = 0.1


class Way(Protocol):
    """A way that is new: nothing was sent on it before. Raises RuntimeError for a command that failed."""

    def run(self, command: str, data: bytes | None = None) -> None: ...

    def put(self, source: Path, target: str) -> None: ...

    def fetch(self, source: str, target: Path) -> None: ...

    def close(self) -> None: ...


class AnsibleConnection:
    """A connection plugin without a playbook. ``prefix`` goes before commands: what makes them root's."""

    def __init__(self, plugin: str, variables: dict[str, Any], prefix: str = "") -> None:
        from ansible.playbook.play_context import PlayContext  # noqa: PLC0415 (the other kind needs no Ansible)

        self._prefix = prefix
        self._connection = _loader().get(plugin, PlayContext(), "/dev/null")
        self._connection.set_options(var_options=variables)

    def run(self, command: str, data: bytes | None = None) -> None:
        code, _out, err = self._connection.exec_command(f"{self._prefix}{command}", in_data=data, sudoable=False)
        if code:
            raise RuntimeError(f"{command} ended with {code}: {err.decode(errors='replace')}")

    def put(self, source: Path, target: str) -> None:
        self._connection.put_file(str(source), target)

    def fetch(self, source: str, target: Path) -> None:
        self._connection.fetch_file(source, str(target))

    def close(self) -> None:
        self._connection.close()


class OfficialClient:
    """``kubernetes.stream`` of the Python package, as its examples use it."""

    def __init__(self, pod: str, namespace: str) -> None:
        from kubernetes import client, config  # noqa: PLC0415 (the other kind does not need it)

        self._api = client.CoreV1Api(config.new_client_from_config())  # type: ignore[no-untyped-call]
        self._pod, self._namespace = pod, namespace

    def run(self, command: str, data: bytes | None = None) -> None:
        if data is not None:
            # Its end cannot be told to every server.
            command = f"head -c {len(data)} | {command}"
        opened = self._open(command, stdin=data is not None)
        if data is not None:
            opened.write_stdin(data)
        opened.run_forever()
        _ended_well(command, opened)

    def put(self, source: Path, target: str) -> None:
        command = f"head -c {source.stat().st_size} >{target}"
        opened = self._open(command, stdin=True)
        with source.open("rb") as file:
            while block := file.read(_BLOCK):
                opened.write_stdin(block)
        opened.run_forever()
        _ended_well(command, opened)

    def fetch(self, source: str, target: Path) -> None:
        from websocket import WebSocketConnectionClosedException  # noqa: PLC0415 (what the client itself stands on)

        opened = self._open(f"cat {source}")
        with target.open("wb") as file:
            while opened.is_open():
                try:
                    file.write(opened.read_stdout(timeout=1))
                except WebSocketConnectionClosedException:
                    # It is so slow with much that nobody waits any more for its answer to the end.
                    opened.close()
            file.write(opened.read_stdout())
        _ended_well("cat", opened)

    def close(self) -> None:
        self._api.api_client.close()

    def _open(self, command: str, *, stdin: bool = False) -> Any:
        from kubernetes.stream import stream  # noqa: PLC0415

        streams = {"stdin": stdin, "stdout": True, "stderr": True, "tty": False}
        return stream(
            self._api.connect_get_namespaced_pod_exec,
            self._pod,
            self._namespace,
            command=["sh", "-c", command],
            **streams,
            _preload_content=False,
            binary=True,
        )


@functools.cache
def _loader() -> Any:
    from ansible.plugins.loader import connection_loader, init_plugin_loader  # noqa: PLC0415

    init_plugin_loader()
    return connection_loader


def _ended_well(command: str, opened: Any) -> None:
    if opened.returncode:
        raise RuntimeError(f"{command} ended with {opened.returncode}")


KINDS: dict[str, Callable[..., Way]] = {"ansible": AnsibleConnection, "client": OfficialClient}


def measure(kind: str, options: dict[str, Any], steps: list[list[Any]]) -> list[Any]:
    """Of a command or script the seconds of each round; of a file the seconds and the memory."""

    @contextlib.contextmanager
    def way() -> Iterator[Way]:
        made = KINDS[kind](**options)
        yield made
        made.close()

    def rounds(count: int, data: bytes | None) -> list[float]:
        times = []
        for _ in range(count):
            start = time.monotonic()
            with way() as new:
                new.run("true" if data is None else "sh", data)
            times.append(time.monotonic() - start)
        return times

    def transfer(what: str, source: str, target: str) -> dict[str, Any]:
        with way() as new:
            # What a way takes by itself is not the file's.
            new.run("true")
            before = peak("self")
            with programs_of_ours() as programs:
                start = time.monotonic()
                if what == "put":
                    new.put(Path(source), target)
                else:
                    new.fetch(source, Path(target))
                seconds = time.monotonic() - start
        return {"seconds": seconds, "before": before, "after": peak("self"), "programs": sum(programs.values())}

    results: list[Any] = []
    for what, *arguments in steps:
        if what in ("command", "script"):
            results.append(rounds(int(arguments[0]), SCRIPT if what == "script" else None))
        else:
            results.append(transfer(what, *arguments))
    return results


def peak(process: int | str) -> int:
    """The most memory that a process has held since it began to be what it is, in KiB; 0 for one that has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


@contextlib.contextmanager
def programs_of_ours() -> Iterator[dict[int, int]]:
    """Of each program that runs meanwhile below us (ssh, kubectl), the most memory in KiB, as it was last seen."""
    seen: dict[int, int] = {}
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_AGAIN_SECONDS):
            seen.update({process: held for process in _below(os.getpid()) if (held := peak(process))})

    watching = threading.Thread(target=look, daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


def _below(process: int) -> Iterator[int]:
    parents = dict(filter(None, map(_with_parent, Path("/proc").glob("[0-9]*"))))
    found = {process}
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
        yield from new


def _with_parent(directory: Path) -> tuple[int, int] | None:
    try:
        after_the_name = (directory / "stat").read_text().rpartition(") ")[2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(directory.name), int(after_the_name.split()[1])


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
