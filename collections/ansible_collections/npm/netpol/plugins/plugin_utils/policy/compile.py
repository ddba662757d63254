# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler: from one snapshot to what each node must enforce."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from ..model.problem import Problem
from ..model.ruleset import Direction, Family, FamilyRuleset, Ruleset, Target
from ..model.snapshot import Snapshot
from . import checks
from .chains import GroupChain, build_chain, group_rules, with_sources
from .cidr import Network, parse_cidr
from .isolation import Isolation, Isolators
from .parse import parse_policy
from .peers import PeerResolver
from .pods import LivePod, live_pods
from .policies import PodPeer, Policy

_NAMESPACE_NAME = "kubernetes.io/metadata.name"

# The policies, the family, the numbers of the named ports that the policies mention, and whether exposed.
_Group = tuple[Isolators, Family, tuple[tuple[int, ...], ...], bool]


class SettingsError(ValueError):
    """A setting that can't be used; the message names it and the value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``always_allowed_sources``: CIDRs, let in to local pods that back a NodePort or LoadBalancer Service.

    ``protected_namespaces``: where a policy that cuts every pod off stops the run.
    """

    always_allowed_sources: tuple[str, ...] = ()
    protected_namespaces: tuple[str, ...] = ("kube-system",)


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
        namespaces = {
            # The API sets this label and lets nobody change it (rule 12).
            namespace.name: {**namespace.labels, _NAMESPACE_NAME: namespace.name}
            for namespace in snapshot.namespaces
        }
        self._policies, policy_problems = _parse_policies(snapshot, namespaces)
        self._pods, pod_problems = live_pods(snapshot.pods)
        self._pods_by_node: defaultdict[str, list[LivePod]] = defaultdict(list)
        for pod in self._pods:
            self._pods_by_node[pod.pod.node].append(pod)
        self._isolation = Isolation(self._policies)
        self._resolver = PeerResolver(self._pods, namespaces, *_mentioned_labels(self._policies, snapshot))
        self._chains: dict[_Group, GroupChain] = {}
        self.problems = tuple(
            sorted(
                {
                    *snapshot.problems,
                    *policy_problems,
                    *pod_problems,
                    *_unknown_namespaces(self._pods, namespaces),
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
            for pod in self._pods_by_node.get(node, ()):
                addresses = pod.addresses(family)
                for direction in Direction if addresses else ():
                    isolators = self._isolation.of(pod, direction)
                    if isolators:
                        group = self._chain(pod, isolators, family)
                        chains[group.chain.name] = group
                        targets[direction] += (Target(each, group.chain.name, pod.key) for each in addresses)
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
        """Policies that cut off every pod of a protected namespace: reason to stop before any node is touched."""
        return tuple(
            sorted(
                checks.cut_off_namespaces(
                    self._settings.protected_namespaces, self._pods, self._isolation, self._snapshot.network_policies
                )
            )
        )

    @cached_property
    def exposed_services(self) -> tuple[Problem, ...]:
        """NodePort and LoadBalancer Services with externalTrafficPolicy Cluster and isolated backends."""
        return tuple(sorted(checks.exposed_services(self._snapshot.services, self._resolver, self._isolation)))

    @cached_property
    def summary(self) -> Summary:
        pods = [pod for pod in self._pods if pod.ipv4 or pod.ipv6]
        isolated = Counter(direction for pod in pods for direction in Direction if self._isolation.of(pod, direction))
        refused = sum(policy.refused for policy in self._policies)
        return Summary(
            pods=len(pods),
            pods_isolated_ingress=isolated[Direction.INGRESS],
            pods_isolated_egress=isolated[Direction.EGRESS],
            policies_enforced=len(self._policies) - refused,
            policies_refused=refused,
        )

    def _chain(self, pod: LivePod, isolators: Isolators, family: Family) -> GroupChain:
        """The chain of the group that a pod is in: those with the same policies, port numbers and exposure."""
        ingress = isolators.direction is Direction.INGRESS
        ports = isolators.named_ports if ingress else ()
        numbers = tuple(pod.port_numbers(*port) for port in ports)
        always = ingress and pod.key in self._always_reachable
        group = (isolators, family, numbers, always)
        if group not in self._chains:
            named = dict(zip(ports, numbers, strict=True))
            resolve = (lambda protocol, name: named[protocol, name]) if ingress else None
            rules = group_rules(isolators, family, resolve)
            if always:
                rules = with_sources(rules, self._always_allowed, family)
            self._chains[group] = build_chain(isolators, rules, family, self._resolver)
        return self._chains[group]

    @cached_property
    def _always_reachable(self) -> frozenset[str]:
        if not self._always_allowed:
            return frozenset()
        return frozenset(
            pod.key
            for service in self._snapshot.services
            if checks.is_exposed(service)
            for pod in checks.backends_of(service, self._resolver)
        )


def _networks(sources: Iterable[str]) -> tuple[Network, ...]:
    try:
        return tuple(sorted({parse_cidr(source) for source in sources}))
    except ValueError as error:
        raise SettingsError(f"always_allowed_sources: {error}") from error


def _parse_policies(snapshot: Snapshot, namespaces: Container[str]) -> tuple[list[Policy], list[Problem]]:
    policies = []
    problems: list[Problem] = []
    for given in snapshot.network_policies:
        policy, refused = parse_policy(given)
        problems += refused
        if policy.namespace not in namespaces:
            policy = replace(policy, rules=dict.fromkeys(policy.rules, ()), refused=True)
            message = f"its namespace {policy.namespace} is not in the snapshot"
            effect = "isolates what it selects, allows nothing"
            problems.append(Problem("NetworkPolicy", policy.namespace, policy.name, "", message, effect))
        policies.append(policy)
    return policies, problems


def _unknown_namespaces(pods: Iterable[LivePod], namespaces: Container[str]) -> list[Problem]:
    counts = Counter(pod.pod.namespace for pod in pods if pod.pod.namespace not in namespaces)
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


def _mentioned_labels(policies: Iterable[Policy], snapshot: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
    """The labels of pods and of namespaces that peers, or exposed Services, select by."""
    pod_keys = {key for service in snapshot.services if checks.is_exposed(service) for key in service.selector}
    namespace_keys: set[str] = set()
    for policy in policies:
        for rules in policy.rules.values():
            for peer in (peer for rule in rules for peer in rule.peers or ()):
                if isinstance(peer, PodPeer):
                    pod_keys |= peer.pods.keys
                    namespace_keys |= peer.namespaces.keys
    return frozenset(pod_keys), frozenset(namespace_keys)


def _by_address(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=lambda target: target.address))
