# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wires: fabric, nodes, pods, controller and outside host as namespaces with links, addresses and routes.

Pods are wired as Azure CNI's transparent mode does it: a veth pair ``azv…``, a /32 (/128) on the pod and a route to it
on the node, a link-local gateway with a fixed neighbour entry. Nodes route to each other's pods without SNAT.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from .cluster import CONTROLLER, OUTSIDE, Cluster, family_of
from .netns import delete, ip_batch, node_namespace, pod_namespace, prefix, set_sysctls
from .spec import Family, Node, Pod

GATEWAY: dict[Family, str] = {"ipv4": "10.240.0.1", "ipv6": "fd00:10:240::1"}
_OUTSIDE_GATEWAY: dict[Family, str] = {"ipv4": "198.51.100.1", "ipv6": "2001:db8:51::1"}
_POD_GATEWAY: dict[Family, str] = {"ipv4": "169.254.1.1", "ipv6": "fe80::1234:5678:9abc"}
_LENGTH: dict[Family, tuple[int, int]] = {"ipv4": (22, 32), "ipv6": (64, 128)}
_ANY: dict[Family, str] = {"ipv4": "0.0.0.0/0", "ipv6": "::/0"}

# Duplicate address detection would make every address wait for a second.
_HOST = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    # A refusal must not turn into silence because there were many.
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/ping_group_range": "0 2147483647",
}
_ROUTER = {**_HOST, "net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}
Address = IPv4Address | IPv6Address
_BRIDGE_FILTER = ("net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables")
# A balancer sends each connection to some node: hash ports too.
_FABRIC = {
    **_ROUTER,
    "net/ipv4/fib_multipath_hash_policy": "1",
    "net/ipv6/fib_multipath_hash_policy": "1",
}


def host_interface(key: str) -> str:
    """The name of the pod's interface on its node."""
    return "azv" + hashlib.sha256(key.encode()).hexdigest()[:10]


def fabric_port(cluster: Cluster, node: str) -> str:
    """The name of the node's port on the fabric."""
    return f"n{cluster.index[node]}"


def set_connected(lab_id: str, cluster: Cluster, node: str, *, connected: bool) -> None:
    """Plug the node's cable in or out, at the fabric's end: the node keeps its addresses and routes."""
    state = "up" if connected else "down"
    ip_batch([f"link set {fabric_port(cluster, node)} {state}"], f"{prefix(lab_id)}fab")


def build(lab_id: str, cluster: Cluster) -> None:
    """Everything but what runs in it. Faults raise :class:`lab.netns.LabError`."""
    start = prefix(lab_id)
    nodes = {name: node_namespace(lab_id, name) for name in cluster.nodes}
    fixed = [f"{start}{name}" for name in ("ctl", "fab", "ext")]
    ip_batch([f"netns add {name}" for name in [*fixed, *nodes.values()]])
    for name in fixed:
        set_sysctls(name, _FABRIC if name.endswith("fab") else _HOST)
    for name in nodes.values():
        set_sysctls(name, _ROUTER)
    ip_batch([_veth(f"{start}fab", place, f"{start}{place}", "eth0") for place in ("ctl", "ext")])
    for place, at, gateway in (("ctl", CONTROLLER, GATEWAY), ("ext", OUTSIDE, _OUTSIDE_GATEWAY)):
        ip_batch(_host_lines([at[each] for each in cluster.families], gateway), f"{start}{place}")
    ip_batch(_fabric_lines(cluster), f"{start}fab")
    for node in cluster.nodes.values():
        _wire_node(lab_id, cluster, node)
    for name, namespace in nodes.items():
        ip_batch(_peer_routes(cluster, name), namespace)
    add_pods(lab_id, cluster, [pod for pod in cluster.pods.values() if pod.has_network])


def add_node(lab_id: str, cluster: Cluster, node: Node) -> None:
    """One node more, and the routes to its pods on all the others."""
    namespace = node_namespace(lab_id, node.name)
    ip_batch([f"netns add {namespace}"])
    set_sysctls(namespace, _ROUTER)
    _wire_node(lab_id, cluster, node)
    ip_batch(_peer_routes(cluster, node.name), namespace)
    for other in cluster.nodes:
        if other != node.name:
            ip_batch(_routes_to_pods(cluster, node.name), node_namespace(lab_id, other))


def remove_node(lab_id: str, cluster: Cluster, name: str) -> None:
    """Its cable, its namespace, and the routes to its pods. What runs on it has ended."""
    ip_batch([f"link del {fabric_port(cluster, name)}"], f"{prefix(lab_id)}fab")
    delete([node_namespace(lab_id, name)])
    routes = [f"route del {cluster.pod_cidr(name, family)}" for family in cluster.families]
    for other in cluster.nodes:
        if other != name:
            ip_batch(routes, node_namespace(lab_id, other))
    ip_batch(routes, f"{prefix(lab_id)}fab")


def add_pods(lab_id: str, cluster: Cluster, pods: Sequence[Pod]) -> None:
    names = {pod.key: pod_namespace(lab_id, pod.key) for pod in pods}
    ip_batch([f"netns add {names[pod.key]}" for pod in pods])
    for pod in pods:
        set_sysctls(names[pod.key], _HOST)
    ip_batch(
        [
            _veth(node_namespace(lab_id, pod.node), host_interface(pod.key), names[pod.key], "eth0", _mac(pod.key))
            for pod in pods
        ]
    )
    for node in cluster.nodes:
        ip_batch(
            [line for pod in pods if pod.node == node for line in _pod_lines_on_node(pod)],
            node_namespace(lab_id, node),
        )
    for pod in pods:
        ip_batch(_pod_lines(pod), names[pod.key])


def remove_pod(lab_id: str, pod: Pod) -> None:
    """The interface pair and with it the routes; the namespace is the caller's to end."""
    ip_batch([f"link del {host_interface(pod.key)}"], node_namespace(lab_id, pod.node))


def set_balancer_routes(lab_id: str, families: Sequence[Family], routes: Mapping[str, tuple[str, ...]]) -> None:
    """``routes``: load balancer address -> the addresses of the nodes that get its traffic, never none.

    Those that stay as they are, are not touched.
    """
    fabric = f"{prefix(lab_id)}fab"
    wanted = {ip_address(address): frozenset(map(ip_address, nodes)) for address, nodes in routes.items()}
    held = {each: hops for family in families for each, hops in _balancer_routes(fabric, family).items()}
    lines = [f"route del {address}" for address in held.keys() - wanted.keys()]
    for address, nodes in wanted.items():
        if held.get(address) != nodes:
            lines.append(" ".join([f"route replace {address}", *(f"nexthop via {node}" for node in sorted(nodes))]))
    ip_batch(sorted(lines), fabric)


def _balancer_routes(fabric: str, family: Family) -> dict[Address, frozenset[Address]]:
    """The balancer's routes that the fabric has: no other is a single address by way of a node."""
    command = ["ip", "-n", fabric, "-j", "-4" if family == "ipv4" else "-6", "route", "show", "table", "main"]
    found = {}
    for route in json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout):
        hops = [hop["gateway"] for hop in route.get("nexthops", [route]) if "gateway" in hop]
        if hops and "/" not in route["dst"] and route["dst"] != "default":
            found[ip_address(route["dst"])] = frozenset(map(ip_address, hops))
    return found


