# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler: from one snapshot to what each node must enforce."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from ..model.problem import Problem
from ..model.ruleset import Direction, Family, FamilyRuleset, Ruleset, Target
from ..model.snapshot import Snapshot
from . import protection, services
from .chains import ChainBuilder, GroupChain
from .cidr import Network, parse_cidr
from .isolation import Isolation
from .parse import parse_spec
from .peers import PeerResolver
from .pod_classes import PodClass, PortName, classify
from .pods import LivePod, live_pods
from .policies import PodPeer, Policy, PolicyRule, Refusal, Spec

_NAMESPACE_NAME = "kubernetes.io/metadata.name"
# What the API takes as the name of a namespace (RFC 1123).
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SettingsError(ValueError):
    """A setting that can't be used; the message names it and the value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``always_allowed_sources``: CIDRs, let in to local pods that back a NodePort or LoadBalancer Service.

    ``protected_namespaces``: where a policy that cuts off every pod, or a lifeline, stops the run.
    """

    always_allowed_sources: tuple[str, ...] = ()
    protected_namespaces: tuple[str, ...] = ("kube-system", "npm-netpol-nodes")


@dataclass(frozen=True, slots=True)
class Summary:
    """``pods``: those with an address that policies can select. ``policies`` = those enforced whole + ``refused``.

    A refused policy isolates what it selects, but allows nothing, or not all that it says.
    """

    pods: int
    pods_isolated_ingress: int
    pods_isolated_egress: int
    policies_enforced: int
    policies_refused: int


class Compiler:
    """Compiles one snapshot; nodes share what it has resolved, so compile all nodes with one instance.

    Raises :class:`SettingsError`. An object of the snapshot never raises: it becomes one of :attr:`problems`.
    """

    def __init__(self, snapshot: Snapshot, settings: Settings = Settings()) -> None:
        self._snapshot = snapshot
        self._settings = settings
        self._always_allowed = _networks(settings.always_allowed_sources)
        _check_namespaces(settings.protected_namespaces)
        namespaces = {
            # The API sets this label and lets nobody change it (rule 12).
            namespace.name: {**namespace.labels, _NAMESPACE_NAME: namespace.name}
            for namespace in snapshot.namespaces
        }
        self._policies = _parse_policies(snapshot, namespaces)
        specs = {policy.spec for policy in self._policies}
        pods, pod_problems = live_pods(snapshot.pods)
        peer_labels, namespace_labels = _labels_of_peers(specs, snapshot)
        subject_labels = {key for spec in specs for key in spec.selector.keys}
        self._classes = classify(pods, peer_labels | subject_labels, _named_ports(specs))
        self._pods_by_node: defaultdict[str, list[tuple[LivePod, PodClass]]] = defaultdict(list)
        for each in self._classes:
            for pod in each.pods:
                self._pods_by_node[pod.pod.node].append((pod, each))
        self._isolation = Isolation(self._policies)
        self._resolver = PeerResolver(self._classes, namespaces, peer_labels, namespace_labels)
        self._chains = ChainBuilder(self._resolver, self._always_allowed)
        self._enforced: dict[Family, dict[PodClass, list[GroupChain]]] = {family: {} for family in Family}
        self.problems = tuple(
            sorted(
                {
                    *snapshot.problems,
                    *(problem for policy in self._policies for problem in policy.problems),
                    *pod_problems,
                    *_unknown_namespaces(self._classes, namespaces),
                    *_not_enforced(snapshot),
                }
            )
        )

    def ruleset(self, node: str) -> Ruleset:
        """All that a node must enforce: for its own pods only. A node without pods has an empty one."""
        families: dict[Family, FamilyRuleset] = {}
        for family in Family:
            targets: dict[Direction, list[Target]] = {direction: [] for direction in Direction}
            chains: dict[str, GroupChain] = {}
            for pod, its_class in self._pods_by_node.get(node, ()):
                addresses = pod.addresses(family)
                for group in self._chains_of(its_class, family) if addresses else ():
                    chains[group.chain.name] = group
                    targets[group.chain.direction] += (Target(each, group.chain.name, pod.key) for each in addresses)
            sets = {each.name: each for group in chains.values() for each in group.sets}
            families[family] = FamilyRuleset(
                sets=tuple(sets[name] for name in sorted(sets)),
                chains=tuple(chains[name].chain for name in sorted(chains)),
                ingress=_by_address(targets[Direction.INGRESS]),
                egress=_by_address(targets[Direction.EGRESS]),
            )
        return Ruleset(node, ipv4=families[Family.IPV4], ipv6=families[Family.IPV6])

    @cached_property
    def protected(self) -> tuple[Problem, ...]:
        """Policies that cut off a protected namespace or a lifeline: reason to stop before any node is touched."""
        return tuple(
            sorted(
                protection.cut_off(
                    self._settings.protected_namespaces, self._classes, self._isolation, self._snapshot.network_policies
                )
            )
        )

    @cached_property
    def exposed_services(self) -> tuple[Problem, ...]:
        """NodePort and LoadBalancer Services with externalTrafficPolicy Cluster and isolated backends."""
        return tuple(sorted(services.hiding_clients(self._snapshot.services, self._resolver, self._isolation)))

    @cached_property
    def summary(self) -> Summary:
        pods = 0
        isolated: Counter[Direction] = Counter()
        for each in self._classes:
            reachable = each.reachable
            pods += reachable
            for direction in self._isolation.of(each):
                isolated[direction] += reachable
        refused = sum(bool(policy.spec.refusals) for policy in self._policies)
        return Summary(
            pods=pods,
            pods_isolated_ingress=isolated[Direction.INGRESS],
            pods_isolated_egress=isolated[Direction.EGRESS],
            policies_enforced=len(self._policies) - refused,
            policies_refused=refused,
        )

    def _chains_of(self, pods: PodClass, family: Family) -> list[GroupChain]:
        """The chains of these pods: one for each direction in which they are isolated."""
        known = self._enforced[family]
        if pods not in known:
            always_reachable = pods in self._always_reachable
            known[pods] = [
                self._chains.chain(pods, isolators, family, always_reachable=always_reachable)
                for isolators in self._isolation.of(pods).values()
            ]
        return known[pods]

    @cached_property
    def _always_reachable(self) -> frozenset[PodClass]:
        if not self._always_allowed:
            return frozenset()
        return frozenset(
            pods
            for service in self._snapshot.services
            if services.is_exposed(service)
            for pods in services.backends_of(service, self._resolver)
        )


