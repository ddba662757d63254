# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real API server over TLS with nodes in it, and ansible-inventory with the plugin on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aks_nodes import cluster
from lab.api import ApiServer
from listing_inventory import List, Listed

COLLECTIONS = Path(__file__).parents[3] / "collections"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(tls=True) as server:
        server.store.load(cluster())
        yield server


@pytest.fixture
def environment(api: ApiServer, tmp_path: Path) -> dict[str, str]:
    """What AWX's credential for Kubernetes sets, and nothing of this process's own settings."""
    home = tmp_path / "home"
    home.mkdir()
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        # As root, Ansible would take it from the password file, not from HOME.
        "ANSIBLE_HOME": str(home / ".ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "K8S_AUTH_HOST": api.url,
        "K8S_AUTH_API_KEY": api.token,
        "K8S_AUTH_VERIFY_SSL": "True",
        "K8S_AUTH_SSL_CA_CERT": str(api.ca_file),
    }


@pytest.fixture
def ansible_inventory(environment: dict[str, str], tmp_path: Path) -> List:
    """Runs ansible-inventory on a file of the plugin with these options; ``arguments`` in place of ``--list``.

    With ``playbook``, runs that on it, with these arguments.
    """

    def run(
        *arguments: str,
        variables: dict[str, str] | None = None,
        name: str = "cluster_nodes.yml",
        playbook: Path | None = None,
        **options: Any,
    ) -> Listed:
        command = ["playbook", str(playbook), *arguments] if playbook else ["inventory", *(arguments or ["--list"])]
        file = tmp_path / name
        file.write_text(yaml.safe_dump({"plugin": "npm.netpol.cluster_nodes", **options}))
        done = subprocess.run(
            [sys.executable, "-m", "ansible", *command, "-i", str(file)],
            cwd=tmp_path,
            env=environment | (variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        # Ansible breaks its warnings into lines, in the middle of words too.
        return Listed(done.returncode, done.stdout, " ".join(done.stderr.split()))

    return run
