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


def select(snapshot: Snapshot, nodes: Iterable[str] | None, inventory: Iterable[str] | None) -> Selection:
    """Choose among the ``nodes`` asked for (None: every node that can be enforced).

    ``inventory`` are the Kubernetes names of all nodes of the inventory (None: nothing to compare with).
    """
    # Manifests often have pods and no nodes: then there is nothing to compare with, and every name is believed.
    known = {node.name: node for node in snapshot.nodes} or _believed(snapshot, nodes or (), inventory or ())
    enforceable = {name for name, node in known.items() if _obstacle(node) is None}
    wanted = enforceable if nodes is None else set(nodes)
    listed = None if inventory is None else set(inventory)
    return Selection(
        compiled=tuple(sorted(wanted & enforceable)),
        excluded={name: _excluded(known.get(name)) for name in sorted(wanted - enforceable)},
        not_in_inventory=tuple(sorted(enforceable - listed)) if listed is not None else (),
        not_in_cluster=tuple(sorted(listed - known.keys())) if listed is not None else (),
        windows=_of_kind(known, Exclusion.WINDOWS),
        virtual=_of_kind(known, Exclusion.VIRTUAL),
    )


def _believed(snapshot: Snapshot, nodes: Iterable[str], inventory: Iterable[str]) -> dict[str, Node]:
    names = {*nodes, *inventory, *(pod.node for pod in snapshot.pods if pod.node)}
    return {name: Node(name, {}) for name in names}


def _obstacle(node: Node) -> Exclusion | None:
    if node.virtual:
        return Exclusion.VIRTUAL
    return None if node.os == "linux" else Exclusion.WINDOWS


def _of_kind(known: Mapping[str, Node], kind: Exclusion) -> tuple[str, ...]:
    return tuple(sorted(name for name, node in known.items() if _obstacle(node) is kind))


def _excluded(node: Node | None) -> Excluded:
    if node is None:
        return Excluded(
            Exclusion.UNKNOWN,
            "the cluster has no node of this name: the host left the cluster, or npm_node_name is wrong",
        )
    if node.virtual:
        return Excluded(Exclusion.VIRTUAL, "a virtual node: it has no kernel of its own to enforce in")
    return Excluded(Exclusion.WINDOWS, f"its operating system is {node.os}: only Linux nodes are enforced")
