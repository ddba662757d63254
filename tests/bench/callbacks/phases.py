# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A callback for benchmarks: appends when each phase of a run began, and each result, to a file (BENCH_PHASES)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: phases
type: notification
short_description: When things began, as lines of JSON
description: Appends them to the file that BENCH_PHASES names.
"""

_FROM_RESULT = ("exchanges", "bytes_sent", "bytes_received", "in_sync", "durations")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "phases"

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._note("start")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._note("task", task=task.action)

    def v2_runner_on_ok(self, result: Any) -> None:
        data = result._result
        found = {name: data[name] for name in _FROM_RESULT if name in data}
        self._note("ok", task=result._task.action, host=result._host.get_name(), **found)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._note("end")

    def _note(self, event: str, **more: Any) -> None:
        with Path(os.environ["BENCH_PHASES"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "time": time.time(), **more}) + "\n")
