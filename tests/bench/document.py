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
# Advice for many nodes has its tables where people look for it: in the collection.
SCALE_PAGE = DOCS.parent / "collections/ansible_collections/npm/netpol/docs/scale.md"
SCALE_TABLES = ("choices", "scale")
GENERATED = ("compile", "node", "dataplane", "ansible", "node_pod", "propagation", "snapshot")


def keep(results: Iterable[Results]) -> None:
    """From now on these are the documented figures of their benchmarks."""
    KEPT.mkdir(exist_ok=True)
    for each in results:
        each.save(KEPT / f"{each.benchmark}.json")


def write() -> None:
    """Bring pages and plots to the figures kept. The same figures give the same bytes."""
    pages = {path: path.read_text(encoding="utf-8") for path in (PAGE, SCALE_PAGE)}
    for name in GENERATED:
        if not (path := KEPT / f"{name}.json").exists():
            continue
        results = Results.load(path)
        plots = {title: svg for table in results.tables for title, svg in _plots(table)}
        for file, svg in plots.items():
            (KEPT / file).write_text(svg, encoding="utf-8")
        here = [table for table in results.tables if table.name not in SCALE_TABLES]
        pages[PAGE] = replaced(pages[PAGE], name, part(results, here, plots))
        for table in results.tables:
            if table.name in SCALE_TABLES:
                pages[SCALE_PAGE] = replaced(pages[SCALE_PAGE], table.name, part(results, [table], ()))
    for page, text in pages.items():
        page.write_text(text, encoding="utf-8")


def part(results: Results, tables: Iterable[Table], plots: Iterable[str]) -> str:
    """What stands between two marks."""
    parts = [f"`{results.command}`, on: {describe(results.machine)}.\n"]
    parts += [f"{table.title}\n\n{markdown(table)}" for table in tables]
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
    if table.name == "compile" and (lines := _by_share(table)):
        title = "A mixed cluster of fewer pods, or of fewer policies"
        yield "compile.svg", plot.log_log(title, "share of 150,000 pods, of 10,000 policies", "CPU seconds", lines)
    if table.name == "runs":
        lines = _by_connection(table, {"ping": "ping s", "raw": "raw s", "run": "run s"})
        curves = {name: points for name, points in lines.items() if len(points) > 1}
        if curves:
            yield "ansible-runs.svg", plot.log_log("Runs over nodes in sync", "nodes", "seconds", curves)


def _by_share(table: Table) -> dict[str, list[tuple[float, float]]]:
    """CPU seconds of case (f), by which share of its pods, or of its policies, there are."""
    whole = next((row for row in table.rows if row["case"] == "f"), None)
    if whole is None:
        return {}
    return {
        f"{what}, {size}": sorted(
            (row[size] / whole[size], row[column])
            for row in table.rows
            if row["case"] == "f" or row["case"].endswith(f"of the {size}")
        )
        for what, column in (("all files", "rendered: CPU s"), ("compiled", "CPU s"), ("one node", "one node: CPU s"))
        for size in ("pods", "policies")
    }


def _by_connection(table: Table, columns: Mapping[str, str]) -> dict[str, list[tuple[float, float]]]:
    connections = dict.fromkeys(row["connection"] for row in table.rows)
    return {
        f"{name}, {connection}": [(row["nodes"], row[column]) for row in table.rows if row["connection"] == connection]
        for connection in connections
        for name, column in columns.items()
    }
