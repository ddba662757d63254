# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the demo prints: a line for each action with its duration, findings, tables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TextIO


class Report:
    """Writes as it goes, the same to terminals and logs. ``faults`` counts the checks that did not hold."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self._action_began = 0.0
        self._in_action = False
        self.faults = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the report began."""
        return time.monotonic() - self._began

    def heading(self, text: str) -> None:
        self.done()
        self._write(f"\n== {text}\n")

    def action(self, text: str) -> None:
        """What is being done from now on; the action before it is done."""
        self.done()
        self._write(f"   {text} … ")
        self._action_began = time.monotonic()
        self._in_action = True

    def done(self, result: str = "") -> None:
        """The action is done: write how long it took. Without one: nothing."""
        if self._in_action:
            self._write(f"{time.monotonic() - self._action_began:.1f} s{': ' if result else ''}{result}\n")
            self._in_action = False

    def note(self, text: str) -> None:
        self.done()
        for line in text.splitlines():
            self._write(f"   {line}".rstrip() + "\n")

    def check(self, holds: bool, claim: str, otherwise: str = "") -> None:
        """A claim about what was seen. ``otherwise`` says what was seen instead."""
        self.done()
        if not holds:
            self.faults += 1
        self._write(f"   {'ok  ' if holds else 'FAIL'} {claim}\n")
        for line in [] if holds else otherwise.splitlines():
            self._write(f"        {line}\n")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """``rows[0]`` is the heading; all have the same number of cells."""
        self.done()
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        ruler = "  ".join("-" * width for width in widths).rstrip()
        self.note("\n".join(["", lines[0], ruler, *lines[1:]]))

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
