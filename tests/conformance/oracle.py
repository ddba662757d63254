# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The oracle: what NetworkPolicy v1 says of one new connection, one numbered rule of the semantics at a time.

Slow on purpose, and no code shared with the compiler: it asks every policy about every connection anew. Numbers in
parentheses, and in a verdict, are rules of the semantics.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import NetworkPolicy, Pod, Snapshot

from . import items
from .items import Address, InvalidItemError, fields, listed

_TYPES = ("Ingress", "Egress")
_parsed = cache(ip_address)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``rules`` are the numbers that decided: of an allowed connection why it may, of a denied one why nothing fits."""

    allowed: bool
    rules: tuple[int, ...]


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
    if protocol == "ND":
        # IPv6's neighbour discovery, without which there is nobody to speak to.
        return Verdict(True, (22,))
    if start.node and start.node == end.node and (start.pod is None or end.pod is None):
        return Verdict(True, (33,))
    connection = _Connection(start, end, protocol, port)
    return _agreed([_judge_side(snapshot, "Egress", connection), _judge_side(snapshot, "Ingress", connection)])


def at_node(
    snapshot: Snapshot,
    node: str,
    source: str,
    destination: str,
    protocol: str,
    port: int,
    always_allowed: Collection[str] = (),
) -> Verdict:
    """One node's part of it, for a connection that looks so when that node forwards it (15, 27).

    A node judges for its own pods only, and takes a node's address for what it says: what the node sends itself it
    does not forward (33). ``always_allowed``: CIDRs of a setting of ours that opens what is behind exposed Services.
    """
    start, end = locate(snapshot, source), locate(snapshot, destination)
    if start.address == end.address:
        return Verdict(True, (32,))
    connection = _Connection(start, end, protocol, port)
    sides = []
    if start.pod is not None and start.node == node:
        sides.append(_judge_side(snapshot, "Egress", connection))
    if end.pod is not None and end.node == node and not _is_always_let_in(snapshot, connection, always_allowed):
        sides.append(_judge_side(snapshot, "Ingress", connection))
    return _agreed(sides or [Verdict(True, (2,))])


def _is_always_let_in(snapshot: Snapshot, connection: _Connection, sources: Collection[str]) -> bool:
    pod = connection.destination.pod
    return (
        pod is not None
        and any(items.block_matches({"cidr": each}, connection.source.address) for each in sources)
        and any(
            service.namespace == pod.namespace
            and service.type in ("NodePort", "LoadBalancer")
            and service.selector.items() <= pod.labels.items()
            for service in snapshot.services
        )
    )


def _agreed(sides: Collection[Verdict]) -> Verdict:
    """(2): all have to agree; of a denied connection only the side that denies is worth telling."""
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
        if not _is_readable(snapshot, policy):
            reasons.add(39)
            continue
        try:
            rules = listed(policy.spec.get(direction.lower()))
        except InvalidItemError:
            reasons.add(39)
            continue
        for rule in rules:
            verdict = _judge_rule(snapshot, policy, rule, direction, peer, connection)
            if verdict.allowed:
                return verdict
            reasons.update(verdict.rules)
    return Verdict(False, tuple(reasons))


def policy_types(policy: NetworkPolicy) -> tuple[str, ...]:
    """(4): as given, else Ingress, and Egress where there are egress rules. (39): what is no list of these, is both."""
    if not isinstance(policy.spec, Mapping) or not _has_readable_types(policy):
        return _TYPES
    if given := policy.spec.get("policyTypes"):
        return tuple(given)
    return ("Ingress",) if policy.spec.get("egress") in (None, []) else _TYPES


def _has_readable_types(policy: NetworkPolicy) -> bool:
    given = policy.spec.get("policyTypes")
    is_list = given is None or isinstance(given, list)
    return is_list and len(given or ()) <= len(_TYPES) and all(each in _TYPES for each in given or ())


def _selects(policy: NetworkPolicy, pod: Pod) -> bool:
    if policy.namespace != pod.namespace:
        return False
    try:
        return not isinstance(policy.spec, Mapping) or items.selector_matches(
            policy.spec.get("podSelector"), pod.labels
        )
    except InvalidItemError:
        return True


def _is_readable(snapshot: Snapshot, policy: NetworkPolicy) -> bool:
    """(39): whom it means, and in which directions; else it isolates all that it could mean and allows nothing."""
    try:
        spec = fields(policy.spec, {"podSelector", "policyTypes", "ingress", "egress"})
        items.selector_matches(spec.get("podSelector"), {})
    except InvalidItemError:
        return False
    return _has_readable_types(policy) and _namespace_labels(snapshot, policy.namespace) is not None


def _judge_rule(
    snapshot: Snapshot,
    policy: NetworkPolicy,
    item: Any,
    direction: str,
    peer: End,
    connection: _Connection,
) -> Verdict:
    """(6): a rule without peers takes any peer, one without ports any port of any protocol."""
    field = "to" if direction == "Egress" else "from"
    try:
        rule = fields(item, {field, "ports"})
        given_peers, given_ports = listed(rule.get(field)), listed(rule.get("ports"))
    except InvalidItemError:
        return Verdict(False, (39,))
    peers = [_judge_peer(snapshot, policy, each, peer) for each in given_peers] or [Verdict(True, (6,))]
    ports = [_judge_port(each, connection) for each in given_ports] or [Verdict(True, (6,))]
    sides = [_any_of(peers), _any_of(ports)]
    allowed = all(side.allowed for side in sides)
    return Verdict(allowed, tuple({rule for side in sides if side.allowed == allowed for rule in side.rules}))


def _any_of(verdicts: list[Verdict]) -> Verdict:
    """(3): one that allows is enough."""
    allowing = next((each for each in verdicts if each.allowed), None)
    return allowing or Verdict(False, tuple({rule for each in verdicts for rule in each.rules}))


# Peers


def _judge_peer(snapshot: Snapshot, policy: NetworkPolicy, item: Any, peer: End) -> Verdict:
    try:
        given = fields(item, {"ipBlock", "podSelector", "namespaceSelector"})
        block, pods, namespaces = (given.get(name) for name in ("ipBlock", "podSelector", "namespaceSelector"))
        if block is not None:
            if pods is not None or namespaces is not None:
                raise InvalidItemError("ipBlock beside a selector")
            matches = items.block_matches(block, peer.address)
            return Verdict(matches, (26,) if matches else (24,))
        if pods is None and namespaces is None:
            return Verdict(False, (9,))
        # Also where there is no pod to match: an invalid selector matches nothing whoever the peer is.
        items.selector_matches(pods, {})
        items.selector_matches(namespaces, {})
        if peer.pod is None or peer.pod.unreadable:
            return Verdict(False, (8,))
        if namespaces is None:
            in_namespace = peer.pod.namespace == policy.namespace
        else:
            labels = _namespace_labels(snapshot, peer.pod.namespace)
            in_namespace = labels is not None and items.selector_matches(namespaces, labels)
        return Verdict(in_namespace and items.selector_matches(pods, peer.pod.labels), (7,))
    except InvalidItemError:
        return Verdict(False, (39,))


def _namespace_labels(snapshot: Snapshot, name: str) -> Mapping[str, str] | None:
    """(12) with the label that every namespace has. None where the snapshot lacks the namespace: nobody can tell what
    selects it."""
    labels = next((each.labels for each in snapshot.namespaces if each.name == name), None)
    return None if labels is None else {**labels, "kubernetes.io/metadata.name": name}


# Ports


def _judge_port(item: Any, connection: _Connection) -> Verdict:
    try:
        protocol, port, last = items.port(item)
    except InvalidItemError:
        return Verdict(False, (39,))
    if connection.protocol not in items.PROTOCOLS:
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
