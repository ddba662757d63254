# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading the spec of a NetworkPolicy: what the API would reject, or we don't know, never opens anything (rule 39).

Whatever can't be read is refused at the smallest place that leaves no doubt: one peer, one port, one rule, or all
that the policy allows. What the policy selects stays isolated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ..model.ruleset import Direction
from .cidr import Network, parse_cidr
from .parse_selector import parse_selector
from .policies import IPBlock, PodPeer, PolicyRule, Port, Refusal, Spec
from .refusal import RefusalError, known_mapping, listed, mapping, shown, text
from .selectors import EVERYTHING, Selector

_SPEC_FIELDS = frozenset({"podSelector", "ingress", "egress", "policyTypes"})
_PEERS_FIELD = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_PEER_FIELDS = frozenset({"podSelector", "namespaceSelector", "ipBlock"})
_BLOCK_FIELDS = frozenset({"cidr", "except"})
_PORT_FIELDS = frozenset({"protocol", "port", "endPort"})
_DIRECTIONS = {"Ingress": Direction.INGRESS, "Egress": Direction.EGRESS}
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
_HIGHEST_PORT = 65535
_LONGEST_PORT_NAME = 15
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")

_T = TypeVar("_T")


def parse_spec(given: object) -> Spec:
    """The spec of a policy as it is enforced, and what was refused in it."""
    return _Reader().spec(given)


class _Reader:
    """Reads one spec, and keeps what it refuses."""

    def __init__(self) -> None:
        self._refusals: list[Refusal] = []

    def spec(self, given: object) -> Spec:
        spec = self._attempt(
            partial(mapping, given, "spec"),
            "isolates every pod of its namespace in both directions, allows nothing",
        )
        if spec is None:
            return self._isolating_only(EVERYTHING, tuple(Direction))
        known = self._attempt(partial(known_mapping, spec, "spec", _SPEC_FIELDS), "allows nothing")
        selector = self._attempt(
            partial(parse_selector, spec.get("podSelector"), "spec.podSelector"),
            "isolates every pod of its namespace, allows nothing",
        )
        directions = self._attempt(
            partial(_directions, spec.get("policyTypes"), spec.get("egress")),
            "isolates in both directions, allows nothing",
        )
        rules = {
            direction: self._attempt(partial(self._rules, spec.get(direction), direction), f"allows no {direction}")
            for direction in directions or Direction
        }
        if known is None or selector is None or directions is None:
            # Its selection is wider than meant, or its rules mean less than they say: only isolation is sure.
            return self._isolating_only(EVERYTHING if selector is None else selector, tuple(rules))
        return Spec(selector, {direction: each or () for direction, each in rules.items()}, tuple(self._refusals))

    def _isolating_only(self, selector: Selector, directions: tuple[Direction, ...]) -> Spec:
        return Spec(selector, dict.fromkeys(directions, ()), tuple(self._refusals))

    def _attempt(self, read: Callable[[], _T], effect: str) -> _T | None:
        try:
            return read()
        except RefusalError as refusal:
            self._refusals.append(Refusal(refusal.field, refusal.message, effect))
            return None

    def _rules(self, value: object, direction: Direction) -> tuple[PolicyRule, ...]:
        field = f"spec.{direction}"
        rules = [
            self._attempt(partial(self._rule, item, f"{field}[{number}]", direction), "this rule allows nothing")
            for number, item in enumerate(listed(value, field))
        ]
        return tuple(rule for rule in rules if rule is not None and rule.peers != () and rule.ports != ())

    def _rule(self, value: object, field: str, direction: Direction) -> PolicyRule:
        peers_field = _PEERS_FIELD[direction]
        rule = known_mapping(value, field, {peers_field, "ports"})
        return PolicyRule(
            peers=self._readable(rule.get(peers_field), f"{field}.{peers_field}", _peer, "this peer matches nothing"),
            ports=self._readable(rule.get("ports"), f"{field}.ports", _port, "this port matches nothing"),
        )

    def _readable(
        self, value: object, field: str, read: Callable[[object, str], _T], effect: str
    ) -> tuple[_T, ...] | None:
        """The items that can be read; None, which is any, only where none is given (rule 6)."""
        items = listed(value, field)
        if not items:
            return None
        attempts = [
            self._attempt(partial(read, item, f"{field}[{number}]"), effect) for number, item in enumerate(items)
        ]
        return tuple(each for each in attempts if each is not None)


