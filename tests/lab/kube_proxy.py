# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kube-proxy's iptables mode and kubelet's own chains, as iptables-restore text of the same shape as theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .cluster import POD_NETWORK
from .services import Endpoint, PortRule
from .spec import Family

# What the two create once and never rewrite.
_KUBELET = """*mangle
:KUBE-IPTABLES-HINT - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
-A INPUT -j KUBE-FIREWALL
-A OUTPUT -j KUBE-FIREWALL
{firewall}COMMIT
*nat
:KUBE-KUBELET-CANARY - [0:0]
COMMIT
"""
_FIREWALL = """-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 \
-m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
"""
# AKS keeps pods from the wire server.
_AKS = """*filter
-A FORWARD -d 168.63.129.16/32 -p tcp -m tcp --dport 80 -j DROP
COMMIT
"""
_HOOKS = """*mangle
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-I INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" \
-j KUBE-EXTERNAL-SERVICES
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" \
-j KUBE-EXTERNAL-SERVICES
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-I FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SERVICES - [0:0]
-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-I POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
COMMIT
"""
_FORWARD = """-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED \
-j ACCEPT
"""
_MASQUERADE = """-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
"""


def kubelet_chains(family: Family) -> str:
    """What kubelet keeps on every node, whatever kube-proxy does; by its hint chain the variant is recognised."""
    aks = _AKS if family == "ipv4" else ""
    return _KUBELET.format(firewall=_FIREWALL if family == "ipv4" else "") + aks


def hooks() -> str:
    """kube-proxy's jumps from the built-in chains, made once."""
    return _HOOKS


def chains(rules: Iterable[PortRule]) -> frozenset[str]:
    """The nat chains that exist for these ports only."""
    names = set()
    for rule in rules:
        if rule.endpoints:
            names.add(f"KUBE-SVC-{rule.hash}")
            names |= {f"KUBE-SEP-{rule.endpoint_hash(each)}" for each in rule.endpoints}
            if rule.external:
                names.add(f"KUBE-EXT-{rule.hash}")
            if rule.external and rule.local_only:
                names.add(f"KUBE-SVL-{rule.hash}")
    return frozenset(names)


def synchronise(rules: list[PortRule], family: Family, stale: frozenset[str]) -> str:
    """What iptables-restore --noflush makes kube-proxy's chains of. ``stale``: chains of Services that have gone."""
    host = 32 if family == "ipv4" else 128
    lines = ["*filter"]
    lines += [f":{name} - [0:0]" for name in ("KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-SERVICES")]
    for rule in rules:
        lines += _filter_rules(rule, host)
    lines += [*_FORWARD.splitlines(), "COMMIT", "*nat"]
    own = chains(rules)
    fixed = {"KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES"}
    lines += [f":{name} - [0:0]" for name in sorted(own | stale | fixed)]
    lines += _MASQUERADE.splitlines()
    for rule in rules:
        lines += _nat_rules(rule, family, host)
    lines.append(
        '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this '
        'chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'
    )
    lines += [f"-X {name}" for name in sorted(stale - own)]
    return "\n".join([*lines, "COMMIT"]) + "\n"


def _filter_rules(rule: PortRule, host: int) -> Iterator[str]:
    port = f"-p {rule.protocol} -m {rule.protocol} --dport"
    if not rule.endpoints:
        why, verdict = f'-m comment --comment "{rule.name} has no endpoints"', "-j REJECT"
        yield f"-A KUBE-SERVICES -d {rule.cluster_ip}/{host} {port} {rule.port} {why} {verdict}"
    elif rule.local_only and not rule.local_endpoints:
        why, verdict = f'-m comment --comment "{rule.name} has no local endpoints"', "-j DROP"
    else:
        return
    for ip in rule.balancer_ips:
        yield f"-A KUBE-EXTERNAL-SERVICES -d {ip}/{host} {port} {rule.port} {why} {verdict}"
    if rule.node_port:
        local = "-m addrtype --dst-type LOCAL"
        yield f"-A KUBE-EXTERNAL-SERVICES {local} {port} {rule.node_port} {why} {verdict}"


def _nat_rules(rule: PortRule, family: Family, host: int) -> Iterator[str]:
    if not rule.endpoints:
        return
    service, external = f"KUBE-SVC-{rule.hash}", f"KUBE-EXT-{rule.hash}"
    port = f"-p {rule.protocol} -m {rule.protocol} --dport"
    pods = POD_NETWORK[family]

    def comment(text: str) -> str:
        return f'-m comment --comment "{f"{rule.name} {text}".strip()}"'

    to_cluster_ip = f"-d {rule.cluster_ip}/{host} {port} {rule.port}"
    yield f"-A KUBE-SERVICES {to_cluster_ip} {comment('cluster IP')} -j {service}"
    yield f"-A {service} ! -s {pods} {to_cluster_ip} {comment('cluster IP')} -j KUBE-MARK-MASQ"
    yield from _spread(service, rule, rule.endpoints)
    for endpoint in rule.endpoints:
        chain = f"KUBE-SEP-{rule.endpoint_hash(endpoint)}"
        yield f"-A {chain} -s {endpoint.ip}/{host} {comment('')} -j KUBE-MARK-MASQ"
        yield f"-A {chain} -p {rule.protocol} -m {rule.protocol} -j DNAT --to-destination {endpoint.target}"
    if not rule.external:
        return
    for ip in rule.balancer_ips:
        yield f"-A KUBE-SERVICES -d {ip}/{host} {port} {rule.port} {comment('loadbalancer IP')} -j {external}"
    if rule.node_port:
        yield f"-A KUBE-NODEPORTS {port} {rule.node_port} {comment('')} -j {external}"
    if not rule.local_only:
        yield f"-A {external} {comment('masquerade traffic for external destinations')} -j KUBE-MARK-MASQ"
        yield f"-A {external} -j {service}"
        return
    from_node = "-m addrtype --src-type LOCAL"
    yield f"-A {external} -s {pods} {comment('pod traffic for external destinations')} -j {service}"
    yield f"-A {external} {from_node} {comment('masquerade LOCAL traffic')} -j KUBE-MARK-MASQ"
    yield f"-A {external} {from_node} {comment('route LOCAL traffic')} -j {service}"
    if rule.local_endpoints:
        yield f"-A {external} -j KUBE-SVL-{rule.hash}"
        yield from _spread(f"KUBE-SVL-{rule.hash}", rule, rule.local_endpoints)


def _spread(chain: str, rule: PortRule, endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    for place, endpoint in enumerate(endpoints):
        left = len(endpoints) - place
        chance = f" -m statistic --mode random --probability {1 / left:.11f}" if left > 1 else ""
        why = f'-m comment --comment "{rule.name} -> {endpoint.target}"'
        yield f"-A {chain} {why}{chance} -j KUBE-SEP-{rule.endpoint_hash(endpoint)}"
