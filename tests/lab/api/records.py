# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One version of a stored object: its JSON as bytes, and what lists select by, so that no list parses JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .resources import OBJECT_FIELDS, Resource

Object = dict[str, Any]
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Record:
    """``body`` is the object without kind and apiVersion, as items of a list are; it is never empty."""

    key: str
    resource_version: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, resource: Resource, document: Object, resource_version: int) -> Record:
        metadata = document["metadata"] | {"resourceVersion": str(resource_version)}
        head = {"metadata": metadata}
        rest = {name: value for name, value in document.items() if name not in {"kind", "apiVersion", "metadata"}}
        body = _ENCODER.encode(head | rest).encode()
        labels = metadata.get("labels")
        return cls(
            key_of(metadata.get("namespace", ""), metadata["name"]),
            resource_version,
            labels if isinstance(labels, dict) else {},
            {path: _text_at(document, path) for path in OBJECT_FIELDS + resource.fields},
            body,
        )

    def document(self, resource: Resource) -> Object:
        """A fresh copy of the object, with kind and apiVersion."""
        return {"kind": resource.kind, "apiVersion": resource.api_version, **json.loads(self.body)}

    def encoded(self, resource: Resource) -> bytes:
        """The object alone, as an answer or a watch event carries it."""
        return resource.prefix + self.body[1:]

    def item(self, resource: Resource) -> bytes:
        """The object as an item of a list: built-in kinds leave out kind and apiVersion there."""
        return self.encoded(resource) if resource.custom else self.body


def key_of(namespace: str, name: str) -> str:
    return f"{namespace}/{name}" if namespace else name


def _text_at(document: Object, path: str) -> str:
    value: Any = document
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
