# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An empty environment, and a collection that was installed in it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_GIT_CONFIGURATION = """\
[safe]
    directory = *
[user]
    name = Test
    email = test@example.invalid
[init]
    defaultBranch = main
"""


@dataclass(frozen=True, slots=True)
class Bare:
    """A home with nothing in it: no configuration, no collection, none of this process's settings."""

    home: Path

    def environment(self) -> dict[str, str]:
        scripts = Path(sys.executable).parent
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(scripts), os.environ.get("PATH", os.defpath)]),
            "LC_ALL": "C.UTF-8",
            # As root, Ansible would take these from the password file, not from HOME.
            "ANSIBLE_HOME": str(self.home / ".ansible"),
            "ANSIBLE_REMOTE_TMP": str(self.home / ".ansible/remote"),
            # Git refuses a repository that belongs to somebody else, as a job's checkout often does.
            "GIT_CONFIG_GLOBAL": str(self.home / "gitconfig"),
        }

    def run(self, *command: str | Path, directory: Path | None = None, **variables: str) -> str:
        """The standard output of a command that must succeed."""
        done = subprocess.run(
            command,
            cwd=directory or self.home,
            env=self.environment() | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command} failed:\n{done.stdout}\n{done.stderr}"
        return done.stdout


def bare_in(directory: Path) -> Bare:
    (directory / "gitconfig").write_text(_GIT_CONFIGURATION)
    return Bare(directory)


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment in which the collection was installed, and where."""

    bare: Bare
    path: Path
