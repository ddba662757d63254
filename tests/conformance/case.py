# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cases as data: reading ``cases/*.yaml`` (``docs/conformance.md`` describes the format)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lab.spec import Container, Family, LabSpec, Namespace, Node, Pod, Port, Service, ServicePort, Variant

DIRECTORY = Path(__file__).parent / "cases"
CLUSTER = DIRECTORY / "cluster.yaml"
FAMILIES: tuple[Family, ...] = ("ipv4", "ipv6")
# What every pod answers on, named or not.
ANSWERED = (Port(80), Port(81), Port(82), Port(80, "UDP"), Port(81, "UDP"), Port(80, "SCTP"), Port(81, "SCTP"))

_PROBE = re.compile(r"(?P<sources>.+?) -> (?P<targets>.+?) at (?P<services>.+?)(?: over (?P<family>ipv[46]))?")
_SERVICE = re.compile(r"(?P<port>\d+)/(?P<protocol>TCP|UDP|SCTP)(?: (?P<name>\S+))?")
_SERVICE_PORT = re.compile(r"(?P<port>\d+) to (?P<target>\d+)/(?P<protocol>TCP|UDP|SCTP)")
_FIELDS = {"name", "rules", "policies", "labels", "invalid", "allowed", "denied"}


class CaseError(ValueError):
    """A case that is not written as it should be; the message names file and case."""


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """A connection that a case tells about. ``target`` may be a Service: ``service NAMESPACE/NAME``.

    ``protocol`` ICMP has port 0: an echo request.
    """

    source: str
    target: str
    port: int
    protocol: str
    family: Family

    def __str__(self) -> str:
        at = f"{self.port}/{self.protocol}" if self.port else self.protocol
        return f"{self.source} -> {self.target} at {at} over {self.family}"


@dataclass(frozen=True, slots=True)
class Case:
    """``labels``: of a pod (``x/a``) or a namespace (``x``), instead of those in the cluster. ``invalid``: has what
    the API server refuses. ``expected``: whether each flow passes."""

    file: str
    name: str
    rules: tuple[int, ...]
    policies: tuple[Mapping[str, Any], ...]
    labels: Mapping[str, Mapping[str, str]]
    invalid: bool
    expected: Mapping[Flow, bool]

    @property
    def id(self) -> str:
        return f"{self.file}: {self.name}"


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case, by file and in the file's order. Raises :class:`CaseError`."""
    files = sorted(each for each in DIRECTORY.glob("*.yaml") if each != CLUSTER)
    return tuple(_case(file.stem, item) for file in files for item in yaml.safe_load(file.read_text()))


def _case(file: str, item: Mapping[str, Any]) -> Case:
    if unknown := item.keys() - _FIELDS:
        raise CaseError(f"{file}: {item.get('name')}: unknown fields {sorted(unknown)}")
    expected: dict[Flow, bool] = {}
    for verdict in (True, False):
        for text in item.get("allowed" if verdict else "denied") or ():
            for flow in _flows(f"{file}: {item['name']}", text):
                if expected.setdefault(flow, verdict) != verdict:
                    raise CaseError(f"{file}: {item['name']}: {flow} is both allowed and denied")
    if set(expected.values()) != {True, False}:
        raise CaseError(f"{file}: {item['name']}: says nothing unless something is allowed and something denied")
    return Case(
        file=file,
        name=item["name"],
        rules=tuple(item["rules"]),
        policies=tuple(policy(key, spec) for key, spec in item["policies"].items()),
        labels=item.get("labels") or {},
        invalid=item.get("invalid", False),
        expected=expected,
    )


def policy(key: str, spec: Any) -> dict[str, Any]:
    """The NetworkPolicy ``namespace/name`` as the API has it."""
    namespace, _slash, name = key.partition("/")
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _flows(where: str, text: str) -> Iterator[Flow]:
    """``x/a x/b -> y/a at 80/TCP 81/UDP over ipv4``: every source to every target at every port."""
    found = _PROBE.fullmatch(text)
    if not found:
        raise CaseError(f"{where}: {text!r} is not SOURCES -> TARGETS at PORTS")
    targets = re.findall(r"service \S+|\S+", found["targets"])
    families: tuple[Any, ...] = (found["family"],) if found["family"] else FAMILIES
    for source, target, service, family in itertools.product(
        found["sources"].split(), targets, found["services"].split(), families
    ):
        number, _slash, protocol = "0/ICMP".partition("/") if service == "ICMP" else service.partition("/")
        if protocol not in ("TCP", "UDP", "SCTP", "ICMP"):
            raise CaseError(f"{where}: {text!r}: {service} is no port")
        yield Flow(source, target, int(number), protocol, family)


# The cluster


@cache
def cluster(variant: Variant = "nft") -> LabSpec:
    """The cluster of ``cases/cluster.yaml``."""
    data = yaml.safe_load(CLUSTER.read_text())
    return LabSpec(
        nodes=tuple(Node(name) for name in data["nodes"]),
        namespaces=tuple(Namespace(name, labels) for name, labels in data["namespaces"].items()),
        pods=tuple(_pod(key, item) for key, item in data["pods"].items()),
        services=tuple(_service(key, item) for key, item in data["services"].items()),
        families=FAMILIES,
        variant=variant,
    )


def _pod(key: str, item: dict[str, Any]) -> Pod:
    namespace, _slash, name = key.partition("/")
    containers = [_container(number, each, sidecar=False) for number, each in enumerate(item.pop("containers", [[]]))]
    containers += [_container(number, each, sidecar=True) for number, each in enumerate(item.pop("sidecars", []))]
    ips = tuple(item.pop("ips", ()))
    return Pod(namespace, name, containers=tuple(containers), listen=ANSWERED, ips=ips, **item)


def _container(number: int, ports: list[str], *, sidecar: bool) -> Container:
    found = [_matched(_SERVICE, each) for each in ports]
    spelled = tuple(Port(int(each["port"]), _protocol(each["protocol"]), each["name"] or "") for each in found)
    return Container(f"{'sidecar' if sidecar else 'app'}-{number}", spelled, sidecar)


def _service(key: str, item: dict[str, Any]) -> Service:
    namespace, _slash, name = key.partition("/")
    found = [_matched(_SERVICE_PORT, each) for each in item["ports"]]
    ports = tuple(ServicePort(int(each["port"]), int(each["target"]), _protocol(each["protocol"])) for each in found)
    return Service(namespace, name, item["selector"], ports)


def _matched(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    if not (found := pattern.fullmatch(text)):
        raise CaseError(f"{CLUSTER.name}: {text!r} is not understood")
    return found


def _protocol(text: str) -> Any:
    return text
