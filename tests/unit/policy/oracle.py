# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may reach whom, written a second time: slowly, straight from the rules of the specification, sharing no code with
the compiler. It judges the raw specs; what the API would reject matches nothing here either (rule 39).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import NetworkPolicy, Pod, Snapshot


@dataclass(frozen=True)
class Flow:
    """A new connection; ``protocol`` is TCP, UDP, SCTP or ICMP (without port)."""

    source: str
    destination: str
    protocol: str
    port: int = 0


class Oracle:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.namespaces = {
            each.name: {**each.labels, "kubernetes.io/metadata.name": each.name} for each in snapshot.namespaces
        }
        self.owners: dict[str, Pod] = {}
        for pod in snapshot.pods:
            for text in pod.ips if is_pod(pod) else ():
                address = str(ip_address(text))
                rival = self.owners.get(address)
                if rival is None or preference(pod) > preference(rival):
                    self.owners[address] = pod

    def allowed(self, flow: Flow) -> bool:
        """Rule 2: both sides must agree, and a side that is no pod does."""
        return self.side(flow, "Egress", flow.source) and self.side(flow, "Ingress", flow.destination)

    def side(self, flow: Flow, direction: str, address: str) -> bool:
        pod = self.owners.get(address)
        if pod is None:
            return True
        if pod.unreadable:
            return False
        isolating = [
            policy
            for policy in self.snapshot.network_policies
            if policy.namespace == pod.namespace and self.isolates(policy, pod, direction)
        ]
        return not isolating or any(self.allows(policy, flow, direction) for policy in isolating)

    def isolates(self, policy: NetworkPolicy, pod: Pod, direction: str) -> bool:
        spec = policy.spec
        if not isinstance(spec, Mapping):
            return True
        if direction not in effective_types(spec):
            return False
        selector = spec.get("podSelector")
        return not valid_selector(selector) or matches(selector, pod.labels)

    def allows(self, policy: NetworkPolicy, flow: Flow, direction: str) -> bool:
        spec = policy.spec
        sound = (
            isinstance(spec, Mapping)
            and set(spec) <= {"podSelector", "policyTypes", "ingress", "egress"}
            and valid_selector(spec.get("podSelector"))
            and valid_types(spec.get("policyTypes"))
            and policy.namespace in self.namespaces
        )
        rules = spec.get(direction.lower()) if sound else None
        return isinstance(rules, list) and any(self.rule_allows(policy, rule, flow, direction) for rule in rules)

    def rule_allows(self, policy: NetworkPolicy, rule: Any, flow: Flow, direction: str) -> bool:
        peers_field = "from" if direction == "Ingress" else "to"
        if not isinstance(rule, dict) or not set(rule) <= {peers_field, "ports"}:
            return False
        peers, ports = rule.get(peers_field), rule.get("ports")
        if not all(each is None or isinstance(each, list) for each in (peers, ports)):
            return False
        other = flow.source if direction == "Ingress" else flow.destination
        return (not peers or any(self.peer_matches(policy, peer, other) for peer in peers)) and (
            not ports or any(self.port_matches(port, flow, direction) for port in ports)
        )

    def peer_matches(self, policy: NetworkPolicy, peer: Any, address: str) -> bool:
        if not isinstance(peer, dict) or not set(peer) <= {"podSelector", "namespaceSelector", "ipBlock"}:
            return False
        given = {key: value for key, value in peer.items() if value is not None}
        if set(given) == {"ipBlock"}:
            return block_contains(given["ipBlock"], address)
        if not given or "ipBlock" in given or not all(valid_selector(each) for each in given.values()):
            return False
        pod = self.owners.get(address)
        if pod is None or pod.unreadable or pod.namespace not in self.namespaces:
            return False
        if "namespaceSelector" in given:
            in_scope = matches(given["namespaceSelector"], self.namespaces[pod.namespace])
        else:
            in_scope = pod.namespace == policy.namespace
        return in_scope and matches(given.get("podSelector"), pod.labels)

    def port_matches(self, item: Any, flow: Flow, direction: str) -> bool:
        if not valid_port(item) or flow.protocol != (item.get("protocol") or "TCP"):
            return False
        port, end = item.get("port"), item.get("endPort")
        if port is None:
            return True
        if isinstance(port, int):
            return port <= flow.port <= (end or port)
        # Rule 16: the name is looked up on the destination; rule 20: which for egress must be a pod of a namespace.
        pod = self.owners.get(flow.destination)
        return (
            pod is not None
            and not pod.unreadable
            and any(
                each.name == port and each.protocol == flow.protocol and each.port == flow.port for each in pod.ports
            )
        )


