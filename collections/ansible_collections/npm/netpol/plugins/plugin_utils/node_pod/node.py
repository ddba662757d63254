# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node to run commands on: the helper pod, an exec for each command, and what to say when either fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..cluster.client import ApiClient
from .channels import Patience
from .errors import NodePodError, NotStartedError
from .execution import Execution, Gate
from .helper import HelperPod

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
# How a shell tells of SIGKILL, which is also how a runtime ends what is left of a pod.
_KILLED = 128 + 9


@dataclass(frozen=True, slots=True)
class Limits:
    """``path`` is PATH on the node, ``retries`` how often a way that broke before a command began is tried again,

    ``timeout`` how long one such try may take, in seconds.
    """

    path: str
    retries: int
    timeout: float
    patience: Patience


class Node:
    """Raises :class:`NodePodError` where the node cannot be reached."""

    def __init__(self, client: ApiClient, helper: HelperPod, limits: Limits, tell: Callable[[str], None]) -> None:
        self._client = client
        self._helper = helper
        self._limits = limits
        self._tell = tell

    def run(
        self,
        command: str,
        *,
        write: Callable[[bytes], object],
        complain: Callable[[bytes], object],
        data: Iterable[bytes] | None = None,
        gate: Gate | None = None,
    ) -> int:
        """Run a command once, and return its exit code; see :meth:`Execution.run`."""
        name, execution = self._open()
        try:
            code = execution.run(
                command,
                self._limits.path,
                write=write,
                complain=complain,
                data=data,
                gate=gate,
                loss=lambda: self._helper.loss(name),
            )
        except NodePodError as error:
            self._helper.doubt(name)
            fate = self._helper.fate(name)
            raise NodePodError(f"{error}; {fate}" if fate and fate not in str(error) else str(error)) from error
        finally:
            execution.close()
        # A runtime kills one process after another: the command's end may reach us before its pod's.
        if code == _KILLED and (fate := self._helper.fate(name)):
            self._helper.doubt(name)
            raise NodePodError(f"the command was killed with its pod, so nothing is known of it: {fate}")
        return code

    def remove_helper(self) -> None:
        self._helper.remove()

    def _open(self) -> tuple[str, Execution]:
        pause = _FIRST_PAUSE
        for attempt in range(self._limits.retries + 1):
            name = self._helper.ensure()
            try:
                path = self._helper.path(name, "exec")
                return name, Execution.open(self._client, path, self._limits.timeout, self._limits.patience)
            except NotStartedError as error:
                self._helper.doubt(name)
                if attempt == self._limits.retries:
                    fate = self._helper.fate(name)
                    tries = f" (tried {attempt + 1} times)" if attempt else ""
                    raise NodePodError(f"{error}{tries}{f'; {fate}' if fate else ''}") from error
                self._tell(f"{error}; nothing was run, retry {attempt + 1} of {self._limits.retries}")
                # Many nodes that one outage has hit should not come back as one.
                time.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 (nothing secret depends on it)
                pause = min(pause * 2, _LONGEST_PAUSE)
        raise AssertionError  # the last attempt returns or raises
