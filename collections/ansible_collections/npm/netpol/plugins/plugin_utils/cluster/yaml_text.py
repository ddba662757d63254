# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading YAML as Kubernetes means it: only what JSON can say, and no key twice."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml
from yaml.constructor import ConstructorError

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML without libyaml: the same, slower
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"


def read_all(text: bytes) -> Iterator[Any]:
    """The documents of a YAML text, as JSON would have them: a date stays a string, a number as a key becomes one.

    Raises :class:`ValueError`, with line and column, for text that is not YAML, for a key that is there twice,
    and for values that JSON does not have.
    """
    try:
        yield from yaml.load_all(text, Loader=_JsonLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class _JsonLoader(_BaseLoader):
    """PyYAML's safe loader without what JSON has no values for: dates, sets, binaries, numbers to the base 60."""


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[str, Any]:
    own_keys: set[str] = set()
    for key_node, _value_node in node.value:
        if key_node.tag == f"{_TAG}merge":
            continue
        key = _key(loader, key_node)
        if key in own_keys:
            raise ConstructorError(
                "reading a map", node.start_mark, f"found the key {key!r} twice", key_node.start_mark
            )
        own_keys.add(key)
    # What is merged (<<) comes first, so that the map's own keys override it.
    loader.flatten_mapping(node)
    return {_key(loader, key): loader.construct_object(value, deep=True) for key, value in node.value}


def _key(loader: Any, node: yaml.Node) -> str:
    """A key as the conversion to JSON spells it."""
    key = loader.construct_object(node, deep=True)
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, str | int):
        return str(key)
    raise ConstructorError("reading a map", node.start_mark, "found a key that is not a string", node.start_mark)


def _float(loader: Any, node: yaml.ScalarNode) -> float:
    value: float = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise ConstructorError(None, None, "found a number that JSON does not have", node.start_mark)
    return value


def _refuse(loader: Any, node: yaml.Node) -> NoReturn:
    raise ConstructorError(None, None, f"found {node.tag}, which JSON does not have", node.start_mark)


_KEPT = ("null", "bool", "int", "str", "seq")
_JsonLoader.yaml_constructors = {
    **{f"{_TAG}{name}": _BaseLoader.yaml_constructors[f"{_TAG}{name}"] for name in _KEPT},
    f"{_TAG}map": _mapping,
    f"{_TAG}float": _float,
    None: _refuse,
}
_RESOLVED = {f"{_TAG}{name}" for name in ("null", "bool", "merge")}
_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _RESOLVED]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}
_JsonLoader.add_implicit_resolver(
    f"{_TAG}int", re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"), list("-+0123456789")
)
_JsonLoader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(r"[-+]?(?:[0-9][0-9_]*)?\.?[0-9]+(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"),
    list("-+.0123456789"),
)
