# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node's kernel holds of rules and sets, of everybody's, as text that two looks can be compared by."""

from __future__ import annotations

import difflib
import re

from lab.lab import Lab

# A legacy tool creates the table that it is asked for: only those that are there are asked for.
_SAVE = r"""
for tool in iptables ip6tables; do
    echo "== $tool-nft" && $tool-nft-save || exit
    names=/proc/net/${tool%tables}_tables_names
    [ -e "$names" ] || continue
    for table in $(sort "$names"); do
        echo "== $tool-legacy $table" && $tool-legacy-save -t "$table" || exit
    done
done
echo "== ipset" && ipset save | sort
"""
_STAMP = re.compile(r"^#.*\n", re.MULTILINE)
_COUNTERS = re.compile(r" \[\d+:\d+\]$", re.MULTILINE)


def kernel_state(lab: Lab) -> dict[str, str]:
    """By node: iptables-save of both families and variants and ipset save, without time stamps and packet counters."""
    return {name: _COUNTERS.sub("", _STAMP.sub("", node.run(_SAVE).stdout)) for name, node in lab.nodes.items()}


def differences(before: dict[str, str], after: dict[str, str]) -> str:
    """What differs, as a unified diff for each node that differs; empty when nothing does."""
    lines: list[str] = []
    for name, text in before.items():
        old, new = text.splitlines(), after[name].splitlines()
        lines += difflib.unified_diff(old, new, f"{name} before", f"{name} after", lineterm="", n=1)
    return "\n".join(lines)
