# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The test suite in its groups: ``python -m tools.suite [--full] [PYTEST ARGS]``.

First what runs anywhere; then what needs root and network namespaces, through sudo when somebody else than root runs
it. Pytest's arguments go to both; a path narrows what both look at.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import matrix, packets
from .places import CACHE, ROOT, environment

_NOTHING_COLLECTED = 5
# What sudo would drop and a test may need.
_THROUGH_SUDO = ("CI", "NPM_", "PATH", "PYTHON", "TERM", "LANG", "LC_", "HYPOTHESIS_", "COLUMNS")


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    marker: str
    options: tuple[str, ...] = ()
    as_root: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    title: str
    status: int
    counts: str
    seconds: float


# Processes share a group. Each begins with one part, in its order, so that few files have their labs made twice. Two
# processors are busy with two of what computes; what waits for packets, timeouts and pods leaves half of them idle.
_SHARED = ("--dist", "worksteal")
GROUPS = (
    Group("anywhere", "not root", ("-n", "2", *_SHARED)),
    Group("packets", "root", ("-p", "no:cacheprovider", "-n", "3", *_SHARED), as_root=True),
)


def main(arguments: list[str]) -> int:
    """Run the groups, and with ``--full`` the version matrix. 0 when all passed and something ran."""
    full = "--full" in arguments
    wanted, others = _marker_of([argument for argument in arguments if argument != "--full"])
    results = []
    for group in GROUPS:
        marker = " and ".join(f"({each})" for each in (group.marker, "" if full else "not full", wanted) if each)
        results.append(_run(group, marker, others))
    if full:
        results += [_matrix(each) for each in matrix.environments()]
    return _summarise(results)


def _marker_of(arguments: list[str]) -> tuple[str, list[str]]:
    """The caller's own ``-m EXPRESSION``, and the other arguments: pytest would take only the last ``-m``."""
    if "-m" not in arguments[:-1]:
        return "", arguments
    at = arguments.index("-m")
    return arguments[at + 1], arguments[:at] + arguments[at + 2 :]


def _run(group: Group, marker: str, arguments: list[str]) -> Result:
    print(f"\n== {group.title} ==", flush=True)
    start = time.monotonic()
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="npm-test-") as directory:
        counts = Path(directory, "counts")
        # Root must leave nothing of its own in somebody else's tree.
        own = {"PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_STORAGE_DIRECTORY": directory} if group.as_root else {}
        values = environment(NPM_TEST_COUNTS=str(counts), **own)
        prefix = _become_root(values) if group.as_root else []
        if prefix is None:
            return Result(group.title, int(packets.required()), "not run: needs root, and sudo is not there", 0.0)
        command = [sys.executable, "-m", "pytest", "-p", "tools.packets", "-m", marker, *group.options, *arguments]
        status = subprocess.run([*prefix, *command], cwd=ROOT, env=values, check=False).returncode
        said = counts.read_text() if counts.exists() else "pytest did not finish"
    return Result(group.title, status, said, time.monotonic() - start)


def _become_root(values: dict[str, str]) -> list[str] | None:
    """What goes before a command, for it to run as root with these values; None: there is no way."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    kept = [f"{name}={value}" for name, value in sorted(values.items()) if name.startswith(_THROUGH_SUDO)]
    interactive = [] if sys.stdin.isatty() else ["-n"]
    return [sudo, *interactive, "env", *kept]


def _matrix(entry: matrix.Environment) -> Result:
    print(f"\n== {entry.title} ==", flush=True)
    start = time.monotonic()
    status = matrix.run(entry, _become_root)
    return Result(entry.title, status, "passed" if status == 0 else "failed", time.monotonic() - start)


def _summarise(results: list[Result]) -> int:
    print()
    failed = [each for each in results if each.status not in {0, _NOTHING_COLLECTED}]
    for each in results:
        print(f"{'FAILED' if each in failed else 'ok    '} {each.title}: {each.counts} ({each.seconds:.0f} s)")
    if all(each.status == _NOTHING_COLLECTED for each in results):
        print("no test was selected")
        return _NOTHING_COLLECTED
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
