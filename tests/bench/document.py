# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The generated parts of ``docs/benchmarks.md``: tables and plots of the figures kept in ``docs/benchmarks``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from . import plot
from .results import Results, Table, describe, markdown

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, KEPT = DOCS / "benchmarks.md", DOCS / "benchmarks"
# Compiling has its own section, by hand.
GENERATED = ("node", "dataplane", "ansible")


def keep(results: Iterable[Results]) -> None:
    """From now on these are the documented figures of their benchmarks."""
    KEPT.mkdir(exist_ok=True)
    for each in results:
        if each.benchmark in GENERATED:
            each.save(KEPT / f"{each.benchmark}.json")


def write() -> None:
    """Bring page and plots to the figures kept. The same figures give the same bytes."""
    text = PAGE.read_text(encoding="utf-8")
    for name in GENERATED:
        if (path := KEPT / f"{name}.json").exists():
            results = Results.load(path)
            plots = {title: svg for table in results.tables for title, svg in _plots(table)}
            for file, svg in plots.items():
                (KEPT / file).write_text(svg, encoding="utf-8")
            text = replaced(text, name, part(results, plots))
    PAGE.write_text(text, encoding="utf-8")


def part(results: Results, plots: Iterable[str]) -> str:
    """What stands between a benchmark's two marks."""
    parts = [f"`{results.command}`, on: {describe(results.machine)}.\n"]
    for table in results.tables:
        parts.append(f"{table.title}\n\n{markdown(table)}")
    parts += [f"![{Path(file).stem.replace('-', ' ')}](benchmarks/{file})\n" for file in plots]
    return "\n".join(parts)


def replaced(page: str, name: str, text: str) -> str:
    """Raises ValueError when the page has not both marks of that name, once."""
    begin, end = f"<!-- {name}: generated -->\n", f"<!-- {name}: end -->\n"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page needs {begin.strip()} and {end.strip()} once")
    return f"{page[: page.index(begin)]}{begin}\n{text}\n{page[page.index(end) :]}"


def _plots(table: Table) -> Iterator[tuple[str, str]]:
    """File name and picture: the tables in which a curve says more than numbers."""
    if table.name == "connections":
        for variant in dict.fromkeys(row["iptables"] for row in table.rows):
            rows = [row for row in table.rows if row["iptables"] == variant and row["local pods"] == 30]
            lines = {
                name.removesuffix(" x"): [(row["policies"], row[name]) for row in rows if row[name] != ""]
                for name in table.columns
                if name.endswith(" x")
            }
            title = f"Time to connect ({variant}, 30 local pods)"
            yield f"connections-{variant}.svg", plot.log_log(title, "policies", "times a node without policies", lines)
    if table.name == "runs":
        lines = _by_connection(table, {"ping": "ping s", "raw": "raw s", "run": "run s"})
        if all(len(points) > 1 for points in lines.values()):
            yield "ansible-runs.svg", plot.log_log("Runs over nodes in sync", "nodes", "seconds", lines)


def _by_connection(table: Table, columns: Mapping[str, str]) -> dict[str, list[tuple[float, float]]]:
    connections = dict.fromkeys(row["connection"] for row in table.rows)
    return {
        f"{name}, {connection}": [(row["nodes"], row[column]) for row in table.rows if row["connection"] == connection]
        for connection in connections
        for name, column in columns.items()
    }