def _networks(sources: Iterable[str]) -> tuple[Network, ...]:
    try:
        return tuple(sorted({parse_cidr(source) for source in sources}))
    except ValueError as error:
        raise SettingsError(f"always_allowed_sources: {error}") from error


def _check_namespaces(names: Iterable[str]) -> None:
    """A name that no namespace can have protects none, which nobody would notice."""
    for name in names:
        if not _DNS_LABEL.fullmatch(name):
            raise SettingsError(f"protected_namespaces: {name!r} is no name of a namespace")


def _parse_policies(snapshot: Snapshot, namespaces: Container[str]) -> list[Policy]:
    """The policies; equal specs, which most templates and charts make many of, are read once."""
    specs: dict[str, Spec] = {}
    policies = []
    for given in snapshot.network_policies:
        # Plain JSON values that read the same are the same.
        spelled = repr(given.spec)
        spec = specs.get(spelled)
        if spec is None:
            spec = specs[spelled] = parse_spec(given.spec)
        if given.namespace not in namespaces:
            message = f"its namespace {given.namespace} is not in the snapshot"
            spec = spec.allowing_nothing(Refusal("", message, "isolates what it selects, allows nothing"))
        policies.append(Policy(given.namespace, given.name, spec))
    return policies


def _unknown_namespaces(classes: Iterable[PodClass], namespaces: Container[str]) -> list[Problem]:
    counts: Counter[str] = Counter()
    for each in classes:
        if each.namespace not in namespaces:
            counts[each.namespace] += len(each.pods)
    return [
        Problem(
            "Namespace", "", name, "", f"is not in the snapshot, but {count} of its pods are", "no peer selects them"
        )
        for name, count in counts.items()
    ]


def _not_enforced(snapshot: Snapshot) -> list[Problem]:
    message = "ClusterNetworkPolicy is not supported by this version"
    return [
        Problem("ClusterNetworkPolicy", "", policy.name, "", message, "not enforced")
        for policy in snapshot.cluster_network_policies
    ]


def _labels_of_peers(specs: Iterable[Spec], snapshot: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
    """The labels of pods and of namespaces that peers, or exposed Services, select by."""
    pod_keys = {key for service in snapshot.services if services.is_exposed(service) for key in service.selector}
    namespace_keys: set[str] = set()
    for rule in _rules(specs):
        for peer in rule.peers or ():
            if isinstance(peer, PodPeer):
                pod_keys |= peer.pods.keys
                namespace_keys |= peer.namespaces.keys if peer.namespaces else frozenset()
    return frozenset(pod_keys), frozenset(namespace_keys)


def _named_ports(specs: Iterable[Spec]) -> frozenset[PortName]:
    return frozenset((port.protocol, port.name) for rule in _rules(specs) for port in rule.ports or () if port.name)


def _rules(specs: Iterable[Spec]) -> Iterator[PolicyRule]:
    return (rule for spec in specs for rules in spec.rules.values() for rule in rules)


def _by_address(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: target.address))
