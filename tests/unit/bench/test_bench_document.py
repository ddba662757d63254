# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The page of figures: what is generated, and that the page is what its figures give."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from bench import document, plot
from bench.results import Results, Table, markdown
from tools.places import COLLECTION

TABLE = Table("steps", "What steps cost.", ("step", "count"), [{"step": "one", "count": 1000}])
RESULTS = Results("node", "./dev bench node", {"cores": 2}, (TABLE,))


def test_a_table_is_markdown_with_numbers_to_the_right() -> None:
    assert markdown(TABLE).splitlines() == ["| step | count |", "| --- | ---: |", "| one | 1,000 |"]


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    RESULTS.save(tmp_path / "node.json")
    assert Results.load(tmp_path / "node.json") == RESULTS


def test_a_part_says_the_command_and_the_machine_and_replaces_the_old_one() -> None:
    page = "before\n<!-- node: generated -->\nold\n<!-- node: end -->\nafter\n"
    text = document.replaced(page, "node", document.part(RESULTS, [TABLE], ["a-plot.svg"]))
    assert "`./dev bench node`, on: cores 2." in text
    assert "![a plot](benchmarks/a-plot.svg)" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="node: generated"):
        document.replaced("no marks\n", "node", "")


def test_the_pages_are_what_the_kept_figures_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAGE", "SCALE_PAGE"):
        page = getattr(document, name)
        (tmp_path / page.name).write_bytes(page.read_bytes())
        monkeypatch.setattr(document, name, tmp_path / page.name)
    before = {path.name: path.read_bytes() for path in document.KEPT.iterdir()}
    shutil.copytree(document.KEPT, tmp_path / "benchmarks")
    monkeypatch.setattr(document, "KEPT", tmp_path / "benchmarks")
    document.write()
    assert {path.name: path.read_bytes() for path in document.KEPT.iterdir()} == before
    for page in (document.DOCS / "benchmarks.md", COLLECTION / "docs/scale.md"):
        assert (tmp_path / page.name).read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_a_plot_places_powers_of_ten_evenly() -> None:
    svg = plot.log_log("cost", "size", "seconds", {"a <line>": [(1, 1), (10, 10), (100, 100)]})
    root = ET.fromstring(svg)  # noqa: S314 - our own text
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    places = [(float(each.attrib["cx"]), float(each.attrib["cy"])) for each in circles]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y1 > y2
    assert "a &lt;line&gt;" in svg
