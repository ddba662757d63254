# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All linters: ``python -m tools.lint [NAME ...]``. Prints a line for each, and the output of those that fail."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from .places import COLLECTION, ROOT, SCRIPTS, environment, tracked_files

_SHELLS = ("#!/bin/sh", "#!/usr/bin/env sh", "#!/bin/bash", "#!/usr/bin/env bash", "#!/bin/dash")


@dataclass(frozen=True, slots=True)
class Check:
    """A linter: its command line, run in ``directory``."""

    name: str
    command: Sequence[str | Path]
    directory: Path = field(default=ROOT)


@dataclass(frozen=True, slots=True)
class Outcome:
    check: Check
    passed: bool
    seconds: float
    output: str


def checks() -> list[Check]:
    """Every linter; the slow ones first, so that the others run beside them."""
    return [
        Check("sanity", [sys.executable, "-m", "tools.sanity"]),
        Check("ansible-lint", [SCRIPTS / "ansible-lint", "-q", "--nocolor"]),
        Check("mypy", [SCRIPTS / "mypy", COLLECTION.relative_to(ROOT) / "plugins/plugin_utils"]),
        Check("ruff", [SCRIPTS / "ruff", "check", "--quiet", "."]),
        Check("format", [SCRIPTS / "ruff", "format", "--check", "--quiet", "--diff", "."]),
        Check("shellcheck", ["shellcheck", *_shell_scripts()]),
        Check("yamllint", [SCRIPTS / "yamllint", "--strict", "."]),
        Check("changelog", [SCRIPTS / "antsibull-changelog", "lint"], COLLECTION),
    ]


def _shell_scripts() -> list[Path]:
    return [path for path in tracked_files(ROOT) if _is_shell(ROOT / path)]


def _is_shell(path: Path) -> bool:
    # A template becomes a script only when it is rendered; the templates' own tests check the result.
    if path.is_symlink() or path.suffix == ".j2":
        return False
    with path.open("rb") as file:
        first = file.readline(80).decode("utf-8", "replace").strip()
    return first in _SHELLS or (path.suffix == ".sh" and not first.startswith("#!"))


def run(check: Check) -> Outcome:
    """Run one linter. One that can't be started has failed."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            check.command,
            cwd=check.directory,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        return Outcome(check, passed=False, seconds=time.monotonic() - start, output=str(error))
    return Outcome(check, done.returncode == 0, time.monotonic() - start, done.stdout)


def main(names: list[str]) -> int:
    """Run the linters with these names, or all. 0 when all pass, 1 when one fails, 2 for a name that isn't there."""
    known = checks()
    unknown = sorted(set(names) - {check.name for check in known})
    if unknown:
        print(f"no such linter: {', '.join(unknown)}. There are: {', '.join(check.name for check in known)}")
        return 2
    chosen = [check for check in known if not names or check.name in names]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        running = [pool.submit(run, check) for check in chosen]
        failed = [outcome for each in as_completed(running) if not _report(outcome := each.result())]
    if failed:
        print(f"failed: {', '.join(sorted(outcome.check.name for outcome in failed))}")
    return 1 if failed else 0


def _report(outcome: Outcome) -> bool:
    print(f"{'ok    ' if outcome.passed else 'FAILED'} {outcome.check.name} ({outcome.seconds:.1f} s)", flush=True)
    if not outcome.passed:
        print(outcome.output.rstrip(), flush=True)
    return outcome.passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
