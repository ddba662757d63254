# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo's manifests, and the lab that they describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.spec import Container, Family, LabSpec, Node, Pod, Port, Service, ServicePort, Variant

ROOT = Path(__file__).resolve().parents[3]
MANIFESTS = ROOT / "inventories" / "demo" / "manifests"

Manifest = dict[str, Any]
_AZURE_BALANCER = "service.beta.kubernetes.io/azure-load-balancer"


def manifests(part: str) -> list[Manifest]:
    """The objects of ``manifests/<part>``, by file name."""
    return list(_documents(MANIFESTS / part))


def _documents(directory: Path) -> Iterator[Manifest]:
    for file in sorted(directory.glob("*.yml")):
        yield from yaml.safe_load_all(file.read_text())


def policy(name: str) -> Manifest:
    """The NetworkPolicy of that name. Raises KeyError when no manifest has it."""
    return {each["metadata"]["name"]: each for each in manifests("policies")}[name]


def lab_spec(variant: Variant = "nft", families: tuple[Family, ...] = ("ipv4", "ipv6")) -> LabSpec:
    """The lab of ``manifests/apps``: its nodes are those that pods name."""
    apps = manifests("apps")
    pods = tuple(_pod(each) for each in apps if each["kind"] == "Pod")
    return LabSpec(
        nodes=tuple(Node(name) for name in sorted({pod.node for pod in pods})),
        pods=pods,
        services=tuple(_service(each, families) for each in apps if each["kind"] == "Service"),
        families=families,
        variant=variant,
    )


def _pod(manifest: Manifest) -> Pod:
    metadata, spec = manifest["metadata"], manifest["spec"]
    return Pod(
        metadata["namespace"],
        metadata["name"],
        spec["nodeName"],
        metadata["labels"],
        tuple(Container(each["name"], tuple(_ports(each))) for each in spec["containers"]),
    )


def _ports(container: Manifest) -> Iterator[Port]:
    for each in container.get("ports", []):
        yield Port(each["containerPort"], each.get("protocol", "TCP"), each.get("name", ""))


def _service(manifest: Manifest, families: tuple[Family, ...]) -> Service:
    metadata, spec = manifest["metadata"], manifest["spec"]
    annotations = metadata.get("annotations", {})
    asked = [annotations.get(f"{_AZURE_BALANCER}-{family}") for family in families]
    return Service(
        metadata["namespace"],
        metadata["name"],
        spec["selector"],
        tuple(ServicePort(each["port"], each["targetPort"]) for each in spec["ports"]),
        type=spec["type"],
        external_traffic_policy=spec.get("externalTrafficPolicy", "Cluster"),
        load_balancer_ips=tuple(ip for ip in asked if ip),
    )
