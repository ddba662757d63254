# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An empty environment, and the collection as people install it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tools.places import ROOT, copy_tree

_GIT_CONFIGURATION = """\
[safe]
    directory = *
[user]
    name = Test
    email = test@example.invalid
[init]
    defaultBranch = main
"""

SUBDIRECTORY = "collections/ansible_collections/npm/netpol"


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


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    home = tmp_path / "home"
    home.mkdir()
    return bare_in(home)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that holds this tree as it is now, committed or not."""
    bare = bare_in(tmp_path_factory.mktemp("git-home"))
    path = tmp_path_factory.mktemp("git") / "netpol"
    copy_tree(ROOT, path)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "As it is"]):
        bare.run("git", *command, directory=path)
    return path


def _build(bare: Bare, repository: Path) -> Sequence[str]:
    bare.run("ansible-galaxy", "collection", "build", SUBDIRECTORY, "--output-path", bare.home, directory=repository)
    (archive,) = bare.home.glob("npm-netpol-*.tar.gz")
    return [str(archive)]


def _git(bare: Bare, repository: Path) -> Sequence[str]:
    return [f"git+file://{repository}#/{SUBDIRECTORY},main"]


def _requirements(bare: Bare, repository: Path) -> Sequence[str]:
    file = bare.home / "requirements.yml"
    source = f"git+file://{repository}#/{SUBDIRECTORY}"
    file.write_text(f"collections:\n  - {{name: '{source}', type: git, version: main}}\n")
    return ["--requirements-file", str(file)]


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment in which the collection was installed, and where."""

    bare: Bare
    path: Path


@pytest.fixture(scope="session", params=[_build, _git, _requirements], ids=["built", "git", "requirements"])
def installed(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The collection installed in an empty environment, each way that the README names."""
    bare = bare_in(tmp_path_factory.mktemp("home"))
    what = request.param(bare, repository)
    bare.run("ansible-galaxy", "collection", "install", "--offline", *what)
    return Installed(bare, bare.home / ".ansible/collections/ansible_collections/npm/netpol")