def is_pod(pod: Pod) -> bool:
    """Rules 29 and 30."""
    return not pod.host_network and pod.phase not in ("Succeeded", "Failed")


def preference(pod: Pod) -> tuple[bool, bool, str, str, str]:
    """Rule 30: who has an address that several pods claim."""
    return pod.phase == "Running", not pod.terminating, pod.created, pod.namespace, pod.name


def effective_types(spec: Mapping[str, Any]) -> list[str]:
    """Rule 4; types that can't be read stand for both."""
    types = spec.get("policyTypes")
    if not valid_types(types):
        return ["Ingress", "Egress"]
    if types:
        return list(types)
    return ["Ingress", "Egress"] if spec.get("egress") not in (None, []) else ["Ingress"]


def valid_types(types: Any) -> bool:
    return types is None or (
        isinstance(types, list) and len(types) <= 2 and all(each in ("Ingress", "Egress") for each in types)
    )


def matches(selector: Any, labels: Mapping[str, str]) -> bool:
    """Rule 11, for a selector that is valid."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for each in (selector or {}).get("matchExpressions") or []:
        key, operator, values = each["key"], each["operator"], each.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not holds[operator]:
            return False
    return True


def valid_selector(selector: Any) -> bool:
    if selector is None:
        return True
    if not isinstance(selector, dict) or not set(selector) <= {"matchLabels", "matchExpressions"}:
        return False
    labels, expressions = selector.get("matchLabels"), selector.get("matchExpressions")
    labels = {} if labels is None else labels
    expressions = [] if expressions is None else expressions
    return (
        isinstance(labels, dict)
        and all(valid_key(key) and valid_value(value) for key, value in labels.items())
        and isinstance(expressions, list)
        and all(valid_expression(each) for each in expressions)
    )


def valid_expression(each: Any) -> bool:
    if not isinstance(each, dict) or not set(each) <= {"key", "operator", "values"} or not valid_key(each.get("key")):
        return False
    values = each.get("values")
    values = [] if values is None else values
    if not isinstance(values, list) or not all(valid_value(value) for value in values):
        return False
    operator = each.get("operator")
    return (operator in ("In", "NotIn") and bool(values)) or (operator in ("Exists", "DoesNotExist") and not values)


def valid_key(key: Any) -> bool:
    name = key.split("/")[-1] if isinstance(key, str) and key.count("/") <= 1 else ""
    return bool(name) and valid_value(name)


def valid_value(value: Any) -> bool:
    return isinstance(value, str) and (
        value == ""
        or (len(value) <= 63 and re.fullmatch(r"[A-Za-z0-9]|[A-Za-z0-9][\w.-]*[A-Za-z0-9]", value) is not None)
    )


def valid_port(item: Any) -> bool:
    if not isinstance(item, dict) or not set(item) <= {"protocol", "port", "endPort"}:
        return False
    if item.get("protocol") not in (None, "TCP", "UDP", "SCTP"):
        return False
    port, end = item.get("port"), item.get("endPort")
    if isinstance(port, str):
        well_formed = re.fullmatch(r"[a-z0-9-]{1,15}", port) and re.search("[a-z]", port)
        return bool(well_formed) and "--" not in port and port.strip("-") == port and end is None
    if port is None:
        return end is None
    if type(port) is not int or not 0 < port < 65536:
        return False
    return end is None or (type(end) is int and port <= end < 65536)


def block_contains(block: Any, address: str) -> bool:
    """Rule 24."""
    if not isinstance(block, dict) or not set(block) <= {"cidr", "except"}:
        return False
    network = read_network(block.get("cidr"))
    holes = block.get("except")
    holes = [] if holes is None else holes
    if network is None or not isinstance(holes, list):
        return False
    read = [read_network(hole) for hole in holes]
    for hole in read:
        if hole is None or hole.version != network.version or hole == network or not hole.subnet_of(network):  # type: ignore[arg-type]
            return False
    number = ip_address(address)
    return number in network and not any(hole is not None and number in hole for hole in read)


def read_network(text: Any) -> IPv4Network | IPv6Network | None:
    if not isinstance(text, str) or not re.search(r"/\d+$", text):
        return None
    without_zeros = text if ":" in text else re.sub(r"(^|[./])0+(?=\d)", r"\1", text)
    try:
        return ip_network(without_zeros, strict=False)
    except ValueError:
        return None