def _directions(policy_types: object, egress: object) -> tuple[Direction, ...]:
    """Rule 4. An ``egress`` that is no list counts as one with rules."""
    field = "spec.policyTypes"
    given = listed(policy_types, field)
    if not given:
        return tuple(Direction) if egress is not None and egress not in ([], ()) else (Direction.INGRESS,)
    if len(given) > len(_DIRECTIONS):
        raise RefusalError(field, "has more than two items")
    for number, each in enumerate(given):
        if text(each, f"{field}[{number}]") not in _DIRECTIONS:
            raise RefusalError(f"{field}[{number}]", f"{shown(each)} is not Ingress or Egress")
    return tuple(dict.fromkeys(_DIRECTIONS[each] for each in given))


def _peer(value: object, field: str) -> PodPeer | IPBlock:
    given = known_mapping(value, field, _PEER_FIELDS)
    block, namespaces, pods = (given.get(each) for each in ("ipBlock", "namespaceSelector", "podSelector"))
    if block is not None:
        if namespaces is not None or pods is not None:
            raise RefusalError(field, "has ipBlock together with a selector")
        return _block(block, f"{field}.ipBlock")
    if namespaces is None and pods is None:
        raise RefusalError(field, "is empty")
    pod_selector = parse_selector(pods, f"{field}.podSelector")
    if namespaces is None:
        return PodPeer(None, pod_selector)
    return PodPeer(parse_selector(namespaces, f"{field}.namespaceSelector"), pod_selector)


def _block(value: object, field: str) -> IPBlock:
    given = known_mapping(value, field, _BLOCK_FIELDS)
    network = _cidr(given.get("cidr"), f"{field}.cidr")
    excepts = set()
    for number, each in enumerate(listed(given.get("except"), f"{field}.except")):
        at = f"{field}.except[{number}]"
        hole = _cidr(each, at)
        inside = network.interval[0] <= hole.first <= network.interval[1]
        if hole.family is not network.family or not inside or hole.prefix_length <= network.prefix_length:
            raise RefusalError(at, f"{shown(each)} is not a strict subset of {shown(given['cidr'])}")
        excepts.add(hole)
    return IPBlock(network, tuple(sorted(excepts)))


def _cidr(value: object, field: str) -> Network:
    cidr = text(value, field)
    try:
        return parse_cidr(cidr)
    except ValueError as error:
        raise RefusalError(field, str(error)) from error


def _port(value: object, field: str) -> Port:
    given = known_mapping(value, field, _PORT_FIELDS)
    protocol = _protocol(given.get("protocol"), f"{field}.protocol")
    port, end_port = given.get("port"), given.get("endPort")
    if isinstance(port, str):
        if len(port) > _LONGEST_PORT_NAME or not _PORT_NAME.fullmatch(port):
            raise RefusalError(f"{field}.port", f"{shown(port)} is not a port name")
        if end_port is not None:
            raise RefusalError(f"{field}.endPort", "goes with a port number only, not with a name")
        return Port(protocol, name=port)
    if port is None:
        if end_port is not None:
            raise RefusalError(f"{field}.endPort", "needs a port")
        return Port(protocol)
    first = _port_number(port, f"{field}.port")
    last = first if end_port is None else _port_number(end_port, f"{field}.endPort")
    if last < first:
        raise RefusalError(f"{field}.endPort", f"{last} is less than the port, {first}")
    return Port(protocol, numbers=((first, last),))


def _protocol(value: object, field: str) -> str:
    if value is None:
        return "tcp"
    if text(value, field) not in _PROTOCOLS:
        raise RefusalError(field, f"{shown(value)} is not TCP, UDP or SCTP")
    return _PROTOCOLS[str(value)]


def _port_number(value: object, field: str) -> int:
    # bool is an int to Python, not to the API.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _HIGHEST_PORT:
        raise RefusalError(field, f"{shown(value)} is not a number of 1 to {_HIGHEST_PORT}")
    return value
