# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the state that runs keep on the controller is, below one directory for the states of all clusters.

::

    STATE/CLUSTER/objects.snapshot      what was read of a cluster; CLUSTER is the UID of its namespace kube-system
    STATE/CLUSTER/nodes/NODE.json       what the last successful run put on a node
    STATE/locks/NODE                    held as long as a run is at that node

What the API calls a cluster or a node becomes part of a path, so that names are checked: see :func:`is_name`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_LOCKS, _NODES, _OBJECTS = "locks", "nodes", "objects.snapshot"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def is_name(name: str) -> bool:
    """Whether a cluster or a node of this name can have a state."""
    return bool(_NAME.fullmatch(name))


def objects(state: Path, cluster: str) -> Path:
    return state / cluster / _OBJECTS


def record(state: Path, cluster: str, node: str) -> Path:
    return state / cluster / _NODES / f"{node}.json"


def lock(state: Path, node: str) -> Path:
    return state / _LOCKS / node


def locked(state: Path) -> list[str]:
    """The nodes that a run has ever been at. Raises :class:`OSError` where nobody can tell."""
    try:
        return sorted(each.name for each in os.scandir(state / _LOCKS))
    except FileNotFoundError:
        return []


def clusters(state: Path) -> list[str]:
    """Of which there is a state. Raises :class:`OSError` where nobody can tell.

    What else may be in the directory, as the ``lost+found`` of a volume, is nothing that we have made.
    """
    try:
        return sorted(each.name for each in os.scandir(state) if each.name != _LOCKS and is_name(each.name))
    except FileNotFoundError:
        return []
