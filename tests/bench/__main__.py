# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m bench [NAME] [--json FILE]``: run benchmarks and print a table of each."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from . import compile as compile_benchmark

BENCHMARKS = {"compile": compile_benchmark}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="only this one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}")
    results = {}
    for name in [arguments.name] if arguments.name else sorted(BENCHMARKS):
        results[name] = BENCHMARKS[name].run()
        print(f"\n{BENCHMARKS[name].__doc__}\n")
        print_table(BENCHMARKS[name].COLUMNS, results[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def print_table(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(str(row[column]) for column in columns)} |")


if __name__ == "__main__":
    main()
