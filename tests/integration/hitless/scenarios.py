# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clusters that go back and forth between two states, and what must hold in both and on every way between them.

``always``: connections that both states allow. ``never``: connections that both deny. Each is worked out by
hand from the two states; what one state allows and the other denies is nobody's business on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.spec import Container, LabSpec, Namespace, Node, Pod, Port, Variant

FIRST, SECOND = "aks-nodepool1-12345678-vmss000000", "aks-nodepool1-12345678-vmss000001"
Labels = Mapping[str, str]
Flow = tuple[str, str, int]

_TWO_PORTS = (Container("app", (Port(8080), Port(8081), Port(8080, "UDP"))),)


def spec(variant: Variant) -> LabSpec:
    return LabSpec(
        nodes=(Node(FIRST), Node(SECOND)),
        namespaces=(Namespace("shop", {"team": "shop"}), Namespace("other", {"team": "other"})),
        pods=(
            Pod("shop", "web", FIRST, {"app": "web"}, _TWO_PORTS),
            Pod("shop", "near", FIRST, {"app": "client"}, _TWO_PORTS),
            Pod("shop", "far", SECOND, {"app": "client"}, _TWO_PORTS),
            Pod("other", "near", FIRST, {"app": "client"}, _TWO_PORTS),
            Pod("other", "far", SECOND, {"app": "client"}, _TWO_PORTS),
        ),
        variant=variant,
    )


@dataclass(frozen=True)
class State:
    """Policies by name (their ``spec``), and labels of pods that differ from those of :func:`spec`."""

    policies: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, Labels] = field(default_factory=dict)


@dataclass(frozen=True)
class Scenario:
    """``crowd``: pods in the API only, by name to labels, so that sets are large."""

    name: str
    states: tuple[State, State]
    always: tuple[Flow, ...]
    never: tuple[Flow, ...]
    crowd: Mapping[str, Labels] = field(default_factory=dict)


def ingress(selector: Labels, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": dict(selector)}, "policyTypes": ["Ingress"], "ingress": list(rules)}


def egress(selector: Labels, *rules: dict[str, Any]) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": dict(selector)}, "policyTypes": ["Egress"], "egress": list(rules)}


def peers(direction: str, *selectors: Labels, ports: tuple[int, ...] = ()) -> dict[str, Any]:
    rule: dict[str, Any] = {direction: [{"podSelector": {"matchLabels": dict(each)}} for each in selectors]}
    return rule | ({"ports": [{"port": port} for port in ports]} if ports else {})


def everybody_of(namespace: str, *ports: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"from": [{"namespaceSelector": {"matchLabels": {"team": namespace}}}]}
    return rule | ({"ports": [{"port": port} for port in ports]} if ports else {})


WEB = {"app": "web"}
CLIENT = {"app": "client"}
LEFT, RIGHT = {"app": "client", "side": "left"}, {"app": "client", "side": "right"}
OTHERS_STAY = ingress(WEB, everybody_of("other", 8080))

# The rule moves from one port to the other as its only peer changes: 8080 never for `far`, 8081 never for `near`.
RULES_AND_MEMBERS = Scenario(
    "rules-and-members",
    (
        State(
            {"moving": ingress(WEB, peers("from", {"side": "left"}, ports=(8080,))), "others": OTHERS_STAY},
            {"shop/near": LEFT, "shop/far": RIGHT},
        ),
        State(
            {"moving": ingress(WEB, peers("from", {"side": "left"}, ports=(8081,))), "others": OTHERS_STAY},
            {"shop/near": RIGHT, "shop/far": LEFT},
        ),
    ),
    always=(("other/near", "shop/web", 8080), ("other/far", "shop/web", 8080)),
    never=(("shop/far", "shop/web", 8080), ("shop/near", "shop/web", 8081), ("other/far", "shop/web", 8081)),
)

# `far` leaves one large set for another; both allow it port 8080.
BETWEEN_LARGE_SETS = Scenario(
    "between-large-sets",
    tuple(
        State(
            {
                "left": ingress(WEB, peers("from", {"side": "left"}, ports=(8080,))),
                "right": ingress(WEB, peers("from", {"side": "right"}, ports=(8080, 9000))),
            },
            {"shop/far": side},
        )
        for side in (LEFT, RIGHT)
    ),  # type: ignore[arg-type]
    always=(("shop/far", "shop/web", 8080),),
    never=(("other/far", "shop/web", 8080), ("shop/near", "shop/web", 8080), ("shop/far", "shop/web", 8081)),
    crowd={f"crowd-{number}": LEFT if number % 2 else RIGHT for number in range(3000)},
)

# Another policy takes the place of the first one in every sorted order.
PLACE_IN_ORDER = Scenario(
    "place-in-order",
    (
        State({"b": ingress(WEB, peers("from", CLIENT, ports=(8080,))), "c": OTHERS_STAY}),
        State({"a": ingress(WEB, peers("from", {}, ports=(8080,))), "c": OTHERS_STAY}),
    ),
    always=(("shop/near", "shop/web", 8080), ("shop/far", "shop/web", 8080), ("other/far", "shop/web", 8080)),
    never=(("shop/near", "shop/web", 8081), ("other/far", "shop/web", 8081)),
)

# `near` and `web` are judged by one chain; then a policy of its own splits `near` off; then they are one again.
SPLIT_AND_MERGE = Scenario(
    "split-and-merge",
    (
        State({"all": ingress({}, peers("from", CLIENT, ports=(8080,)))}),
        State(
            {
                "all": ingress({}, peers("from", CLIENT, ports=(8080,))),
                "mine": ingress({"side": "left"}, everybody_of("other", 8081)),
            },
            {"shop/near": LEFT},
        ),
    ),
    always=(("shop/far", "shop/web", 8080), ("shop/far", "shop/near", 8080), ("shop/near", "shop/web", 8080)),
    never=(("other/far", "shop/web", 8080), ("other/near", "shop/near", 8080), ("shop/far", "shop/near", 8081)),
)

# Egress of `near` opens in the same run as ingress of `web` shuts: denied before, denied after.
BOTH_ENDS = Scenario(
    "both-ends",
    tuple(
        State(
            {
                "out": egress(CLIENT, peers("to", {"in": "yes"})),
                "in": ingress(WEB, peers("from", {"out": "yes"}), everybody_of("other")),
            },
            {"shop/web": WEB | {"in": opens}, "shop/near": CLIENT | {"out": shuts}},
        )
        for opens, shuts in (("no", "yes"), ("yes", "no"))
    ),  # type: ignore[arg-type]
    always=(("other/near", "shop/web", 8080), ("other/far", "shop/web", 8081)),
    never=(("shop/near", "shop/web", 8080), ("shop/near", "shop/web", 8081)),
)

ALL = (RULES_AND_MEMBERS, BETWEEN_LARGE_SETS, PLACE_IN_ORDER, SPLIT_AND_MERGE, BOTH_ENDS)
