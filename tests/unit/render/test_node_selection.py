"""Which nodes a run compiles for, and where the inventory and the API disagree."""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Cluster, Node, Pod, Snapshot, make
from ansible_collections.npm.netpol.plugins.plugin_utils.node_selection import select
from ansible_collections.npm.netpol.plugins.plugin_utils.spool import Exclusion

MIXED = make(
    Cluster("uid"),
    nodes=[Node("b", {}), Node("a", {}), Node("win", {}, os="windows"), Node("aci", {}, virtual=True)],
)


def test_without_a_list_every_linux_node_is_compiled() -> None:
    selection = select(MIXED, None, None)
    assert selection.compiled == ("a", "b")
    assert selection.excluded == {}
    assert (selection.windows, selection.virtual) == (("win",), ("aci",))
    assert (selection.not_in_inventory, selection.not_in_cluster) == ((), ())


def test_what_is_asked_for_and_cannot_be_enforced_has_a_reason() -> None:
    selection = select(MIXED, ["gone", "win", "aci", "b"], ["gone", "win", "aci", "b"])
    assert selection.compiled == ("b",)
    assert {name: each.kind for name, each in selection.excluded.items()} == {
        "aci": Exclusion.VIRTUAL,
        "gone": Exclusion.UNKNOWN,
        "win": Exclusion.WINDOWS,
    }
    assert "windows" in selection.excluded["win"].reason


def test_inventory_and_cluster_are_compared_whatever_the_limit() -> None:
    selection = select(MIXED, ["a"], ["a", "gone", "win", "aci"])
    assert selection.compiled == ("a",)
    assert selection.not_in_inventory == ("b",)
    assert selection.not_in_cluster == ("gone",)


def test_manifests_without_nodes_believe_the_inventory_and_the_pods() -> None:
    snapshot = make(Cluster(), pods=[Pod("shop", "web", {}, node="a"), Pod("shop", "pending", {})])
    assert select(snapshot, None, None).compiled == ("a",)
    selection = select(snapshot, ["a", "b"], ["a", "b", "c"])
    assert selection.compiled == ("a", "b")
    assert selection.not_in_cluster == ()
    assert select(snapshot, ["b"], ["b"]).not_in_inventory == ("a",)


def test_an_empty_cluster_has_nothing_to_compile() -> None:
    assert select(Snapshot(), None, None).compiled == ()
