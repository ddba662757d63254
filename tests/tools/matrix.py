# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The versions that are promised: the unit tests on the oldest and the newest that each Python here can have.

And, where packets can be had, whole runs over our own connection plugin: what Ansible asks of those has changed often.
The oldest are the lower bounds of requirements.txt, on the first Python that can have all of them; the newest are
what pip chooses for each Python that this machine has.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from . import packets
from .places import ROOT, environment

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# The last Python on which the oldest ansible-core's controller runs comes later; the first of ours is enough.
_OLDEST_ON = "3.11"
# The lab's parts run here, on the newest versions only: their tests drive them with the newest client.
_OF_THE_LAB = ("tests/unit/api", "tests/unit/lab")
# Tasks, forks, plays and interruptions over helper pods; modules, scripts and become through them.
_OF_THE_CONNECTION = (
    "tests/integration/node_pod/test_enforce_without_ssh.py",
    *(
        f"tests/integration/node_pod/test_connection_cases.py::{name}"
        for name in ("test_raw_and_files_with_unicode", "test_become", "test_a_module_as_a_file_and_a_script")
    ),
)
# Of tests/requirements.txt, what tests import.
_TEST_TOOLS = (
    *("pytest>=8,<10", "pytest-xdist>=3.5,<4", "hypothesis>=6.100,<7"),
    *("cel-python>=0.4,<1", "cryptography>=42", "wsproto>=1.2,<2"),
)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of the matrix and what goes into it."""

    title: str
    interpreter: Path
    requirements: tuple[str, ...]

    @property
    def directory(self) -> Path:
        return ROOT / f".venv-{self.title.replace(' ', '-')}"


def environments() -> list[Environment]:
    """The matrix for the Pythons that this machine has; the others are left out."""
    ranges = _ranges()
    found = {version: path for version in _PYTHONS if (path := _interpreter(version))}
    newest = [Environment(f"python{version} newest", path, ranges) for version, path in found.items()]
    if _OLDEST_ON in found:
        oldest = tuple(lower_bound(each) for each in ranges)
        return [Environment(f"python{_OLDEST_ON} oldest", found[_OLDEST_ON], oldest), *newest]
    return newest


def run(entry: Environment, become_root: Callable[[dict[str, str]], list[str] | None]) -> int:
    """Build the environment, unless it is there, and run its tests. Pytest's exit status.

    ``become_root`` gives what goes before a command that runs as root, with the values that it is to have; None: there
    is no way, and what needs packets is left out.
    """
    python = entry.directory / "bin/python"
    _build(entry, python)
    subprocess.run([python, "-m", "pip", "list", "--format", "freeze"], cwd=ROOT, env=environment(), check=True)
    values = environment(PATH=os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)]))
    # Hypothesis and pytest keep what they found apart for each version: an example of one must not steer another.
    values |= {"HYPOTHESIS_STORAGE_DIRECTORY": str(entry.directory / "hypothesis")}
    cache = ["-o", f"cache_dir={entry.directory / 'pytest_cache'}"]
    ignored = [f"--ignore={path}" for path in _OF_THE_LAB]
    pytest = [str(python), "-m", "pytest", "-q"]
    anywhere = [*pytest, "-n", "2", "--dist", "loadfile", *cache, *ignored, "-m", "not root and not full", "tests/unit"]
    status = subprocess.run(anywhere, cwd=ROOT, env=values, check=False).returncode
    # Root must leave nothing of its own in somebody else's tree.
    values["PYTHONDONTWRITEBYTECODE"] = "1"
    prefix = become_root(values)
    if status or prefix is None:
        return status or int(packets.required())
    on_packets = [*prefix, *pytest, "-p", "tools.packets", "-p", "no:cacheprovider", "-m", "not full"]
    return subprocess.run([*on_packets, *_OF_THE_CONNECTION], cwd=ROOT, env=values, check=False).returncode


def _build(entry: Environment, python: Path) -> None:
    packages = [*entry.requirements, *_TEST_TOOLS]
    stamp = entry.directory / "npm-stamp"
    wanted = hashlib.sha256("\n".join([str(entry.directory), str(entry.interpreter), *packages]).encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(entry.directory, ignore_errors=True)
    subprocess.run([str(entry.interpreter), "-m", "venv", str(entry.directory)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], env=environment(), check=True)
    stamp.write_text(wanted)


def _ranges() -> tuple[str, ...]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def lower_bound(requirement: str) -> str:
    """``name>=1.2,<3`` -> ``name==1.2.*``: the oldest line of releases, with its fixes."""
    found = re.fullmatch(r"([A-Za-z0-9_.-]+)>=([0-9.]+)(,.*)?", requirement)
    if found is None:
        raise SystemExit(f"requirements.txt: {requirement!r} has no lower bound of the form name>=version")
    return f"{found[1]}=={found[2]}.*"


def _interpreter(version: str) -> Path | None:
    """The first Python of that version that starts; a version manager's stand-in for one that is absent does not."""
    for candidate in _candidates(version):
        probe = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for directory in os.get_exec_path():
        if os.access(candidate := Path(directory, name), os.X_OK):
            yield candidate
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    yield from sorted(versions.glob(f"{version}.*/bin/{name}"))
