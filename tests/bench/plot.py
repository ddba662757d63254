# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Curves on two logarithmic scales, as SVG: enough to see what a cost grows with. The same points, the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

Point = tuple[float, float]
WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 40, 50
# Told apart by people who see no red or no green (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999", "#f0e442")


def log_log(title: str, across: str, up: str, lines: Mapping[str, Sequence[Point]]) -> str:
    """A picture of named lines. Every coordinate must be above nothing."""
    points = [point for line in lines.values() for point in line]
    horizontal = _Scale([x for x, _ in points], LEFT, WIDTH - RIGHT)
    vertical = _Scale([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        f'<g transform="rotate(-90 16 {HEIGHT / 2:g})">{_text(16, HEIGHT / 2, up, anchor="middle")}</g>',
    ]
    for value in horizontal.ticks():
        x = horizontal.place(value)
        parts.append(_line((x, TOP), (x, HEIGHT - BOTTOM), "#dddddd"))
        parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{value:,g}", anchor="middle"))
    for value in vertical.ticks():
        y = vertical.place(value)
        parts.append(_line((LEFT, y), (WIDTH - RIGHT, y), "#dddddd"))
        parts.append(_text(LEFT - 6, y + 4, f"{value:,g}", anchor="end"))
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(horizontal.place(x), vertical.place(y)) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = TOP + 10 + 20 * number
        parts.append(_line((WIDTH - RIGHT + 12, y), (WIDTH - RIGHT + 32, y), colour, 2))
        parts.append(_text(WIDTH - RIGHT + 38, y + 4, name))
    return "\n".join((*parts, "</svg>", ""))


class _Scale:
    """Places values between two coordinates, by their logarithms."""

    def __init__(self, values: Iterable[float], first: float, last: float) -> None:
        logarithms = [math.log10(value) for value in values]
        # A little room on both sides; a single value stands in the middle.
        self._low, self._high = min(logarithms) - 0.05, max(logarithms) + 0.05
        self._first, self._last = first, last

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> Iterator[float]:
        """1, 2 and 5 times the powers of ten; only those powers where they are many."""
        steps = (1, 2, 5) if self._high - self._low < 2.5 else (1,)
        for exponent in range(math.floor(self._low), math.ceil(self._high) + 1):
            for step in steps:
                if self._low <= math.log10(step) + exponent <= self._high:
                    yield float(f"{step}e{exponent}")


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _line(start: Point, end: Point, colour: str, width: int = 1) -> str:
    (x1, y1), (x2, y2) = start, end
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"/>'
