# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a run is: a bar on a terminal, a line at the end elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

_WIDTH = 30


class Progress:
    """Of ``total`` steps, on standard error."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._failed = 0
        self._is_terminal = sys.stderr.isatty()

    def step(self, *, failed: bool) -> None:
        self._done += 1
        self._failed += failed
        self._draw()

    def say(self, text: str) -> None:
        """Something to read, above the bar."""
        self._clear()
        print(text, flush=True)
        self._draw()

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._clear()
        failed = f", {self._failed} failed" if self._failed else ""
        print(f"{self._title}: {self._done} of {self._total} cases{failed}", file=sys.stderr, flush=True)

    def _draw(self) -> None:
        if self._is_terminal:
            filled = _WIDTH * self._done // self._total
            failed = f" {self._failed} failed" if self._failed else ""
            bar = f"{self._title:10} [{'#' * filled:{_WIDTH}}] {self._done}/{self._total}{failed}"
            print(f"\r{bar}", end="", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
