# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A suite's cluster as data: reading ``suites/*/cluster.yaml`` (``docs/conformance.md`` describes the format)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from lab.cluster import family_of
from lab.spec import Container, Family, LabSpec, Namespace, Node, Pod, Port, Service, ServicePort, Variant

from .flow import FAMILIES

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

DIRECTORY = Path(__file__).parent / "suites"
_CLUSTER = "cluster.yaml"

_PORT = re.compile(r"(?P<port>\d+)/(?P<protocol>TCP|UDP|SCTP|IP)(?: (?P<name>\S+))?")
_SERVICE_PORT = re.compile(
    r"(?P<port>\d+) to (?P<target>\d+)/(?P<protocol>TCP|UDP|SCTP)(?: by node port (?P<node_port>\d+))?"
)


class SuiteError(ValueError):
    """A suite that is not written as it should be; the message names suite, file and case."""


@dataclass(frozen=True, slots=True)
class Suite:
    """``matrix``: what ``*`` and ``rest`` mean, as it is written. ``listen``: what every pod answers on."""

    name: str
    about: str
    spec: LabSpec
    matrix: dict[str, list[str]]
    listen: tuple[Port, ...]

    @property
    def files(self) -> list[Path]:
        """The files of its cases."""
        return sorted(each for each in (DIRECTORY / self.name).glob("*.yaml") if each.name != _CLUSTER)


@cache
def all_suites() -> tuple[Suite, ...]:
    """Raises :class:`SuiteError`."""
    return tuple(_suite(file) for file in sorted(DIRECTORY.glob(f"*/{_CLUSTER}")))


def named(name: str) -> Suite:
    """Raises LookupError when there is none."""
    found = next((each for each in all_suites() if each.name == name), None)
    if found is None:
        raise LookupError(f"no suite {name!r}: there are {', '.join(each.name for each in all_suites())}")
    return found


def load(file: Path) -> Any:
    return yaml.load(file.read_text(), Loader=_Loader)


def _suite(file: Path) -> Suite:
    data = load(file)
    name = file.parent.name
    listen = tuple(_port(name, each) for each in data["listen"])
    spec = LabSpec(
        nodes=tuple(Node(each) for each in data["nodes"]),
        namespaces=tuple(Namespace(key, labels or {}) for key, labels in data["namespaces"].items()),
        pods=tuple(pod(name, key, item, listen) for key, item in data["pods"].items()),
        services=tuple(_service(name, key, item) for key, item in (data.get("services") or {}).items()),
        families=FAMILIES,
    )
    nothing: dict[str, list[str]] = {"sources": [], "targets": [], "ports": []}
    return Suite(name, data["about"], spec, nothing | (data.get("matrix") or {}), listen)


def narrowed(spec: LabSpec, variant: Variant, families: tuple[Family, ...]) -> LabSpec:
    """The same cluster with one iptables variant, and perhaps in one family only."""
    pods = tuple(replace(each, ips=tuple(ip for ip in each.ips if family_of(ip) in families)) for each in spec.pods)
    return replace(spec, pods=pods, variant=variant, families=families)


def pod(suite: str, key: str, item: dict[str, Any], listen: tuple[Port, ...]) -> Pod:
    namespace, _slash, name = key.partition("/")
    fields = dict(item)
    containers = [_container(suite, number, each) for number, each in enumerate(fields.pop("containers", [[]]))]
    containers += [_container(suite, number, each, "sidecar") for number, each in enumerate(fields.pop("sidecars", []))]
    ips = tuple(fields.pop("ips", ()))
    return Pod(namespace, name, containers=tuple(containers), listen=listen, ips=ips, **fields)


def _container(suite: str, number: int, ports: list[str], kind: str = "app") -> Container:
    return Container(f"{kind}-{number}", tuple(_port(suite, each) for each in ports), kind == "sidecar")


def _port(suite: str, text: str) -> Port:
    found = _matched(suite, _PORT, text)
    return Port(int(found["port"]), _protocol(found), found["name"] or "")


def _service(suite: str, key: str, item: dict[str, Any]) -> Service:
    namespace, _slash, name = key.partition("/")
    fields = dict(item)
    found = [_matched(suite, _SERVICE_PORT, each) for each in fields.pop("ports")]
    return Service(namespace, name, fields.pop("selector"), tuple(map(_service_port, found)), **fields)


def _service_port(found: re.Match[str]) -> ServicePort:
    # Named, as the API wants it where a Service has several: kube-proxy tells them apart by name.
    name = f"{found['protocol'].lower()}-{found['port']}"
    node_port = int(found["node_port"] or 0)
    return ServicePort(int(found["port"]), int(found["target"]), _protocol(found), name, node_port)


def _matched(suite: str, pattern: re.Pattern[str], text: str) -> re.Match[str]:
    if not (found := pattern.fullmatch(text)):
        raise SuiteError(f"{suite}: {_CLUSTER}: {text!r} is not understood")
    return found


def _protocol(found: re.Match[str]) -> Any:
    return found["protocol"]
