# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generated parts of ``docs/conformance.md``, each between two comments that name it."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/conformance.md"


def put(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the part of that name. Raises ValueError when the page has none."""
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->\n"
    old = page.read_text()
    if old.count(begin) != 1 or old.count(end) != 1:
        raise ValueError(f"{page.name} needs {begin.strip()} and {end.strip()} once")
    page.write_text(f"{old[: old.index(begin)]}{begin}\n{text}\n{old[old.index(end) :]}")
