"""A hand-made ruleset that has one of everything, and the templates that the tests render it with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import jinja2
from ansible_collections.npm.netpol.plugins.plugin_utils import templates
from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import group_chain, peer_set
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import (
    Chain,
    Direction,
    Family,
    FamilyRuleset,
    PeerSet,
    Rule,
    Ruleset,
    SetKind,
    Target,
    Verdict,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render

ALLOW, DENY = Verdict.ALLOW, Verdict.DENY

PODS_4 = PeerSet(peer_set(Family.IPV4, SetKind.ADDRESSES, "web"), SetKind.ADDRESSES, ("10.1.0.7", "10.1.0.8"))
NETS_4 = PeerSet(peer_set(Family.IPV4, SetKind.NETWORKS, "office"), SetKind.NETWORKS, ("10.9.0.0/16", "192.0.2.1"))
PORTS_4 = PeerSet(peer_set(Family.IPV4, SetKind.PORTS, "named"), SetKind.PORTS, ("10.1.0.7,tcp:8080",))
EMPTY_4 = PeerSet(peer_set(Family.IPV4, SetKind.ADDRESSES, "nobody"), SetKind.ADDRESSES, ())
PODS_6 = PeerSet(peer_set(Family.IPV6, SetKind.ADDRESSES, "web"), SetKind.ADDRESSES, ("fd00:10:1::7",))
NETS_6 = PeerSet(peer_set(Family.IPV6, SetKind.NETWORKS, "office"), SetKind.NETWORKS, ("2001:db8::/32",))
PORTS_6 = PeerSet(peer_set(Family.IPV6, SetKind.PORTS, "named"), SetKind.PORTS, ("fd00:10:1::7,sctp:9",))

MANY_PORTS = (*((port, port) for port in range(1000, 1040, 2)), (2000, 2010), (3000, 3010))


def ingress_chain(pods: PeerSet, nets: PeerSet) -> Chain:
    return Chain(
        name=group_chain(Direction.INGRESS, "one of everything"),
        direction=Direction.INGRESS,
        rules=(
            Rule(ALLOW, "tcp", ((8080, 8080),), pods.name, ("shop/allow-web",)),
            Rule(ALLOW, "tcp", ((80, 80), (443, 443), (8000, 8100)), nets.name, ("shop/allow-web", "shop/office")),
            Rule(ALLOW, "udp", ((5000, 5010),), pods.name, ("shop/media",)),
            Rule(ALLOW, "sctp", ((7, 7),), pods.name, ("shop/diameter.v1",)),
            Rule(ALLOW, "sctp", (), "", ("shop/sctp",)),
            Rule(ALLOW, "tcp", MANY_PORTS, "", ("shop/many-ports",)),
            Rule(ALLOW, "tcp", ((1, 65535),), pods.name, ("shop/all-of-tcp",)),
            Rule(ALLOW, "", (), nets.name, ("npm_always_allowed_sources",)),
            Rule(DENY, "", (), pods.name, ()),
        ),
        policies=("shop/allow-web", "shop/default-deny"),
    )


def egress_chain(ports: PeerSet, pods: PeerSet) -> Chain:
    return Chain(
        name=group_chain(Direction.EGRESS, "named ports and pods"),
        direction=Direction.EGRESS,
        rules=(
            Rule(ALLOW, "", (), ports.name, ("shop/to-web",)),
            Rule(ALLOW, "udp", ((53, 53),), pods.name, ("shop/dns",)),
        ),
        policies=("shop/to-web",),
    )


def open_chain() -> Chain:
    """As ClusterNetworkPolicies may leave one: what no rule denies passes."""
    return Chain(
        name=group_chain(Direction.EGRESS, "open"),
        direction=Direction.EGRESS,
        rules=(Rule(DENY, "tcp", ((25, 25),), "", ("no-mail",)),),
        policies=("no-mail",),
        otherwise=ALLOW,
    )


def family(pods: PeerSet, nets: PeerSet, ports: PeerSet, addresses: tuple[str, ...], *more: PeerSet) -> FamilyRuleset:
    ingress, egress, opened = ingress_chain(pods, nets), egress_chain(ports, pods), open_chain()
    return FamilyRuleset(
        sets=tuple(sorted((pods, nets, ports, *more), key=lambda each: each.name)),
        chains=tuple(sorted((ingress, egress, opened), key=lambda each: each.name)),
        ingress=tuple(Target(address, ingress.name, f"shop/web-{n}") for n, address in enumerate(addresses)),
        egress=(
            Target(addresses[0], egress.name, "shop/web-0"),
            Target(addresses[1], opened.name, "shop/web-1"),
        ),
    )


ONE_OF_EVERYTHING = Ruleset(
    node="aks-nodepool1-12345678-vmss000000",
    ipv4=family(PODS_4, NETS_4, PORTS_4, ("10.1.0.5", "10.1.0.6"), EMPTY_4),
    ipv6=family(PODS_6, NETS_6, PORTS_6, ("fd00:10:1::5", "fd00:10:1::6")),
)


def environment(template_path: Iterable[Path] = ()) -> jinja2.Environment:
    return render.environment(templates.loader(template_path))


def with_rules(*rules: Rule, sets: tuple[PeerSet, ...] = (), policies: tuple[str, ...] = ("shop/p",)) -> Ruleset:
    """An IPv4 ruleset of one chain."""
    chain = Chain(group_chain(Direction.INGRESS, "test"), Direction.INGRESS, rules, policies)
    return Ruleset("node-1", ipv4=FamilyRuleset(sets, (chain,), (Target("10.1.0.5", chain.name, "shop/web-0"),)))
