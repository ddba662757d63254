# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node said about itself, and whether we may and how we should enforce on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from .exchange import Reply
from .ipset_text import IpsetTextError, parse_sets
from .iptables_text import IptablesTextError, parse_table
from .state import LEGACY, NFT, VARIANTS, Kernel, Set, Table

# What the parts of a state begin with in a reply; "#sets" is the state's own first line.
_COUNTS, _MEMBERS, _HOSTS, _SETS = b"#counts\n", b"#members\n", b"#hosts\n", b"#sets\n"


class NodeError(Exception):
    """The node can't enforce, or we must not: the message says why and what to do about it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a kernel holds of ours: sets, their members, and rules, both families together."""

    sets: int = 0
    members: int = 0
    rules: int = 0


@dataclass(frozen=True, slots=True)
class Applied:
    """What was last put on the node, as it remembers it; empty strings when it remembers nothing."""

    target: str = ""
    digest: str = ""
    cluster: str = ""
    version: int = 0
    snapshot: str = ""
    variant: str = ""
    counts: Counts = Counts()


@dataclass(frozen=True, slots=True)
class Facts:
    """One node: what it remembers, the digest of what its kernel holds of ours, and what decides how to enforce."""

    applied: Applied
    digest: str
    record: str
    holds_ours: bool
    default_variant: str
    variants: tuple[str, ...]
    hinted: tuple[str, ...]
    foreign_rules: dict[str, int]
    incompatible: tuple[str, ...]
    obstacles: tuple[str, ...]
    errors: tuple[str, ...]


def read_facts(reply: Reply) -> Facts:
    """The facts that every exchange begins with."""
    return Facts(
        applied=Applied(
            target=reply["last_target"],
            digest=reply["last_digest"],
            cluster=reply["last_cluster"],
            version=reply.number("last_version"),
            snapshot=reply["last_snapshot"],
            variant=reply["last_variant"],
            counts=read_counts(reply, "last_"),
        ),
        digest=reply["digest"],
        record=reply["record"],
        holds_ours=reply.number("ours") > 0,
        default_variant=reply["default_variant"],
        variants=tuple(reply["variants"].split()),
        hinted=tuple(reply["hinted"].split()),
        foreign_rules={variant: reply.number(f"foreign_{variant}") for variant in (NFT, LEGACY)},
        incompatible=tuple(reply["incompatible"].split()),
        obstacles=tuple(_OBSTACLES[name] for name in reply["obstacles"].split() if name in _OBSTACLES),
        errors=tuple(reply.errors),
    )


def read_counts(reply: Reply, prefix: str = "") -> Counts:
    return Counts(*(reply.number(prefix + name) for name in ("sets", "members", "rules")))


_OBSTACLES = {
    "ipvs": "kube-proxy runs in IPVS mode (the interface kube-ipvs0 exists): Services bypass the FORWARD chain",
    "cilium": "a Cilium datapath is active (the interface cilium_host exists): pod traffic bypasses iptables",
    "bridge-iptables": "net.bridge.bridge-nf-call-iptables is not 1: IPv4 of bridged pods bypasses FORWARD",
    "bridge-ip6tables": "net.bridge.bridge-nf-call-ip6tables is not 1: IPv6 of bridged pods bypasses FORWARD",
}


# What ipset says when it comes to a set that it cannot print; after that it prints no other.
_OF_ANOTHER_IPSET = ("not supported by userspace", "ipset library does not support")


def refuse_errors(errors: Iterable[str]) -> None:
    """Raise :class:`NodeError` where the node's script has given up, for these reasons."""
    text = "; ".join(errors)
    if any(words in text for words in _OF_ANOTHER_IPSET):
        raise NodeError(f"a set on the node is of another ipset, and of a kind that the node's own cannot list: {text}")
    if text:
        raise NodeError(text)


def choose_variant(facts: Facts, option: str) -> str:
    """The iptables variant to enforce with: the option, else kube-proxy's, else the one with rules, else the default.

    Raises :class:`NodeError` when the option's programs are missing, or when both variants carry
    kube-proxy's chains and the option does not decide.
    """
    if option in (NFT, LEGACY):
        if option not in facts.variants:
            raise NodeError(f"npm_variant is {option}, but the node has no iptables of that variant")
        return option
    if len(facts.hinted) > 1:
        raise NodeError(
            "both iptables variants (nft and legacy) carry the kubelet's or kube-proxy's chains: "
            "set npm_variant for this node to the one that kube-proxy uses"
        )
    if facts.hinted:
        return facts.hinted[0]
    with_rules = [variant for variant in facts.variants if facts.foreign_rules[variant]]
    if len(with_rules) == 1:
        return with_rules[0]
    return facts.default_variant


