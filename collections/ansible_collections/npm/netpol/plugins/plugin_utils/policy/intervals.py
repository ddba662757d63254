# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Algebra on inclusive integer intervals: what port ranges and address ranges have in common.

A result is always *plain*: sorted, disjoint, and with no two intervals that touch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

Interval = tuple[int, int]
Intervals = tuple[Interval, ...]


def union(intervals: Iterable[Interval]) -> Intervals:
    """All that any of the intervals contains, plain."""
    joined: list[Interval] = []
    for first, last in sorted(intervals):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return tuple(joined)


def subtract(whole: Interval, holes: Iterable[Interval]) -> Intervals:
    """What is left of ``whole`` without the holes, plain."""
    left: list[Interval] = []
    start, end = whole
    for first, last in union(holes):
        if last < start or first > end:
            continue
        if first > start:
            left.append((start, first - 1))
        start = last + 1
    if start <= end:
        left.append((start, end))
    return tuple(left)


def contains(plain: Sequence[Interval], number: int) -> bool:
    """Whether a number lies in one of plain intervals."""
    position = bisect_right(plain, number, key=lambda interval: interval[0])
    return position > 0 and number <= plain[position - 1][1]


def covers(outer: Sequence[Interval], inner: Iterable[Interval]) -> bool:
    """Whether every inner interval lies within the plain outer ones."""
    for first, last in inner:
        position = bisect_right(outer, first, key=lambda interval: interval[0])
        if position == 0 or last > outer[position - 1][1]:
            return False
    return True
