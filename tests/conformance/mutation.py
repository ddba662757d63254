# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The suites tested: does each fault of ``mutants.yaml``, put into a copy of the collection, make a case fail?

The suites are judged by the packet walk, against the verdicts that their cases have: no kernel, and no oracle.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from . import offline
from .case import Case, all_cases, cases_of

ROOT = Path(__file__).parents[2]
_COLLECTION = Path("ansible_collections/npm/netpol")
_FILE = Path(__file__).with_name("mutants.yaml")
# What a mutant may change.
_COPIED = ("plugins", "roles")


class MutantError(ValueError):
    """A mutant whose text is not there, or is there more than once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """``old`` stands once in ``file``, which is within the collection."""

    file: str
    old: str
    new: str

    def apply(self, collection: Path) -> None:
        path = collection / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise MutantError(f"{self.file}: {self.old!r} stands there {text.count(self.old)} times")
        path.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    rule: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """``caught``: by suite, the first case that failed; suites that noticed nothing are missing."""

    mutant: Mutant
    caught: Mapping[str, str]


@cache
def mutants() -> tuple[Mutant, ...]:
    return tuple(_mutant(item) for item in yaml.safe_load(_FILE.read_text()))


def _mutant(item: Mapping[str, Any]) -> Mutant:
    edits = [item, *([{"file": item["file"], **item["also"]}] if "also" in item else [])]
    return Mutant(item["name"], item["rule"], tuple(Edit(each["file"], each["old"], each["new"]) for each in edits))


def judge(some: Sequence[Mutant], suites: Sequence[str] = (), jobs: int = 2) -> Iterator[Judgement]:
    """In the order given, by the suites of these names or by all. Raises :class:`MutantError`."""
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(partial(_judge, suites=suites), some)


def _judge(mutant: Mutant, suites: Sequence[str]) -> Judgement:
    with tempfile.TemporaryDirectory(prefix="npm-mutant-") as directory:
        copy = Path(directory) / _COLLECTION
        for name in _COPIED:
            shutil.copytree(ROOT / "collections" / _COLLECTION / name, copy / name)
        for edit in mutant.edits:
            edit.apply(copy)
        values = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{directory}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [sys.executable, "-m", __name__, *suites]
        done = subprocess.run(command, env=values, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MutantError(f"{mutant.name}: the suites did not come to an end:\n{done.stderr}")
    return Judgement(mutant, json.loads(done.stdout))


def first_failures(cases: Iterable[Case]) -> dict[str, str]:
    """By suite, the first case that the packet walk does not find as expected."""
    failures: dict[str, str] = {}
    for case in cases:
        if case.suite not in failures and _fails(case):
            failures[case.suite] = case.name
    return failures


def _fails(case: Case) -> bool:
    try:
        return any(
            offline.by_walk(step, step.expected) != step.expected or offline.stopped_by_walk(step)
            for step in case.steps
        )
    except Exception:
        # A mutant may fail in any way, and each counts as noticed.
        return True


def markdown(judgements: Sequence[Judgement], before: str = "") -> str:
    """A table of the mutants, by rule, and of the suites that catch each.

    Those that were not judged keep their line in ``before``, an older table. Raises :class:`ValueError` when that one
    is of other suites.
    """
    suites = list(dict.fromkeys(case.suite for case in all_cases()))
    head = [f"| rule | fault | {' | '.join(suites)} |", f"|{'---|' * (2 + len(suites))}"]
    first, second, *old = before.splitlines() or head
    if [first, second] != head:
        raise ValueError("the table is of other suites: all mutants need to be judged")
    lines = {line.split(" | ")[1]: line for line in old}
    for each in judgements:
        cells = ["caught" if suite in each.caught else "" for suite in suites]
        lines[each.mutant.name] = f"| {each.mutant.rule} | {each.mutant.name} | {' | '.join(cells)} |"
    known = [mutant.name for mutant in sorted(mutants(), key=lambda mutant: mutant.rule)]
    return "\n".join([*head, *(lines[name] for name in known if name in lines)]) + "\n"


if __name__ == "__main__":
    chosen = sys.argv[1:]
    print(json.dumps(first_failures(cases_of(chosen) if chosen else all_cases())))
