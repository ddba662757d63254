# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Doing on a node what its kubelet and kube-proxy would do to netfilter."""

from __future__ import annotations

import re
from typing import get_args

from . import kube_proxy, kube_proxy_nft
from .cluster import Cluster
from .node import Node
from .services import port_rules
from .spec import Family

_TOOL = {"ipv4": "iptables", "ipv6": "ip6tables"}
_OF_SERVICES = re.compile(r"^:(KUBE-(?:SVC|SEP|EXT|SVL)-\S+)", re.MULTILINE)


def prepare(cluster: Cluster, node: Node) -> None:
    """What exists on a node before the first Service does."""
    # kubelet has its chains in both families, whatever the cluster's are.
    for family in get_args(Family):
        _restore(node, family, kube_proxy.kubelet_chains(family))
        if node.spec.proxy_mode == "iptables" and family in cluster.families:
            _restore(node, family, kube_proxy.hooks())


def synchronise(cluster: Cluster, node: Node) -> None:
    """Bring the node's kube-proxy rules to the cluster's Services. In IPVS mode the lab serves none."""
    for family in cluster.families:
        rules = port_rules(cluster, node.name, family)
        if node.spec.proxy_mode == "iptables":
            held = node.run_tool([*_tool(node, family, "-save"), "-t", "nat"])
            stale = frozenset(_OF_SERVICES.findall(held)) - kube_proxy.chains(rules)
            _restore(node, family, kube_proxy.synchronise(rules, family, stale))
        elif node.spec.proxy_mode == "nftables":
            node.run_tool(["/usr/sbin/nft", "-f", "-"], kube_proxy_nft.script(rules, family))


def reset(cluster: Cluster, node: Node) -> None:
    """Netfilter with nothing but kubelet's and kube-proxy's, as after the start. A legacy table that came, stays."""
    node.run_tool(["/usr/sbin/nft", "flush", "ruleset"])
    for family, names in (("iptables", "ip_tables_names"), ("ip6tables", "ip6_tables_names")):
        for table in node.run_tool(["/usr/bin/cat", f"/proc/net/{names}"]).split():
            text = node.run_tool([f"/usr/sbin/{family}-legacy-save", "-t", table])
            builtin = [line for line in text.splitlines() if line.startswith(":") and " - [" not in line]
            empty = [f"*{table}", *(f"{line.split()[0]} ACCEPT [0:0]" for line in builtin), "COMMIT", ""]
            node.run_tool([f"/usr/sbin/{family}-legacy-restore", "-w", "10"], "\n".join(empty))
    node.run_tool(["/usr/sbin/ipset", "destroy"])
    node.run_tool(["/usr/sbin/conntrack", "-F"])
    prepare(cluster, node)
    synchronise(cluster, node)


def _tool(node: Node, family: Family, suffix: str) -> list[str]:
    return [f"/usr/sbin/{_TOOL[family]}-{node.spec.variant}{suffix}"]


def _restore(node: Node, family: Family, text: str) -> None:
    node.run_tool([*_tool(node, family, "-restore"), "--noflush", "-w", "10"], text)
