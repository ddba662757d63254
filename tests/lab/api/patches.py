# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The three patch formats: JSON merge patch (RFC 7386), JSON patch (RFC 6902), Kubernetes' strategic merge patch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from . import errors

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

# Lists of objects that a strategic merge patch merges, each with the key that tells its entries apart.
# All other lists are replaced. Source: the patchMergeKey tags of the API's types.
_MERGE_KEYS = {
    "": {"ownerReferences": "uid", "conditions": "type"},
    "Node": {"taints": "key", "addresses": "type"},
    "Pod": {
        "containers": "name",
        "initContainers": "name",
        "ephemeralContainers": "name",
        "volumes": "name",
        "env": "name",
        "ports": "containerPort",
        "volumeMounts": "mountPath",
        "imagePullSecrets": "name",
        "hostAliases": "ip",
        "podIPs": "ip",
        "topologySpreadConstraints": "topologyKey",
    },
    "Service": {"ports": "port"},
    "ServiceAccount": {"secrets": "name", "imagePullSecrets": "name"},
}
_MERGED_SCALARS = frozenset({"finalizers", "podCIDRs"})


def apply(content_type: str, document: dict[str, Any], change: Any, *, custom: bool) -> dict[str, Any]:
    """A patched copy of the document. ApiError 415 for a format that isn't known, 400 and 422 for a bad patch."""
    document = copy.deepcopy(document)
    if content_type == JSON_PATCH:
        patched = json_patch(document, change)
    elif content_type == MERGE_PATCH:
        patched = merge(document, _object(change))
    elif content_type == STRATEGIC_PATCH and not custom:
        patched = _StrategicMerge(str(document.get("kind"))).merge(document, _object(change))
    else:
        raise errors.ApiError(415, f"the media type {content_type!r} is not supported for a patch of this resource")
    if not isinstance(patched, dict):
        raise errors.bad_request("the patch leaves no object")
    return patched


def merge(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge(result.get(name), value)
    return result


class _StrategicMerge:
    def __init__(self, kind: str) -> None:
        self._keys = _MERGE_KEYS[""] | _MERGE_KEYS.get(kind, {})

    def merge(self, target: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
        match change.get("$patch", "merge"):
            case "replace":
                return {name: value for name, value in change.items() if name != "$patch"}
            case "delete":
                return {}
            case "merge":
                pass
            case other:
                raise errors.bad_request(f"unknown $patch directive {other!r}")
        result = dict(target)
        if "$retainKeys" in change:
            result = {name: value for name, value in result.items() if name in change["$retainKeys"]}
        for name, value in change.items():
            if name.startswith("$deleteFromPrimitiveList/"):
                field = name.split("/", 1)[1]
                result[field] = [each for each in result.get(field) or [] if each not in value]
            elif not name.startswith("$"):
                self._merge_field(result, name, value)
        for name, order in change.items():
            if name.startswith("$setElementOrder/"):
                self._order(result, name.split("/", 1)[1], order)
        return result

    def _merge_field(self, result: dict[str, Any], name: str, value: Any) -> None:
        current = result.get(name)
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = self.merge(current if isinstance(current, dict) else {}, value)
        elif isinstance(value, list) and name in self._keys and all(isinstance(each, dict) for each in value):
            result[name] = self._merge_list(current if isinstance(current, list) else [], value, self._keys[name])
        elif isinstance(value, list) and name in _MERGED_SCALARS:
            current = current if isinstance(current, list) else []
            result[name] = current + [each for each in value if each not in current]
        else:
            result[name] = value

    def _merge_list(self, current: list[Any], change: list[dict[str, Any]], key: str) -> list[Any]:
        directives = [each.get("$patch") for each in change]
        if "replace" in directives:
            return [each for each in change if "$patch" not in each]
        result = list(current)
        for entry in change:
            if key not in entry:
                raise errors.bad_request(f"an entry of the patch lacks its merge key {key!r}")
            place = next((at for at, each in enumerate(result) if each.get(key) == entry[key]), None)
            if entry.get("$patch") == "delete":
                result = [each for each in result if each.get(key) != entry[key]]
            elif place is None:
                result.append(self.merge({}, entry))
            else:
                result[place] = self.merge(result[place], entry)
        return result

    def _order(self, result: dict[str, Any], name: str, order: list[Any]) -> None:
        key = self._keys.get(name)
        wanted = [each[key] if key and isinstance(each, dict) else each for each in order]

        def rank(entry: Any) -> int:
            value = entry.get(key) if key and isinstance(entry, dict) else entry
            return wanted.index(value) if value in wanted else len(wanted)

        if isinstance(result.get(name), list):
            result[name] = sorted(result[name], key=rank)


def json_patch(document: Any, operations: Any) -> Any:
    if not isinstance(operations, list):
        raise errors.bad_request("a JSON patch is a list of operations")
    for operation in operations:
        try:
            document = _OPERATIONS[operation["op"]](document, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = f"the patch operation {operation!r} can't be applied: {error}"
            raise errors.ApiError(422, message) from error
    return document


def _add(document: Any, operation: dict[str, Any]) -> Any:
    return _insert(document, _pointer(operation["path"]), operation["value"])


def _remove(document: Any, operation: dict[str, Any]) -> Any:
    parent, last = _parent(document, _pointer(operation["path"]))
    del parent[_position(parent, last)]
    return document


def _replace(document: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation["path"])
    if not path:
        return operation["value"]
    parent, last = _parent(document, path)
    place = _position(parent, last)
    parent[place]  # a replaced value has to exist
    parent[place] = operation["value"]
    return document


def _move(document: Any, operation: dict[str, Any]) -> Any:
    value = _value(document, _pointer(operation["from"]))
    return _insert(_remove(document, {"path": operation["from"]}), _pointer(operation["path"]), value)


def _copy(document: Any, operation: dict[str, Any]) -> Any:
    value = copy.deepcopy(_value(document, _pointer(operation["from"])))
    return _insert(document, _pointer(operation["path"]), value)


def _test(document: Any, operation: dict[str, Any]) -> Any:
    if _value(document, _pointer(operation["path"])) != operation["value"]:
        raise ValueError("the tested value differs")
    return document


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise ValueError(f"{path!r} is not a JSON pointer")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _position(parent: Any, step: str) -> Any:
    return int(step) if isinstance(parent, list) else step


def _value(document: Any, path: list[str]) -> Any:
    for step in path:
        document = document[_position(document, step)]
    return document


def _parent(document: Any, path: list[str]) -> tuple[Any, str]:
    if not path:
        raise ValueError("the whole document can't be removed")
    return _value(document, path[:-1]), path[-1]


def _insert(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _parent(document, path)
    if isinstance(parent, list):
        place = len(parent) if last == "-" else int(last)
        if not 0 <= place <= len(parent):
            raise IndexError(f"the list has no place {place}")
        parent.insert(place, value)
    elif isinstance(parent, dict):
        parent[last] = value
    else:
        raise TypeError(f"{last!r} has no parent object")
    return document


def _object(change: Any) -> dict[str, Any]:
    if not isinstance(change, dict):
        raise errors.bad_request("the patch is not an object")
    return change
