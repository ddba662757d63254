# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Label and field selectors of lists and watches, from their text in a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import errors
from .records import Record
from .resources import OBJECT_FIELDS, Resource

_TOKEN = re.compile(r"\s*(?:(?P<word>[A-Za-z0-9_./-]+)|(?P<sign>==|!=|[=!(),<>]))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label (or field): ``operator`` is in, notin, exists, absent, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        if value is None or not re.fullmatch(r"[+-]?\d+", value):
            return False
        bound = int(next(iter(self.values)))
        return int(value) > bound if self.operator == "gt" else int(value) < bound


@dataclass(frozen=True, slots=True)
class Selector:
    """Which records a list or a watch is about."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, record: Record) -> bool:
        return all(each.holds(record.labels) for each in self.labels) and all(
            each.holds(record.fields) for each in self.fields
        )


EVERYTHING = Selector()


def parse(resource: Resource, label_text: str, field_text: str) -> Selector:
    """ApiError 400 when either can't be read or names a field that the resource doesn't select by."""
    return Selector(parse_labels(label_text), parse_fields(resource, field_text))


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1``"""
    tokens = _tokens(text)
    requirements = []
    while tokens:
        requirements.append(_requirement(text, tokens))
        if tokens and tokens.pop(0) != ",":
            raise _unreadable(text)
    return tuple(requirements)


def parse_fields(resource: Resource, text: str) -> tuple[Requirement, ...]:
    """``metadata.name=a,status.phase!=Running``; an absent field is the empty text."""
    requirements = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part)
        if not found:
            raise errors.bad_request(f"the field selector {text!r} can't be read at {part!r}")
        key, operator, value = found.groups()
        if key not in OBJECT_FIELDS + resource.fields:
            raise errors.bad_request(f"field label not supported: {key}")
        requirements.append(Requirement(key, "notin" if operator == "!=" else "in", frozenset({value})))
    return tuple(requirements)


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    stripped = text.rstrip()
    while position < len(stripped):
        found = _TOKEN.match(stripped, position)
        if not found:
            raise _unreadable(text)
        tokens.append(found["word"] or found["sign"])
        position = found.end()
    return tokens


def _requirement(text: str, tokens: list[str]) -> Requirement:
    def take(accept: Callable[[str], object]) -> str:
        if not tokens or not accept(tokens[0]):
            raise _unreadable(text)
        return tokens.pop(0)

    if tokens[0] == "!":
        tokens.pop(0)
        return Requirement(take(_is_word), "absent")
    key = take(_is_word)
    if not tokens or tokens[0] == ",":
        return Requirement(key, "exists")
    operator = tokens.pop(0)
    if operator in {"=", "==", "!="}:
        value = tokens.pop(0) if tokens and _is_word(tokens[0]) else ""
        return Requirement(key, "notin" if operator == "!=" else "in", frozenset({value}))
    if operator in {"<", ">"}:
        value = take(str.isdigit)
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset({value}))
    if operator in {"in", "notin"}:
        take("(".__eq__)
        values = {take(_is_word)}
        while tokens and tokens[0] == ",":
            tokens.pop(0)
            values.add(take(_is_word))
        take(")".__eq__)
        return Requirement(key, operator, frozenset(values))
    raise _unreadable(text)


def _is_word(token: str) -> bool:
    return token not in {"=", "==", "!=", "!", "(", ")", ",", "<", ">"}


def _unreadable(text: str) -> errors.ApiError:
    return errors.bad_request(f"unable to parse the label selector {text!r}")
