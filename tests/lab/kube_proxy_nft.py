# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""kube-proxy's nftables mode: its table as one nft script that replaces it in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .cluster import POD_NETWORK
from .services import Endpoint, PortRule
from .spec import Family

_FIXED = """  chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
  chain nat-output { type nat hook output priority -100; policy accept; jump services; }
  chain nat-postrouting { type nat hook postrouting priority srcnat; policy accept; jump masquerading; }
  chain filter-prerouting {
    type filter hook prerouting priority dstnat - 10; policy accept; ct state new jump service-endpoints-check
  }
  chain filter-output {
    type filter hook output priority -110; policy accept; ct state new jump service-endpoints-check
  }
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain masquerading {
    meta mark and 0x4000 == 0 return
    meta mark set meta mark xor 0x4000
    masquerade fully-random
  }
  chain reject-chain { reject; }
  chain drop-chain { drop; }
"""


def script(rules: Sequence[PortRule], family: Family) -> str:
    """``nft -f`` text."""
    kind = "ip" if family == "ipv4" else "ip6"
    lines = [f"table {kind} kube-proxy {{ }}", f"delete table {kind} kube-proxy", f"table {kind} kube-proxy {{"]
    lines += _FIXED.splitlines()
    served = [rule for rule in rules if rule.endpoints]
    for rule in served:
        for endpoint in rule.endpoints:
            lines += _endpoint_chain(rule, endpoint, kind)
        lines += _service_chain(rule, kind, POD_NETWORK[family])
        if rule.external:
            lines += _external_chain(rule, kind, POD_NETWORK[family])
    lines += _dispatch("services", kind, *_targets(served))
    lines += _dispatch("service-endpoints-check", kind, *_refusals(rules))
    return "\n".join([*lines, "}"]) + "\n"


def _name(kind: str, rule: PortRule) -> str:
    return f"{kind}-{rule.hash[:8]}-{rule.name.replace(':', '/')}/{rule.protocol}/{rule.port}"


def _endpoint_chain(rule: PortRule, endpoint: Endpoint, kind: str) -> Iterator[str]:
    yield f"  chain endpoint-{rule.endpoint_hash(endpoint)} {{"
    yield f"    {kind} saddr {endpoint.ip} jump mark-for-masquerade"
    yield f"    meta l4proto {rule.protocol} dnat to {endpoint.target}"
    yield "  }"


def _service_chain(rule: PortRule, kind: str, pods: str) -> Iterator[str]:
    yield f"  chain {_name('service', rule)} {{"
    own = f"{kind} daddr {rule.cluster_ip} {rule.protocol} dport {rule.port}"
    yield f"    {own} {kind} saddr != {pods} jump mark-for-masquerade"
    yield f"    {_spread(rule, rule.endpoints)}"
    yield "  }"


def _external_chain(rule: PortRule, kind: str, pods: str) -> Iterator[str]:
    service = _name("service", rule)
    yield f"  chain {_name('external', rule)} {{"
    if rule.local_only:
        yield f"    {kind} saddr {pods} goto {service}"
        yield "    fib saddr type local jump mark-for-masquerade"
        yield f"    fib saddr type local goto {service}"
        if rule.local_endpoints:
            yield f"    {_spread(rule, rule.local_endpoints)}"
        else:
            yield "    goto drop-chain"
    else:
        yield "    jump mark-for-masquerade"
        yield f"    goto {service}"
    yield "  }"


def _spread(rule: PortRule, endpoints: Sequence[Endpoint]) -> str:
    choices = [f"{place} : goto endpoint-{rule.endpoint_hash(each)}" for place, each in enumerate(endpoints)]
    return f"numgen random mod {len(endpoints)} vmap {{ {', '.join(choices)} }}"


Verdicts = dict[str, str]


def _targets(rules: Sequence[PortRule]) -> tuple[Verdicts, Verdicts]:
    """By address, protocol and port; and by protocol and node port."""
    addresses, node_ports = {}, {}
    for rule in rules:
        addresses[f"{rule.cluster_ip} . {rule.protocol} . {rule.port}"] = f"goto {_name('service', rule)}"
        for ip in rule.balancer_ips:
            addresses[f"{ip} . {rule.protocol} . {rule.port}"] = f"goto {_name('external', rule)}"
        if rule.node_port:
            node_ports[f"{rule.protocol} . {rule.node_port}"] = f"goto {_name('external', rule)}"
    return addresses, node_ports


def _refusals(rules: Sequence[PortRule]) -> tuple[Verdicts, Verdicts]:
    """The same for Services without any endpoint."""
    addresses, node_ports = {}, {}
    for rule in rules:
        if rule.endpoints:
            continue
        for ip in (rule.cluster_ip, *rule.balancer_ips):
            addresses[f"{ip} . {rule.protocol} . {rule.port}"] = "goto reject-chain"
        if rule.node_port:
            node_ports[f"{rule.protocol} . {rule.node_port}"] = "goto reject-chain"
    return addresses, node_ports


def _dispatch(chain: str, kind: str, addresses: Verdicts, node_ports: Verdicts) -> Iterator[str]:
    yield f"  chain {chain} {{"
    if addresses:
        yield f"    {kind} daddr . meta l4proto . th dport vmap {{ {_elements(addresses)} }}"
    if node_ports:
        not_loopback = "ip daddr != 127.0.0.0/8 " if kind == "ip" else "ip6 daddr != ::1 "
        yield f"    fib daddr type local {not_loopback}meta l4proto . th dport vmap {{ {_elements(node_ports)} }}"
    yield "  }"


def _elements(verdicts: Verdicts) -> str:
    return ", ".join(f"{key} : {verdict}" for key, verdict in sorted(verdicts.items()))
