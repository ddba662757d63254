# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Ansible has loaded when it forks a process for each node: what it has not, each of them loads for itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ansible_collections.npm.netpol.plugins.plugin_utils.templates import NODE_SCRIPTS

_COLLECTIONS = Path(__file__).parents[2] / "collections"
# As strategies do before they fork.
_LOOK_AT_THE_ACTION = """
import json, sys
from ansible import constants as C
from ansible.plugins.loader import action_loader, connection_loader, init_plugin_loader

init_plugin_loader([sys.argv[1]])
action = action_loader.get("npm.netpol.ruleset", class_only=True)
name = "ansible_collections.npm.netpol.plugins.connection.node_pod"
documentation = C.config.has_configuration_definition("connection", name)
loaded = set(sys.modules)
connection_loader.get("npm.netpol.node_pod", class_only=True)
scripts = sys.modules[action.__module__]._OWN_SCRIPTS
print(json.dumps({
    "modules": sorted(set(sys.modules) - loaded),
    "documentation": documentation,
    "templates": sorted(name for _, name in scripts.cache),
}))
"""


def test_neither_the_connection_nor_the_scripts_for_nodes_are_left_to_the_forks() -> None:
    command = [sys.executable, "-c", _LOOK_AT_THE_ACTION, str(_COLLECTIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    left = json.loads(done.stdout)

    assert [name for name in left["modules"] if "ansible_collections" in name] == []
    assert left["documentation"]
    assert left["templates"] == sorted(f"node/{each.name}" for each in NODE_SCRIPTS.glob("*.j2"))
