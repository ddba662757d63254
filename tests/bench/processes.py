# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Measuring in a process of its own, so that its memory and time are nobody else's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def facts_of(module: str, *arguments: str) -> dict[str, Any]:
    """What ``python -m MODULE`` prints, which is JSON. It finds what this process finds."""
    command = [sys.executable, "-m", module, *arguments]
    values = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=values)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts
