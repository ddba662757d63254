# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run benchmarks, all or one, and print a table of each."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from . import ansible, dataplane, document, node, node_pod, propagation, snapshot
from . import compile as compile_benchmark
from .results import Results, Table, describe, machine, markdown

_COMPILE = "Each figure from a process of its own, from a snapshot that is loaded."


def _compile(*, full: bool) -> list[Table]:
    return [Table("compile", _COMPILE, compile_benchmark.COLUMNS, compile_benchmark.run())]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``about``: in one line, what is measured at which sizes, and about how long that takes."""

    run: Callable[..., list[Table]]
    about: str


BENCHMARKS = {
    "ansible": Benchmark(
        ansible.run, "a run beside ping and raw, 30 and 100 nodes, 10 min; --full: 100 and 300, 30 min"
    ),
    "compile": Benchmark(_compile, "up to 150,000 pods, 75,000 policies, 5,000 nodes; 10 min"),
    "dataplane": Benchmark(
        dataplane.run,
        "packets past 1 to 10,000 policies, nft and legacy, 10 min; --full: peers with 10,000 too, 30 min",
    ),
    "node": Benchmark(node.run, "one full node, 250 pods, 150,000 members, nft and legacy; 5 min"),
    "node_pod": Benchmark(node_pod.run, "exec beside SSH, 10 MB, 5 nodes, 5 min; --full: 100 MB, 50 nodes, 15 min"),
    "propagation": Benchmark(
        propagation.run, "from a change to its verdict, 1 and 10 nodes, 5 min; --full: 50 too, 10 min"
    ),
    "snapshot": Benchmark(snapshot.run, "reading 2,000 pods, 2 min; --full: 20,000 and 150,000 too, more than an hour"),
}
_TIMES = "Times are rough, on two cores with nothing else to do."


def _help() -> str:
    width = max(map(len, BENCHMARKS))
    return "\n".join(["benchmarks:", *(f"  {name:{width}}  {each.about}" for name, each in BENCHMARKS.items()), _TIMES])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        description=__doc__,
        epilog=_help(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), metavar="NAME", help="only this one")
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
        tables = BENCHMARKS[name].run(full=arguments.full)
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