def _mac(seed: str) -> str:
    digits = hashlib.sha256(seed.encode()).hexdigest()[:10]
    return "02:" + ":".join(digits[place : place + 2] for place in range(0, 10, 2))


def _veth(left: str, left_name: str, right: str, right_name: str, left_mac: str = "") -> str:
    address = f" address {left_mac}" if left_mac else ""
    return f"link add {left_name}{address} netns {left} type veth peer name {right_name} netns {right}"


def _host_lines(addresses: Sequence[str], gateway: dict[Family, str]) -> list[str]:
    lines = ["link set lo up", "link set eth0 up"]
    for address in addresses:
        family = family_of(address)
        nodad = " nodad" if family == "ipv6" else ""
        lines.append(f"address add {address}/{_LENGTH[family][0]} dev eth0{nodad}")
        lines.append(f"route add {_ANY[family]} via {gateway[family]}")
    return lines


def _fabric_lines(cluster: Cluster) -> list[str]:
    lines = ["link set lo up", "link add vnet type bridge", "link set vnet up", "link set ctl master vnet up"]
    lines.append("link set ext up")
    for family in cluster.families:
        nodad = " nodad" if family == "ipv6" else ""
        lines.append(f"address add {GATEWAY[family]}/{_LENGTH[family][0]} dev vnet{nodad}")
        lines.append(f"address add {_OUTSIDE_GATEWAY[family]}/{_LENGTH[family][0]} dev ext{nodad}")
        # What nobody has gets no answer, as in a cloud: a balancer's address without a healthy node, too.
        lines.append(f"route add blackhole {_ANY[family]}")
    return lines


