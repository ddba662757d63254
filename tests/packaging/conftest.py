# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The collection as people install it: built from its directory, and from git."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from installation import Bare, Installed, bare_in
from tools.places import ROOT, copy_tree

SUBDIRECTORY = "collections/ansible_collections/npm/netpol"


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


@pytest.fixture(scope="session", params=[_build, _git, _requirements], ids=["built", "git", "requirements"])
def installed(request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The collection installed in an empty environment, each way that the README names."""
    bare = bare_in(tmp_path_factory.mktemp("home"))
    what = request.param(bare, repository)
    bare.run("ansible-galaxy", "collection", "install", "--offline", *what)
    return Installed(bare, bare.home / ".ansible/collections/ansible_collections/npm/netpol")
