# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A list of names that may be longer than a line has room for: in the comment of a rule, and in what people read."""

from __future__ import annotations

import re
from collections.abc import Sequence

# In characters. Longer than this, iptables cuts a comment without a word, and no comparison ever matches again.
LONGEST = 255
# More than this never fit, each with a comma and a space: thousands of policies may stand behind one rule.
MOST_NAMES = LONGEST // 3 + 1

# How such a list ends where it had no room for all.
MORE = re.compile(r"\+(\d+) more")


def listed(names: Sequence[str], count: int) -> str:
    """As many of the first ``names`` as there is room for, and how many of ``count`` that leaves out: "a, b, +7 more".

    The first one always stands, however long it is.
    """
    kept = min(len(names), MOST_NAMES)
    text = _text(names, kept, count)
    while len(text) > LONGEST and kept > 1:
        kept -= 1
        text = _text(names, kept, count)
    return text


def _text(names: Sequence[str], kept: int, count: int) -> str:
    left_out = [f"+{count - kept} more"] if count > kept else []
    return ", ".join([*names[:kept], *left_out])