def refuse_incompatible(facts: Facts, variant: str) -> None:
    """Raise :class:`NodeError` when iptables can't read a filter table that it has to.

    Those are the one of ``variant`` and the one that the node remembers to enforce with: rules of ours are in it, and
    stay in force when the node goes over to the other or is cleared.
    """
    for each in (variant, facts.applied.variant):
        if each in facts.incompatible:
            raise NodeError(f"the table filter of {each} is incompatible: native nftables rules are in it")


def removal_warnings(facts: Facts) -> list[str]:
    """Of the variant that can't be read, where all that is ours is to go.

    It isn't the one that the node enforces with: something of ours is there only where the node went over from it and
    it was not cleared.
    """
    return [
        f"the table filter of {variant} is incompatible: native nftables rules are in it, so rules of ours that may be "
        "there stay. Remove the native ones, then run remove.yml again"
        for variant in VARIANTS
        if variant in facts.incompatible
    ]


def refuse_unless_enforceable(facts: Facts) -> None:
    """Raise :class:`NodeError` when the traffic of this node's pods doesn't pass the FORWARD chain."""
    if facts.obstacles:
        raise NodeError(
            f"rules on this node would not be passed by its pods' traffic: {'; '.join(facts.obstacles)}. "
            "If that is not so here, set npm_datapath_check to false."
        )


def refuse_older(applied: Applied, cluster: str, version: int, *, allow_older: bool, allow_other: bool) -> None:
    """Raise :class:`NodeError` when the node holds what a newer snapshot, or one of another cluster, gave it."""
    if not applied.cluster:
        return
    if applied.cluster != cluster:
        if not allow_other:
            other = f"cluster {cluster}" if cluster else "a cluster that it does not name (no kube-system in it)"
            raise NodeError(
                f"the node enforces the policies of cluster {applied.cluster}; this snapshot is of {other}. "
                "Set npm_allow_other_cluster to true to take the node over."
            )
        return
    if version < applied.version and not allow_older:
        raise NodeError(
            f"the node enforces a newer snapshot (resourceVersion {applied.version}; this one has {version}). "
            "Set npm_allow_older to true to go back."
        )


def written_out(body: bytes) -> bytes:
    """The node's state, of which a reply has the members apart, without the name of their set on each.

    First how many each set has, in the order in which they follow; then the members up to their third dot, and what
    comes after it; then all that is no member. Raises :class:`NodeError` for anything else.
    """
    counts, _mark, rest = body.partition(_MEMBERS)
    networks, _mark, rest = rest.partition(_HOSTS)
    hosts, mark, others = rest.partition(_SETS)
    if not counts.startswith(_COUNTS) or not mark:
        raise NodeError("the node sent no state, but something else in its place")
    ends = iter(hosts.splitlines())
    members = (each + b"." + next(ends, b"") if b"." in each else each for each in networks.splitlines())
    lines = []
    try:
        for line in counts.removeprefix(_COUNTS).splitlines():
            count, name = line.split()
            start = b"add " + name + b" "
            lines += [start + member for member in islice(members, int(count))]
    except ValueError as error:
        raise NodeError(f"the node's count of its sets' members cannot be read: {line!r}") from error
    return b"".join((mark, *(line + b"\n" for line in lines), others))


def parse_kernel(state: bytes, digest: str) -> Kernel:
    """The node's state as it was sent. Comments of other programs' rules may be in any encoding.

    Raises :class:`NodeError` when it doesn't have the digest that came with it, or can't be read.
    """
    if hashlib.sha256(state).hexdigest() != digest:
        raise NodeError("the state that the node sent does not have the digest that it announced")
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in state.decode(errors="backslashreplace").split("\n"):
        if line.startswith("#"):
            lines = sections.setdefault(line[1:], [])
        else:
            lines.append(line)
    sets: dict[str, Set] = {}
    tables: dict[tuple[str, str], Table] = {}
    try:
        for name, content in sections.items():
            if name == "sets":
                sets = parse_sets(sorted(content, key=lambda line: not line.startswith("create")))
            else:
                variant, _space, family = name.partition(" ")
                tables[(variant, family)] = parse_table(content, found=True)
    except (IpsetTextError, IptablesTextError) as error:
        raise NodeError(f"cannot read the node's state: {error}") from error
    return Kernel(sets, tables)
