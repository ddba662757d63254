# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that has everything in it, and what has to hold on packets when it doesn't come to its end.

Members come and go, rules change together with their sets, a chain comes and one goes, in both families.
"""

from __future__ import annotations

from dataclasses import dataclass

from integration.netfilter.network import PODS, WORLD, Flow, Network
from integration.netfilter.rulesets import EGRESS, INGRESS, settle, wanted

WEB, BACK, WEB_6, BACK_6 = PODS
ONE, TWO, THREE, ONE_6, TWO_6, THREE_6 = WORLD
OLD_RULES = {
    (INGRESS, WEB): [(80, "clients"), (81, "net-office")],
    (INGRESS, BACK): [(80, "moving")],
    (EGRESS, WEB): [(80, "clients")],
    (INGRESS, WEB_6): [(80, "clients")],
    (EGRESS, BACK_6): [(81, "moving")],
}
OLD_SETS = {"clients": (ONE, TWO, ONE_6), "net-office": ("10.0.9.2/31",), "moving": (ONE, ONE_6, TWO_6)}
NEW_RULES = {
    (INGRESS, WEB): [(80, "clients"), (81, "net-office")],
    (INGRESS, BACK): [(80, "clients"), (81, "moving")],
    (EGRESS, BACK): [(0, "moving")],
    (INGRESS, WEB_6): [(80, "clients"), (81, "moving")],
    (EGRESS, BACK_6): [(81, "moving")],
}
NEW_SETS = {"clients": (TWO, THREE, TWO_6), "net-office": (ONE, "10.0.9.3"), "moving": (TWO, THREE, TWO_6, THREE_6)}
OLD = wanted(OLD_RULES, OLD_SETS, version=1)
NEW = wanted(NEW_RULES, NEW_SETS, version=2)


@dataclass(frozen=True)
class Verdicts:
    """The flows that pass under OLD and under NEW."""

    old: frozenset[Flow]
    new: frozenset[Flow]

    def hold(self, passing: frozenset[Flow], where: str) -> None:
        opened = passing - self.old - self.new
        shut = (self.old & self.new) - passing
        assert not opened, f"{where}: denied before and after, but passing: {sorted(opened)}"
        assert not shut, f"{where}: allowed before and after, but dropped: {sorted(shut)}"


def go_back(network: Network) -> None:
    """The node enforces OLD again."""
    settle(network.node, OLD, allow_older=True)


def find_verdicts(network: Network) -> Verdicts:
    """What passes under each; the node enforces OLD afterwards."""
    settle(network.node, NEW, allow_older=True)
    new = network.passing()
    go_back(network)
    old = network.passing()
    assert old - new
    assert new - old
    assert old & new
    return Verdicts(old, new)
