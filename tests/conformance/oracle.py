# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The oracle: what NetworkPolicy v1 says of one new connection, one numbered rule of the semantics at a time.

Slow on purpose, and no code shared with the compiler: it asks every policy about every connection anew. Numbers in
parentheses, and in a verdict, are rules of the semantics.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import NetworkPolicy, Pod, Snapshot

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# ICMP, with port 0, stands for every protocol of which NetworkPolicy says nothing (22, 23).
PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")
_parsed = cache(ip_address)
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SPARE_ZEROS = re.compile(r"\b0+(?=\d)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """``rules`` are the numbers that decided: of an allowed connection why it may, of a denied one why nothing fits."""

    allowed: bool
    rules: tuple[int, ...]


class InvalidItemError(ValueError):
    """An item that the API server rejects (39): it matches nothing."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection: a pod that policies know, a node (``pod`` None), or neither (``node`` empty too)."""

    address: Address
    pod: Pod | None
    node: str


@dataclass(frozen=True, slots=True)
class _Connection:
    source: End
    destination: End
    protocol: str
    port: int


def judge(snapshot: Snapshot, source: str, destination: str, protocol: str, port: int, family: str = "ipv4") -> Verdict:
    """Whether ``source`` may open a connection to ``destination``, by the cluster's NetworkPolicies.

    Both are a pod's key (``namespace/name``), a node's name, or an address. ``port`` is the destination's as the
    destination sees it (15). Raises LookupError when a place has no address of ``family``.
    """
    return between(
        snapshot, address_of(snapshot, source, family), address_of(snapshot, destination, family), protocol, port
    )


def between(snapshot: Snapshot, source: str, destination: str, protocol: str, port: int) -> Verdict:
    """:func:`judge`, by addresses."""
    return between_ends(snapshot, locate(snapshot, source), locate(snapshot, destination), protocol, port)


def between_ends(snapshot: Snapshot, start: End, end: End, protocol: str, port: int) -> Verdict:
    """:func:`judge`, of two that :func:`locate` has found."""
    if start.address == end.address:
        return Verdict(True, (32,))
    if start.node and start.node == end.node and (start.pod is None or end.pod is None):
        return Verdict(True, (33,))
    connection = _Connection(start, end, protocol, port)
    sides = (_judge_side(snapshot, "Egress", connection), _judge_side(snapshot, "Ingress", connection))
    # (2): both have to agree; of a denied connection only the side that denies is worth telling.
    allowed = all(side.allowed for side in sides)
    telling = [side for side in sides if side.allowed == allowed]
    return Verdict(allowed, tuple(sorted({rule for side in telling for rule in side.rules})))


def address_of(snapshot: Snapshot, place: str, family: str) -> str:
    """The address of a pod, a node, or of itself."""
    version = 4 if family == "ipv4" else 6
    addresses: Iterable[str]
    if node := next((each for each in snapshot.nodes if each.name == place), None):
        addresses = node.addresses
    elif pod := next((each for each in snapshot.pods if f"{each.namespace}/{each.name}" == place), None):
        addresses = pod.ips
    else:
        addresses = (place,)
    for address in addresses:
        if ip_address(address).version == version:
            return address
    raise LookupError(f"{place} has no {family} address")


# Ends


def locate(snapshot: Snapshot, address: str) -> End:
    """Who is at an address."""
    node = next((each.name for each in snapshot.nodes if _holds(each.addresses, address)), "")
    if node:
        return End(_parsed(address), None, node)
    claimants = [pod for pod in snapshot.pods if _is_pod(pod) and _holds(pod.ips, address)]
    pod = max(claimants, key=_claim, default=None)
    return End(_parsed(address), pod, pod.node if pod else "")


def _is_pod(pod: Pod) -> bool:
    """(29) one on its node's network is no pod to policies; (30) nor is one that has ended."""
    return not pod.host_network and pod.phase not in ("Succeeded", "Failed")


def _claim(pod: Pod) -> tuple[bool, bool, str]:
    """(30) of two with one address the running one has it, then the one that stays, then the newest."""
    return pod.phase == "Running", not pod.terminating, pod.created


def _holds(addresses: Iterable[str], address: str) -> bool:
    return any(_parsed(each) == _parsed(address) for each in addresses)


# One direction


def _judge_side(snapshot: Snapshot, direction: str, connection: _Connection) -> Verdict:
    pod = connection.source.pod if direction == "Egress" else connection.destination.pod
    peer = connection.destination if direction == "Egress" else connection.source
    if pod is None:
        return Verdict(True, (2,))
    if pod.unreadable:
        # Nobody can tell which policies select it (39).
        return Verdict(False, (39,))
    isolating = [
        policy for policy in snapshot.network_policies if direction in policy_types(policy) and _selects(policy, pod)
    ]
    if not isolating:
        return Verdict(True, (1,))
    reasons = {1}
    for policy in isolating:
        if not _is_readable(policy):
            reasons.add(39)
            continue
        for rule in policy.spec.get(direction.lower()) or ():
            verdict = _judge_rule(snapshot, policy, rule, direction, peer, connection)
            if verdict.allowed:
                return verdict
            reasons.update(verdict.rules)
    return Verdict(False, tuple(reasons))


def policy_types(policy: NetworkPolicy) -> tuple[str, ...]:
    """(4): as given, else Ingress, and Egress where there are egress rules. (39): what is no list of these, is both."""
    given = policy.spec.get("policyTypes")
    if given:
        return tuple(given) if _are_types(given) else _TYPES
    return _TYPES if policy.spec.get("egress") else ("Ingress",)


def _are_types(given: Collection[str]) -> bool:
    return all(each in _TYPES for each in given) and len(given) <= len(_TYPES)


def _selects(policy: NetworkPolicy, pod: Pod) -> bool:
    if policy.namespace != pod.namespace:
        return False
    try:
        return selector_matches(policy.spec.get("podSelector"), pod.labels)
    except InvalidItemError:
        return True


def _is_readable(policy: NetworkPolicy) -> bool:
    """(39): whom it means, and in which directions; else it isolates all that it could mean and allows nothing."""
    try:
        _check_fields(policy.spec, {"podSelector", "policyTypes", "ingress", "egress"})
        selector_matches(policy.spec.get("podSelector"), {})
    except InvalidItemError:
        return False
    return _are_types(policy.spec.get("policyTypes") or ())


def _judge_rule(
    snapshot: Snapshot,
    policy: NetworkPolicy,
    rule: Mapping[str, Any],
    direction: str,
    peer: End,
    connection: _Connection,
) -> Verdict:
    """(6): a rule without peers takes any peer, one without ports any port of any protocol."""
    field = "to" if direction == "Egress" else "from"
    try:
        _check_fields(rule, {field, "ports"})
    except InvalidItemError:
        return Verdict(False, (39,))
    peers = [_judge_peer(snapshot, policy, item, peer) for item in rule.get(field) or ()] or [Verdict(True, (6,))]
    ports = [_judge_port(item, connection) for item in rule.get("ports") or ()] or [Verdict(True, (6,))]
    sides = [_any_of(peers), _any_of(ports)]
    allowed = all(side.allowed for side in sides)
    return Verdict(allowed, tuple({rule for side in sides if side.allowed == allowed for rule in side.rules}))


def _any_of(verdicts: list[Verdict]) -> Verdict:
    """(3): one that allows is enough."""
    allowing = next((each for each in verdicts if each.allowed), None)
    return allowing or Verdict(False, tuple({rule for each in verdicts for rule in each.rules}))


def _check_fields(item: Mapping[str, Any], known: Collection[str]) -> None:
    """A field of a newer API may narrow what the others say: then the item means less than we can read."""
    if not item.keys() <= set(known):
        raise InvalidItemError(f"unknown fields {sorted(item.keys() - set(known))}")


# Peers


def _judge_peer(snapshot: Snapshot, policy: NetworkPolicy, item: Mapping[str, Any], peer: End) -> Verdict:
    block, pods, namespaces = (item.get(name) for name in ("ipBlock", "podSelector", "namespaceSelector"))
    try:
        _check_fields(item, {"ipBlock", "podSelector", "namespaceSelector"})
        if block is not None:
            if pods is not None or namespaces is not None:
                raise InvalidItemError("ipBlock beside a selector")
            return _judge_block(block, peer.address)
        if pods is None and namespaces is None:
            return Verdict(False, (9,))
        # Also where there is no pod to match: an invalid selector matches nothing whoever the peer is.
        selector_matches(pods, {})
        selector_matches(namespaces, {})
        if peer.pod is None or peer.pod.unreadable:
            return Verdict(False, (8,))
        if namespaces is None:
            in_namespace = peer.pod.namespace == policy.namespace
        else:
            in_namespace = selector_matches(namespaces, _namespace_labels(snapshot, peer.pod.namespace))
        return Verdict(in_namespace and selector_matches(pods, peer.pod.labels), (7,))
    except InvalidItemError:
        return Verdict(False, (39,))


def _judge_block(block: Mapping[str, Any], address: Address) -> Verdict:
    cidr = _network(block.get("cidr"))
    holes = [_network(each) for each in block.get("except") or ()]
    if any(hole.version != cidr.version or hole == cidr or not _is_within(hole, cidr) for hole in holes):
        raise InvalidItemError("an except that is no strict subset of its cidr (24)")
    if address not in cidr:
        return Verdict(False, (24,))
    return Verdict(False, (24,)) if any(address in hole for hole in holes) else Verdict(True, (26,))


def _is_within(inner: Network, outer: Network) -> bool:
    return inner.network_address in outer and inner.prefixlen >= outer.prefixlen


@cache
def _network(text: Any) -> Network:
    """(24): host bits are masked, leading zeros of old objects mean nothing."""
    if not isinstance(text, str) or "/" not in text:
        raise InvalidItemError(f"{text!r} is no CIDR")
    address, _slash, length = text.partition("/")
    try:
        return ip_network(f"{address if ':' in address else _SPARE_ZEROS.sub('', address)}/{int(length)}", strict=False)
    except ValueError as error:
        raise InvalidItemError(f"{text!r} is no CIDR") from error


def _namespace_labels(snapshot: Snapshot, name: str) -> Mapping[str, str]:
    """(12): with the label that every namespace has."""
    labels = next((each.labels for each in snapshot.namespaces if each.name == name), {})
    return {**labels, "kubernetes.io/metadata.name": name}


# Selectors


def selector_matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """(10, 11): all of matchLabels and all of matchExpressions; nothing at all matches everything."""
    selector = selector or {}
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or ()
    by_expressions = [_expression_matches(each, labels) for each in expressions]
    return all(key in labels and labels[key] == value for key, value in wanted.items()) and all(by_expressions)


def _expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or []
    if not key or bool(values) != (operator in ("In", "NotIn")):
        raise InvalidItemError(f"matchExpressions item {expression}")
    match operator:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise InvalidItemError(f"operator {operator!r}")


# Ports


def _judge_port(item: Mapping[str, Any], connection: _Connection) -> Verdict:
    protocol, port, last = item.get("protocol") or "TCP", item.get("port"), item.get("endPort")
    try:
        _check_fields(item, {"protocol", "port", "endPort"})
        _check_port(protocol, port, last)
    except InvalidItemError:
        return Verdict(False, (39,))
    if connection.protocol not in PROTOCOLS:
        return Verdict(False, (22,))
    if protocol != connection.protocol:
        return Verdict(False, (14,))
    if isinstance(port, str):
        return _judge_named_port(port, connection)
    return Verdict(port is None or port <= connection.port <= (last or port), (14,))


def _judge_named_port(name: str, connection: _Connection) -> Verdict:
    """(16): looked up on the destination; (20) a destination that is no pod has no names."""
    pod = connection.destination.pod
    if pod is None:
        return Verdict(False, (20,))
    numbers = {each.port for each in pod.ports if each.name == name and each.protocol == connection.protocol}
    if not numbers:
        return Verdict(False, (17,))
    # (18): one name may stand for several numbers.
    return Verdict(connection.port in numbers, (16,))


def _check_port(protocol: Any, port: Any, last: Any) -> None:
    if protocol not in PROTOCOLS:
        raise InvalidItemError(f"protocol {protocol!r}")
    if isinstance(port, str):
        if not _PORT_NAME.fullmatch(port):
            raise InvalidItemError(f"port name {port!r}")
    elif port is not None and not 1 <= port <= 65535:
        raise InvalidItemError(f"port {port!r}")
    if last is not None and (not isinstance(port, int) or not port <= last <= 65535):
        raise InvalidItemError(f"endPort {last!r} of port {port!r}")
