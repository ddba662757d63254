# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs ansible-test sanity on a copy of the collection, caches in this tree: ``python -m tools.sanity [ARGS]``.

A copy outside this tree, because ansible-test asks git which files there are (and git may refuse a tree that
belongs to somebody else), and leaves its output where it ran.
"""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from . import get_pip
from .places import CACHE, COLLECTION, SCRIPTS, copy_tree, environment

_HOME = CACHE / "sanity/home"


def main(arguments: list[str]) -> int:
    """Run the sanity tests with this interpreter; the exit status is ansible-test's."""
    _place_get_pip()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [str(SCRIPTS / "ansible-test"), "sanity", "--color", "no", "--truncate", "0"]
    interpreter = ["--python", version, "--python-interpreter", sys.executable]
    with tempfile.TemporaryDirectory(prefix="npm-sanity-") as directory:
        copy = Path(directory, "ansible_collections/npm/netpol")
        copy_tree(COLLECTION, copy)
        _place_pip_configuration()
        return subprocess.run(
            [*command, *interpreter, *arguments], cwd=copy, env=environment(HOME=str(_HOME)), check=False
        ).returncode


def _place_get_pip() -> None:
    cache = _HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(get_pip.__file__, cache / f"get_pip_{_pip_version().replace('.', '_')}.py")


def _place_pip_configuration() -> None:
    """What pip is told here, in the home where ansible-test looks: it hands no PIP_ variable on."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    configuration = configparser.RawConfigParser()
    configuration["global"] = {"quiet": "1"}
    # Variables win over files, so they come last.
    for line in sorted(listed.splitlines(), key=lambda each: each.startswith(":env:")):
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        section = "global" if section == ":env:" else section
        if section not in configuration:
            configuration.add_section(section)
        configuration[section][key] = str(ast.literal_eval(value))
    file = _HOME / ".config/pip/pip.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    # An index's address may hold a password.
    file.touch(mode=0o600)
    with file.open("w") as stream:
        configuration.write(stream)


def _pip_version() -> str:
    """The pip that this ansible-test puts into its environments: the name under which it looks for get-pip."""
    package = find_spec("ansible_test")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("ansible-core has no ansible_test package in this environment")
    source = Path(package.submodule_search_locations[0], "_internal/python_requirements.py")
    found = re.search(r"\bpip='([0-9.]+)'", source.read_text())
    if found is None:
        raise SystemExit(f"{source} no longer says which pip it installs; tests/tools/sanity.py has to learn it anew")
    return found[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
