# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generated parts of ``docs/conformance.md``, each between two comments that name it."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/conformance.md"


def get(name: str, page: Path = PAGE) -> str:
    """The part of that name. Raises ValueError when the page has none."""
    return _around(name, page)[1].strip("\n") + "\n"


def put(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the part of that name. Raises ValueError when the page has none."""
    before, _old, after = _around(name, page)
    page.write_text(f"{before}\n{text}\n{after}")


def _around(name: str, page: Path) -> tuple[str, str, str]:
    """What is before the part, its beginning included; the part; and what follows, beginning with its end."""
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->\n"
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page.name} needs {begin.strip()} and {end.strip()} once")
    first, last = text.index(begin) + len(begin), text.index(end)
    return text[:first], text[first:last], text[last:]
