# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the server does to an object before it stores it: defaults; validation of names, NetworkPolicies, ConfigMaps.

Own implementation of the API's rules, on purpose apart from the collection's: the two check each other.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from . import errors
from .errors import Cause
from .records import Object
from .resources import Resource

_SUBDOMAIN = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"(?=.{1,63}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_NAME = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"(?=.{0,63}\Z)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_PORT_NAME = re.compile(r"(?=.{1,15}\Z)(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABELS_AS_NAMES = {"Namespace", "Service"}
_PROTOCOLS = {"TCP", "UDP", "SCTP"}
_POLICY_TYPES = {"Ingress", "Egress"}
_CONFIG_MAP_KEY = re.compile(r"(?=.{1,253}\Z)(?!\.\.?\Z)(?!\.\.)[-._a-zA-Z0-9]+")
# Of all values together, as they are: what base64 adds doesn't count.
CONFIG_MAP_BYTES = 1024 * 1024


def set_defaults(resource: Resource, document: Object) -> None:
    """Fill in, in place, what the real server fills in and what others read."""
    if resource.kind == "Namespace":
        metadata = document["metadata"]
        metadata["labels"] = (metadata.get("labels") or {}) | {"kubernetes.io/metadata.name": metadata["name"]}
        document.setdefault("spec", {"finalizers": ["kubernetes"]})
        document.setdefault("status", {"phase": "Active"})
    elif resource.kind == "NetworkPolicy":
        _default_network_policy(document)


def _default_network_policy(document: Object) -> None:
    spec = document.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    if spec.get("podSelector") is None:
        spec["podSelector"] = {}
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    rules = [rule for name in ("ingress", "egress") for rule in spec.get(name) or [] if isinstance(rule, dict)]
    for port in (port for rule in rules for port in rule.get("ports") or [] if isinstance(port, dict)):
        port.setdefault("protocol", "TCP")


def validate(resource: Resource, document: Object) -> None:
    """ApiError 422 that names every field at fault."""
    causes = list(_metadata_causes(resource, document["metadata"]))
    if resource.kind == "NetworkPolicy":
        causes += _network_policy_causes(document.get("spec"))
    elif resource.kind == "ConfigMap":
        causes += _config_map_causes(document)
    if causes:
        raise errors.invalid(resource.group, resource.kind, document["metadata"].get("name", ""), causes)


def _metadata_causes(resource: Resource, metadata: Object) -> Iterator[Cause]:
    pattern = _LABEL if resource.kind in _LABELS_AS_NAMES else _SUBDOMAIN
    name = metadata.get("name", "")
    # The names of RBAC objects are path segments, not DNS names.
    if not resource.group.startswith("rbac.") and not (isinstance(name, str) and pattern.fullmatch(name)):
        yield _wrong("metadata.name", name, "not a DNS name")
    labels = metadata.get("labels") or {}
    if not isinstance(labels, dict):
        yield _wrong("metadata.labels", labels, "not a map")
        return
    for key, value in sorted(labels.items()):
        if not _is_label_key(key):
            yield _wrong("metadata.labels", key, "not a label key")
        if not (isinstance(value, str) and _LABEL_VALUE.fullmatch(value)):
            yield _wrong("metadata.labels", value, "not a label value")


def _is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    return bool(_LABEL_NAME.fullmatch(name)) and (not slash or bool(_SUBDOMAIN.fullmatch(prefix)))


def _config_map_causes(document: Object) -> Iterator[Cause]:
    texts, binaries = _values(document, "data"), _values(document, "binaryData")
    for field, values in (("data", texts), ("binaryData", binaries)):
        for key in sorted(values):
            if not _CONFIG_MAP_KEY.fullmatch(key):
                yield _wrong(f"{field}[{key}]", key, "not a key of a ConfigMap")
    for key in sorted(texts.keys() & binaries.keys()):
        yield _wrong(f"data[{key}]", key, "also a key of binaryData")
    size = sum(len(text.encode()) for text in texts.values()) + sum(map(_decoded_size, binaries.values()))
    if size > CONFIG_MAP_BYTES:
        yield Cause("[]", "FieldValueTooLong", f"Too long: must have at most {CONFIG_MAP_BYTES} bytes")


def _values(document: Object, field: str) -> dict[str, str]:
    """ApiError 400 for what could not be read as a map of texts."""
    values = document.get(field) or {}
    if not isinstance(values, dict) or not all(isinstance(each, str) for each in values.values()):
        raise errors.bad_request(f"ConfigMap.{field} is not a map of strings")
    return values


def _decoded_size(text: str) -> int:
    try:
        return len(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        raise errors.bad_request("ConfigMap.binaryData: illegal base64 data") from error


def _network_policy_causes(spec: Any) -> Iterator[Cause]:
    if not isinstance(spec, dict):
        yield _wrong("spec", spec, "not an object")
        return
    yield from _selector_causes("spec.podSelector", spec.get("podSelector"))
    types = spec.get("policyTypes") or []
    if len(types) > 2:
        yield _wrong("spec.policyTypes", types, "at most two")
    for at, each in enumerate(types):
        if each not in _POLICY_TYPES:
            yield Cause(f"spec.policyTypes[{at}]", "FieldValueNotSupported", f"unsupported value {each!r}")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for at, rule in enumerate(spec.get(direction) or []):
            path = f"spec.{direction}[{at}]"
            if not isinstance(rule, dict):
                yield _wrong(path, rule, "not an object")
                continue
            for number, port in enumerate(rule.get("ports") or []):
                yield from _port_causes(f"{path}.ports[{number}]", port)
            for number, peer in enumerate(rule.get(peers) or []):
                yield from _peer_causes(f"{path}.{peers}[{number}]", peer)


def _port_causes(path: str, item: Any) -> Iterator[Cause]:
    if not isinstance(item, dict):
        yield _wrong(path, item, "not an object")
        return
    if item.get("protocol") not in _PROTOCOLS:
        yield Cause(f"{path}.protocol", "FieldValueNotSupported", f"unsupported value {item.get('protocol')!r}")
    port, end = item.get("port"), item.get("endPort")
    if isinstance(port, str):
        if not _PORT_NAME.fullmatch(port):
            yield _wrong(f"{path}.port", port, "not a port name")
    elif port is not None and not _is_port(port):
        yield _wrong(f"{path}.port", port, "not between 1 and 65535")
    if end is not None:
        if not _is_port(port):
            yield _wrong(f"{path}.endPort", end, "only together with a numeric port")
        elif not _is_port(end) or end < port:
            yield _wrong(f"{path}.endPort", end, "not between port and 65535")


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535


def _peer_causes(path: str, peer: Any) -> Iterator[Cause]:
    if not isinstance(peer, dict):
        yield _wrong(path, peer, "not an object")
        return
    given = [name for name in ("ipBlock", "namespaceSelector", "podSelector") if peer.get(name) is not None]
    if not given:
        yield Cause(path, "FieldValueRequired", "a peer needs ipBlock, podSelector or namespaceSelector")
    if "ipBlock" in given:
        if len(given) > 1:
            yield Cause(path, "FieldValueForbidden", "ipBlock excludes selectors")
        yield from _ip_block_causes(f"{path}.ipBlock", peer["ipBlock"])
    for name in ("podSelector", "namespaceSelector"):
        yield from _selector_causes(f"{path}.{name}", peer.get(name))


def _ip_block_causes(path: str, block: Any) -> Iterator[Cause]:
    network = _network(block.get("cidr") if isinstance(block, dict) else None)
    if network is None:
        yield _wrong(f"{path}.cidr", block, "not a CIDR")
        return
    for at, text in enumerate(block.get("except") or []):
        hole = _network(text)
        if hole is None:
            yield _wrong(f"{path}.except[{at}]", text, "not a CIDR")
        elif hole.version != network.version or hole == network or not _within(hole, network):
            yield _wrong(f"{path}.except[{at}]", text, f"not a strict part of {network}")


def _network(text: Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not (isinstance(text, str) and re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", text)):
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(inner: Any, outer: Any) -> bool:
    return bool(inner.subnet_of(outer))


def _selector_causes(path: str, selector: Any) -> Iterator[Cause]:
    if selector is None:
        return
    if not isinstance(selector, dict):
        yield _wrong(path, selector, "not an object")
        return
    for key, value in sorted((selector.get("matchLabels") or {}).items()):
        if not _is_label_key(key):
            yield _wrong(f"{path}.matchLabels", key, "not a label key")
        if not (isinstance(value, str) and _LABEL_VALUE.fullmatch(value)):
            yield _wrong(f"{path}.matchLabels", value, "not a label value")
    for at, expression in enumerate(selector.get("matchExpressions") or []):
        yield from _expression_causes(f"{path}.matchExpressions[{at}]", expression)


def _expression_causes(path: str, expression: Any) -> Iterator[Cause]:
    if not isinstance(expression, dict):
        yield _wrong(path, expression, "not an object")
        return
    operator, values = expression.get("operator"), expression.get("values") or []
    if operator in {"In", "NotIn"}:
        if not values:
            yield Cause(f"{path}.values", "FieldValueRequired", f"{operator} needs values")
    elif operator in {"Exists", "DoesNotExist"}:
        if values:
            yield Cause(f"{path}.values", "FieldValueForbidden", f"{operator} takes no values")
    else:
        yield _wrong(f"{path}.operator", operator, "not an operator")
    if not _is_label_key(str(expression.get("key", ""))):
        yield _wrong(f"{path}.key", expression.get("key"), "not a label key")


def _wrong(path: str, value: Any, why: str) -> Cause:
    return Cause(path, "FieldValueInvalid", f"{value!r} is {why}" if why.startswith("not") else f"{value!r}: {why}")
