# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a benchmark gives: tables with the machine that they are from, as text and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """``name`` is what documents and plots know it by, ``title`` says in a sentence what its figures are."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Results:
    """One run of one benchmark."""

    benchmark: str
    command: str
    machine: Mapping[str, Any]
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        data = json.loads(path.read_text(encoding="utf-8"))
        tables = (Table(**{**each, "columns": tuple(each["columns"])}) for each in data.pop("tables"))
        return cls(**data, tables=tuple(tables))


def markdown(table: Table) -> str:
    """The table's lines, the title not among them; numbers to the right."""
    numeric = [all(isinstance(row[name], int | float) for row in table.rows) for name in table.columns]
    lines = [table.columns, ["---:" if each else "---" for each in numeric]]
    lines += [[_cell(row[name]) for name in table.columns] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, Any]:
    """What the figures depend on, and how busy the machine was with other things when the run began."""
    return {
        "processor": _first("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "ansible-core": version("ansible-core"),
        "iptables": _version("iptables", "--version"),
        "ipset": _version("ipset", "--version"),
        "load before": round(os.getloadavg()[0], 1),
    }


def describe(machine: Mapping[str, Any]) -> str:
    """One line for people."""
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def _first(path: str, name: str) -> str:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), platform.machine())


def _version(program: str, option: str) -> str:
    printed = subprocess.run([program, option], capture_output=True, text=True, check=True).stdout
    return next(word.strip("v,[]()") for word in printed.split() if any(letter.isdigit() for letter in word))
