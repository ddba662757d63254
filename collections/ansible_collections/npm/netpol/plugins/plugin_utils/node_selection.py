# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which nodes a run compiles for, and where the inventory and the API disagree about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .model.snapshot import Node, Snapshot
from .spool import Excluded, Exclusion


@dataclass(frozen=True, slots=True)
class Selection:
    """Names of nodes, sorted. ``excluded`` are those asked for that get nothing, each with the reason.

    ``not_in_inventory`` are nodes whose pods nobody enforces; ``not_in_cluster`` are entries of the inventory
    that the API doesn't know.
    """

    compiled: tuple[str, ...]
    excluded: Mapping[str, Excluded]
    not_in_inventory: tuple[str, ...]
    not_in_cluster: tuple[str, ...]
    windows: tuple[str, ...]
    virtual: tuple[str, ...]


_UNKNOWN = Excluded(
    Exclusion.UNKNOWN, "the cluster has no node of this name: the host left the cluster, or npm_node_name is wrong"
)


def obstacle(node: Node) -> Excluded | None:
    """Why nothing can be enforced on a node; None where it can be. Run and inventory leave out the same nodes."""
    if node.virtual:
        return Excluded(Exclusion.VIRTUAL, "a virtual node: it has no kernel of its own to enforce in")
    if node.os != "linux":
        return Excluded(Exclusion.WINDOWS, f"its operating system is {node.os}: only Linux nodes are enforced")
    return None


def select(snapshot: Snapshot, nodes: Iterable[str] | None, inventory: Iterable[str] | None) -> Selection:
    """Choose among the ``nodes`` asked for (None: every node that can be enforced).

    ``inventory`` are the Kubernetes names of all nodes of the inventory (None: nothing to compare with).
    """
    # Manifests often have pods and no nodes: then there is nothing to compare with, and every name is believed.
    known = {node.name: node for node in snapshot.nodes} or _believed(snapshot, nodes or (), inventory or ())
    obstacles = {name: why for name, node in known.items() if (why := obstacle(node))}
    enforceable = known.keys() - obstacles.keys()
    wanted = enforceable if nodes is None else set(nodes)
    listed = None if inventory is None else set(inventory)
    return Selection(
        compiled=tuple(sorted(wanted & enforceable)),
        excluded={name: obstacles.get(name, _UNKNOWN) for name in sorted(wanted - enforceable)},
        not_in_inventory=tuple(sorted(enforceable - listed)) if listed is not None else (),
        not_in_cluster=tuple(sorted(listed - known.keys())) if listed is not None else (),
        windows=_of_kind(obstacles, Exclusion.WINDOWS),
        virtual=_of_kind(obstacles, Exclusion.VIRTUAL),
    )


def _believed(snapshot: Snapshot, nodes: Iterable[str], inventory: Iterable[str]) -> dict[str, Node]:
    names = {*nodes, *inventory, *(pod.node for pod in snapshot.pods if pod.node)}
    return {name: Node(name, {}) for name in names}


def _of_kind(obstacles: Mapping[str, Excluded], kind: Exclusion) -> tuple[str, ...]:
    return tuple(sorted(name for name, why in obstacles.items() if why.kind is kind))
