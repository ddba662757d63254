# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Doing on a node what its kubelet and kube-proxy would do to netfilter."""

from __future__ import annotations

import re

from . import kube_proxy, kube_proxy_nft
from .cluster import Cluster
from .node import Node
from .services import port_rules
from .spec import Family

_TOOL = {"ipv4": "iptables", "ipv6": "ip6tables"}
_OF_SERVICES = re.compile(r"^:(KUBE-(?:SVC|SEP|EXT|SVL)-\S+)", re.MULTILINE)


def prepare(cluster: Cluster, node: Node) -> None:
    """What exists on a node before the first Service does."""
    for family in cluster.families:
        _restore(node, family, kube_proxy.kubelet_chains(family))
        if node.spec.proxy_mode == "iptables":
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


def _tool(node: Node, family: Family, suffix: str) -> list[str]:
    return [f"/usr/sbin/{_TOOL[family]}-{node.spec.variant}{suffix}"]


def _restore(node: Node, family: Family, text: str) -> None:
    node.run_tool([*_tool(node, family, "-restore"), "--noflush", "-w", "10"], text)
