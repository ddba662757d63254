# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the documentation as its readers meet it: ``python -m tools.docs``.

Every plugin through ansible-doc, every reference from one plugin to another, and the changelog's fragments. The checker
of references brings Sphinx with it, so it has an environment of its own that is made when it is first needed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .places import COLLECTION, ROOT, SCRIPTS, environment

_CHECKER = ROOT / ".venv-docs"
_CHECKER_PACKAGES = ("antsibull-docs>=2.16,<3", "ansible-core>=2.17,<2.22")
# Plugin folder -> ansible-doc's name for the type. Actions are documented by the modules of the same name.
_DOCUMENTED = {"modules": "module", "inventory": "inventory", "connection": "connection", "callback": "callback"}


def main() -> int:
    """Run every check, also after one that failed. 0 when all passed."""
    in_tree = environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"))
    passed = [_run(command, in_tree) for command in _shown()]
    passed.append(_run([SCRIPTS / "antsibull-changelog", "lint"], environment(), COLLECTION))
    _make_checker()
    scripts = _CHECKER / "bin"
    references: list[str | Path] = [
        scripts / "antsibull-docs",
        "lint-collection-docs",
        "--plugin-docs",
        "--skip-rstcheck",
        ".",
    ]
    path = f"{scripts}:{environment()['PATH']}"
    passed.append(_run(references, environment(PATH=path), COLLECTION))
    return 0 if all(passed) else 1


def _shown() -> list[list[str | Path]]:
    commands: list[list[str | Path]] = []
    for folder, kind in _DOCUMENTED.items():
        names = [f"npm.netpol.{path.stem}" for path in sorted((COLLECTION / "plugins" / folder).glob("[a-z]*.py"))]
        if names:
            commands.append([SCRIPTS / "ansible-doc", "--type", kind, *names])
    roles = [f"npm.netpol.{path.name}" for path in sorted((COLLECTION / "roles").iterdir()) if path.is_dir()]
    return [*commands, [SCRIPTS / "ansible-doc", "--type", "role", *roles]]


def _run(command: Sequence[str | Path], values: dict[str, str], directory: Path = ROOT) -> bool:
    done = subprocess.run(
        command, cwd=directory, env=values, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    # ansible-doc only warns about a plugin that it can't show.
    passed = done.returncode == 0 and "[ERROR]" not in done.stderr and "[WARNING]" not in done.stderr
    said = " ".join(str(each) for each in (Path(command[0]).name, *command[1:]))
    print(f"{'ok    ' if passed else 'FAILED'} {said}", flush=True)
    if not passed:
        print((done.stdout if done.returncode else "") + done.stderr)
    return passed


def _make_checker() -> None:
    stamp = _CHECKER / "npm-stamp"
    wanted = "\n".join([str(_CHECKER), *_CHECKER_PACKAGES])
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("making .venv-docs (half a minute)", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(_CHECKER)], check=True)
    pip = [str(_CHECKER / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *_CHECKER_PACKAGES], env=environment(), check=True)
    stamp.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main())