def _wire_node(lab_id: str, cluster: Cluster, node: Node) -> None:
    namespace, fabric = node_namespace(lab_id, node.name), f"{prefix(lab_id)}fab"
    port = fabric_port(cluster, node.name)
    ip_batch([_veth(fabric, port, namespace, "eth0")])
    ip_batch([f"link set {port} master vnet up", *_routes_to_pods(cluster, node.name)], fabric)
    ip_batch([*_host_lines(cluster.node_ips(node.name), GATEWAY), *_foreign_lines(node)], namespace)
    if "cbr0" in node.foreign:
        # A kernel without br_netfilter is as good as one where it is off.
        set_sysctls(namespace, {name: "0" for name in _BRIDGE_FILTER if (Path("/proc/sys") / name).exists()})


def _foreign_lines(node: Node) -> list[str]:
    lines = []
    if node.proxy_mode == "ipvs":
        # On a real node a dummy; not every kernel has that type, and it is the name that tells.
        lines.append("link add kube-ipvs0 type bridge")
    if "cilium" in node.foreign:
        lines += ["link add cilium_host type veth peer name cilium_net", "link set cilium_host up"]
    if "cbr0" in node.foreign:
        lines += ["link add cbr0 type bridge", "link set cbr0 up"]
    return lines


def _routes_to_pods(cluster: Cluster, node: str) -> list[str]:
    return [f"route add {cluster.pod_cidr(node, family_of(ip))} via {ip}" for ip in cluster.node_ips(node)]


def _peer_routes(cluster: Cluster, node: str) -> list[str]:
    return [line for other in cluster.nodes if other != node for line in _routes_to_pods(cluster, other)]


def _pod_lines_on_node(pod: Pod) -> list[str]:
    name = host_interface(pod.key)
    return [
        f"link set {name} mtu {pod.mtu} up",
        *(f"route add {ip}/{_LENGTH[family_of(ip)][1]} dev {name}" for ip in pod.ips),
    ]


def _pod_lines(pod: Pod) -> list[str]:
    lines = ["link set lo up", "link set eth0 up"]
    for ip in pod.ips:
        family = family_of(ip)
        gateway, nodad = _POD_GATEWAY[family], " nodad" if family == "ipv6" else ""
        lines.append(f"address add {ip}/{_LENGTH[family][1]} dev eth0{nodad}")
        lines.append(f"neigh add {gateway} lladdr {_mac(pod.key)} dev eth0 nud permanent")
        if family == "ipv4":
            lines.append(f"route add {gateway}/32 dev eth0")
        lines.append(f"route add {_ANY[family]} via {gateway} dev eth0")
    return lines
