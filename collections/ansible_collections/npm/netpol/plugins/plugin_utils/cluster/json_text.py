# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading JSON that others wrote, so that everything that comes out can be written again."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

# Python reads a lone surrogate (half a character) and then cannot encode it; Kubernetes itself never sends one.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def read(text: bytes) -> Any:
    """The value of a JSON text in UTF-8; half characters become ``?``.

    Raises :class:`ValueError` for anything else, also for what only Python's JSON knows (NaN).
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
        if _SURROGATE.search(text):
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
