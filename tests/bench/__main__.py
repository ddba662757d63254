# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m bench [NAME] [--full] [--json FILE] [--keep] [--document]``: run benchmarks and print a table of each."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from . import ansible, dataplane, document, node, node_pod, propagation, snapshot
from . import compile as compile_benchmark
from .results import Results, Table, describe, machine, markdown

_COMPILE = "Each figure from a process of its own, from a snapshot that is loaded."


def _compile(*, full: bool) -> list[Table]:
    return [Table("compile", _COMPILE, compile_benchmark.COLUMNS, compile_benchmark.run())]


BENCHMARKS: dict[str, Callable[..., list[Table]]] = {
    "compile": _compile,
    "node": node.run,
    "ansible": ansible.run,
    "dataplane": dataplane.run,
    "node_pod": node_pod.run,
    "propagation": propagation.run,
    "snapshot": snapshot.run,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), help="only this one")
    parser.add_argument("--full", action="store_true", help="the larger sizes, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--keep", action="store_true", help="the figures become those of docs/benchmarks.md")
    parser.add_argument("--document", action="store_true", help="measure nothing: write the page from the figures kept")
    arguments = parser.parse_args()
    if arguments.document:
        document.write()
        return
    about = machine()
    print(describe(about))
    results = []
    for name in [arguments.name] if arguments.name else sorted(BENCHMARKS):
        tables = BENCHMARKS[name](full=arguments.full)
        command = shlex.join(["./dev", "bench", name, *(["--full"] if arguments.full else [])])
        results.append(Results(name, command, about, tuple(tables)))
        for table in tables:
            print(f"\n{table.title}\n\n{markdown(table)}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n", encoding="utf-8")
    if arguments.keep:
        document.keep(results)


if __name__ == "__main__":
    main()
