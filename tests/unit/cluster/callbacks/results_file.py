# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A callback for tests: appends every task's whole result, as a job runner would store it, to a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results_file
type: notification
short_description: Results as lines of JSON
description: Appends them to the file that RESULTS_FILE names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results_file"

    def v2_runner_on_ok(self, result: Any) -> None:
        self._append(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._append(result)

    def _append(self, result: Any) -> None:
        with Path(os.environ["RESULTS_FILE"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(result._result) + "\n")
