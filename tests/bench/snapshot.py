# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What it costs to read a cluster of realistic pods (about 11 kB of JSON each) from the lab's API.

Everything, page by page, into a snapshot file; the same, and kept for the next run; that next run, with 1 % of the pods
made anew, and when nothing has changed; and for comparison one list of all pods by the official client.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth, incremental, listing, store
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from lab.api import ApiProcess

from .processes import facts_of
from .realistic_pods import namespaces, pod
from .results import Table

_SMALL = (2_000,)
_FULL = (2_000, 20_000, 150_000)
# The official client makes an object of every field. More than this may be more than the machine's memory.
_MOST_FOR_THE_OFFICIAL = 20_000
_CHURN = 100
_TITLE = "Each row is a process of its own. Waiting for the server, which is Python too, is in the wall time."
COLUMNS = (
    "pods",
    "reading",
    "wall s",
    "CPU s",
    "MiB in all",
    "changes",
    "file MiB",
    "file loads in s",
    "times the list",
)

Facts = dict[str, Any]


def run(*, full: bool) -> list[Table]:
    rows = [row for pods in (_FULL if full else _SMALL) for row in _rows(pods)]
    return [Table("snapshot", _TITLE, COLUMNS, rows)]


def _rows(pods: int) -> Iterator[Facts]:
    with TemporaryDirectory(prefix="npm-netpol-bench-") as directory, ApiProcess(Path(directory) / "api") as api:
        api.client.load(namespaces())
        api.client.load(pod(number) for number in range(pods))

        def measured(reading: str, what: str) -> Facts:
            facts = facts_of("bench.snapshot", what, directory)
            empty = {"changes": "", "file MiB": "", "file loads in s": "", "times the list": ""}
            return {"pods": pods, "reading": reading, **empty, **facts}

        whole = measured("everything", "list")
        whole |= facts_of("bench.snapshot", "load", directory)
        yield whole
        rest = [measured("everything, and kept", "state")]
        api.client.load(pod(number, generation=1) for number in range(0, pods, _CHURN))
        rest.append(measured("1 % made anew", "state"))
        # A real cluster's counter never stands still.
        api.client.load([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}}])
        rest.append(measured("nothing changed", "state"))
        if pods <= _MOST_FOR_THE_OFFICIAL:
            rest.append(measured("official client", "official"))
        for row in rest:
            yield row | {"times the list": round(row["wall s"] / whole["wall s"], 2)}


def _list(directory: Path) -> Facts:
    with _client(directory) as client:
        store.write(listing.read(client), _file(directory))
    return {"file MiB": _size(_file(directory))}


def _with_state(directory: Path) -> Facts:
    with _client(directory) as client:
        reading = incremental.read(client, directory / "state")
    store.write(reading.snapshot, _file(directory))
    reading.keep(_file(directory).read_bytes())
    return {"changes": reading.events, "file MiB": _size(_file(directory))}


def _official(directory: Path) -> Facts:
    from kubernetes import client, config  # noqa: PLC0415 (what it takes to import is no part of our figures)

    config.load_kube_config(str(directory / "api/kubeconfig"))
    found = client.CoreV1Api().list_pod_for_all_namespaces()
    assert found.items
    return {}


def _load(directory: Path) -> Facts:
    begin = time.monotonic()
    assert store.read(_file(directory)).pods
    return {"file loads in s": round(time.monotonic() - begin, 2)}


def _client(directory: Path) -> ApiClient:
    return ApiClient(partial(auth.connect, {"kubeconfig": str(directory / "api/kubeconfig")}, {}), timeout=300)


def _file(directory: Path) -> Path:
    return directory / "snapshot.json"


def _size(path: Path) -> float:
    return round(path.stat().st_size / 2**20, 1)


def _measured(do: Callable[[Path], Facts], directory: Path) -> Facts:
    wall, processor = time.monotonic(), time.process_time()
    facts = do(directory)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    match = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert match
    return {"wall s": round(wall, 2), "CPU s": round(processor, 2), "MiB in all": int(match[1]) // 1024, **facts}


def main(arguments: Iterable[str]) -> Facts:
    what, directory = arguments
    if what == "load":
        return _load(Path(directory))
    return _measured({"list": _list, "state": _with_state, "official": _official}[what], Path(directory))


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
