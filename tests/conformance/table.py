# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was expected beside what was seen, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differences(expected: Mapping[Any, bool], seen: Mapping[Any, bool], notes: Mapping[Any, str] | None = None) -> str:
    """A line for each key whose verdict is not the expected one; empty when there is none. ``notes`` go behind."""
    wrong = [key for key, verdict in expected.items() if seen[key] != verdict]
    if not wrong:
        return ""
    width = max(len(str(key)) for key in wrong)
    lines = [f"{'connection':{width}}  expected  seen     ({len(wrong)} of {len(expected)} differ)"]
    for key in wrong:
        note = (notes or {}).get(key, "")
        lines.append(f"{key!s:{width}}  {_word(expected[key]):8}  {_word(seen[key]):8} {note}".rstrip())
    return "\n".join(lines)


def _word(passes: bool) -> str:
    return "allowed" if passes else "denied"
