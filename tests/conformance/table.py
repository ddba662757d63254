# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was expected beside what was seen, for a person to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .flow import Flow

_MARKS = {True: "+", False: "-"}


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


def truth(expected: Mapping[Flow, bool], seen: Mapping[Flow, bool]) -> str:
    """A truth table for each port and family that has a difference, expected beside seen: ``+`` passes, ``-`` does not,
    a blank was not asked, and ``!`` stands behind what is not as expected."""
    wrong = {(flow.at, flow.family) for flow, verdict in expected.items() if seen[flow] != verdict}
    return "\n\n".join(_table(f"{at} over {family}", at, family, expected, seen) for at, family in sorted(wrong))


def _table(title: str, at: str, family: str, expected: Mapping[Flow, bool], seen: Mapping[Flow, bool]) -> str:
    asked = {(flow.source, flow.target): flow for flow in expected if (flow.at, flow.family) == (at, family)}
    sources = list(dict.fromkeys(source for source, _target in asked))
    targets = list(dict.fromkeys(target for _source, target in asked))
    first = max(len(each) for each in (title, *sources))
    half = sum(len(target) + 2 for target in targets)
    lines = [f"{title:{first}}  {'expected':{half}}| seen", f"{'':{first}}  {_names(targets)}| {_names(targets)}"]
    for source in sources:
        left = _marks(source, targets, asked, lambda flow: _MARKS[expected[flow]])
        right = _marks(
            source, targets, asked, lambda flow: _MARKS[seen[flow]] + ("!" if seen[flow] != expected[flow] else "")
        )
        lines.append(f"{source:{first}}  {''.join(left)}| {''.join(right)}")
    return "\n".join(line.rstrip() for line in lines)


def _names(targets: list[str]) -> str:
    return "".join(f"{target}  " for target in targets)


def _marks(source: str, targets: list[str], asked: Mapping[tuple[str, str], Flow], mark: Any) -> Iterator[str]:
    for target in targets:
        flow = asked.get((source, target))
        yield f"{mark(flow) if flow else '':{len(target)}}  "
