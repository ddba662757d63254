# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes a run's helper pods when the run has ended, however it ended.

A connection plugin lives in processes that end with their task, and nothing of it is called when the run ends. So the
first task that needs a helper pod starts this process, as ssh leaves its master process behind: it waits for the end of
Ansible's main process, deletes the pods, and ends. Where it is killed together with the run (a container that goes
away), the pods end by their deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from ..cluster import auth
from ..cluster.client import ApiClient, ApiError
from ..cluster.connection import AuthError
from . import manifest

# As a package of its own: an installed `ansible_collections` could come before the one that we are in.
_PLUGINS = Path(__file__).resolve().parents[2]
_START = "from plugin_utils.node_pod.reaper import main; main()"
_ENDED = ("Failed", "Succeeded")
# Processes of Ansible may outlive a main process that was killed, and make a pod for which nobody is left.
_LOOK_AGAIN = 3.0


def start(parameters: Mapping[str, Any], namespace: str, run: str, main_process: int) -> None:
    """Start the process. What it is told holds credentials, so that it goes by a pipe."""
    told = {
        "parameters": dict(parameters),
        # A kubeconfig and what it names may be relative to it.
        "directory": os.getcwd(),  # noqa: PTH109 (as it is, text for JSON)
        "namespace": namespace,
        "run": run,
        "main_process": main_process,
    }
    process = subprocess.Popen(  # noqa: S603 (ourselves)
        [sys.executable, "-P", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_PLUGINS), *filter(None, sys.path)])},
        cwd="/",
        # Neither a Ctrl-C nor the end of the terminal is meant for it.
        start_new_session=True,
    )
    with cast(IO[bytes], process.stdin) as pipe:
        pipe.write(json.dumps(told).encode())


def main() -> None:
    # Who ends all processes of a service, as systemd does, ends the run by it; this one's work begins then.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    told = json.loads(sys.stdin.buffer.read())
    wait_for_the_end_of(told["main_process"])
    # Where it is gone, nothing relative to it is left to be read.
    with contextlib.suppress(OSError):
        os.chdir(told["directory"])
    try:
        with ApiClient(partial(auth.connect, told["parameters"], os.environ)) as client:
            with contextlib.suppress(ApiError):
                remove(client, told["namespace"], told["run"])
            time.sleep(_LOOK_AGAIN)
            remove(client, told["namespace"], told["run"])
    except (AuthError, ApiError):
        # Nobody reads what this process says. The deadline of the pods is for this.
        sys.exit(1)


def remove(client: ApiClient, namespace: str, run: str) -> int:
    """Delete the helper pods of a run, and those of others that have ended; returns how many.

    One that can't be deleted keeps no other: the last :class:`ApiError` is raised in the end.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    pods = client.get(path, [("labelSelector", f"{manifest.NAME_LABEL}={manifest.NAME}")])["items"]
    doomed = [
        pod["metadata"]["name"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and (
            pod["metadata"]["labels"].get(manifest.RUN_LABEL) == run or (pod.get("status") or {}).get("phase") in _ENDED
        )
    ]
    failure: ApiError | None = None
    for name in doomed:
        try:
            client.delete(f"{path}/{name}")
        except ApiError as error:
            failure = error
    if failure is not None:
        raise failure
    return len(doomed)


def wait_for_the_end_of(process: int) -> None:
    """Return when the process is no more. It is our parent's parent, so that its number is not yet another's."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):
        # Not on Linux.
        while _lives(process):
            time.sleep(1)
        return
    select.select([descriptor], [], [])


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
