# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small clusters to compile in tests, and what packets do in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import yaml
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import (
    Chain,
    Direction,
    Family,
    PeerSet,
    Rule,
    Ruleset,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import (
    Cluster,
    NamedPort,
    Namespace,
    NetworkPolicy,
    Pod,
    Service,
    Snapshot,
    make,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings
from conformance import oracle
from conformance.case import Enforcement
from conformance.offline import Enforced

DEFAULTS = Settings()
OUTSIDE = "198.51.100.7"
OUTSIDE_6 = "2001:db8::7"


def pod(key: str, *ips: str, ports: str = "", **fields: object) -> Pod:
    """``pod("shop/web", "10.0.0.1", app="web")``: other keywords are labels, unless Pod has a field of that name.

    ``ports`` is ``"http=8080 dns=53/UDP"``.
    """
    namespace, name = key.split("/")
    given = {"node": "n1", "phase": "Running"}
    own = {field: value for field, value in fields.items() if field in Pod.__dataclass_fields__}
    labels = own.pop("labels", None) or {field: value for field, value in fields.items() if field not in own}
    return Pod(namespace, name, labels, ips=ips, ports=tuple(_named_ports(ports)), **{**given, **own})  # type: ignore[arg-type]


def _named_ports(text: str) -> Iterable[NamedPort]:
    for item in text.split():
        name, _, number = item.partition("=")
        number, _, protocol = number.partition("/")
        yield NamedPort(name, protocol or "TCP", int(number))


def policy(key: str, spec: str, **annotations: str) -> NetworkPolicy:
    """``policy("shop/p", "{podSelector: {}}")``: the spec as YAML."""
    namespace, name = key.split("/")
    return NetworkPolicy(namespace, name, yaml.safe_load(spec), annotations)


@dataclass(frozen=True)
class World:
    """A compiled cluster. Namespaces that objects mention exist, with label ``ns`` = their name, unless ``missing``."""

    objects: tuple[Pod | NetworkPolicy | Service | Namespace, ...]
    settings: Settings = DEFAULTS
    missing: str = ""

    @classmethod
    def of(
        cls,
        *objects: Pod | NetworkPolicy | Service | Namespace,
        settings: Settings = DEFAULTS,
        missing: str = "",
    ) -> World:
        return cls(objects, settings, missing)

    @cached_property
    def snapshot(self) -> Snapshot:
        given = {each.name: each for each in self.objects if isinstance(each, Namespace)}
        mentioned = {each.namespace for each in self.objects if not isinstance(each, Namespace)}
        return make(
            Cluster(),
            namespaces=[
                given.get(name, Namespace(name, {"ns": name})) for name in {*given, *mentioned} - {self.missing}
            ],
            pods=[each for each in self.objects if isinstance(each, Pod)],
            services=[each for each in self.objects if isinstance(each, Service)],
            network_policies=[each for each in self.objects if isinstance(each, NetworkPolicy)],
        )

    @cached_property
    def compiler(self) -> Compiler:
        return Compiler(self.snapshot, self.settings)

    @cached_property
    def enforced(self) -> Enforced:
        return Enforced(self.snapshot, Enforcement(always_allowed_sources=self.settings.always_allowed_sources))

    @cached_property
    def rulesets(self) -> tuple[Ruleset, ...]:
        return compile_all(self.snapshot, self.settings)

    def reaches(self, source: str, destination: str, what: str = "TCP 80") -> bool:
        """Whether a packet passes; ``what`` is ``"UDP 53"`` or ``"ICMP"``. Pods by name, or addresses.

        The oracle is asked too.
        """
        protocol, _, port = what.partition(" ")
        flow = self.address(source), self.address(destination), protocol, int(port or 0)
        passes = self.enforced.passes(*flow)
        if not self.settings.always_allowed_sources:
            assert oracle.between(self.snapshot, *flow).allowed == passes, f"the oracle disagrees on {flow}"
        return passes

    def address(self, name: str) -> str:
        return next((each.ips[0] for each in self.snapshot.pods if each.name == name), name)

    @property
    def fields(self) -> list[str]:
        """Which fields were refused."""
        return [problem.field for problem in self.compiler.problems]

    def chain(self, name: str, direction: Direction, family: Family = Family.IPV4) -> Chain:
        """The chain of a pod."""
        for ruleset in self.rulesets:
            ours = ruleset.family(family)
            targets = ours.ingress if direction is Direction.INGRESS else ours.egress
            for target in targets:
                if target.pod.endswith(f"/{name}"):
                    return next(chain for chain in ours.chains if chain.name == target.chain)
        raise AssertionError(f"{name} is not isolated for {direction}")

    def peers(self, rule: Rule) -> PeerSet | None:
        """The set of a rule."""
        every = (each for ruleset in self.rulesets for family in Family for each in ruleset.family(family).sets)
        return next((each for each in every if each.name == rule.peers), None)


def compile_all(snapshot: Snapshot, settings: Settings = DEFAULTS) -> tuple[Ruleset, ...]:
    compiler = Compiler(snapshot, settings)
    return tuple(compiler.ruleset(node) for node in sorted({each.node for each in snapshot.pods}))
