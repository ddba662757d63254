# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server as a process of its own, for instance inside a network namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from .client import Client

_TESTS = Path(__file__).resolve().parents[2]
_START_SECONDS = 30
_STOP_SECONDS = 10


class ApiProcess:
    """Starts ``python -m lab.api`` and waits until it is ready; a context manager.

    ``prefix`` comes before the command (``ip netns exec NAME``). The server ends with the process that started it,
    however that one ends. RuntimeError with its output when the server can't start.
    """

    def __init__(self, state_dir: Path, *arguments: str, prefix: Sequence[str] = ()) -> None:
        self.directory = state_dir
        command = [sys.executable, "-m", "lab.api", "--state-dir", str(state_dir), "--until-stdin-closes", *arguments]
        self._command = [*prefix, *command]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ApiProcess:
        self.directory.mkdir(parents=True, exist_ok=True)
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        paths = [str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the API server did not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        self._process = None

    def __enter__(self) -> ApiProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        url: str = json.loads((self.directory / "ready").read_text())["url"]
        return url

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def client(self) -> Client:
        return Client.unix(self.directory / "socket")

    @property
    def _log(self) -> Path:
        return self.directory / "log"
