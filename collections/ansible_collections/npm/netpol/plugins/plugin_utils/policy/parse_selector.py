# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading label selectors: the API's own checks on keys, operators and values (rules 11, 39)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .refusal import RefusalError, known_mapping, listed, mapping, shown, text
from .selectors import EVERYTHING, Operator, Requirement, Selector

_SELECTOR_FIELDS = frozenset({"matchLabels", "matchExpressions"})
_REQUIREMENT_FIELDS = frozenset({"key", "operator", "values"})
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 63
_LONGEST_PREFIX = 253


def parse_selector(value: object, field: str) -> Selector:
    """A selector; null is the empty one, which selects everything (rule 10).

    Raises :class:`RefusalError`: what one unreadable requirement would have kept out can't be known.
    """
    if value is None:
        return EVERYTHING
    given = known_mapping(value, field, _SELECTOR_FIELDS)
    return Selector.of(
        *_match_labels(given.get("matchLabels"), f"{field}.matchLabels"),
        *(
            _requirement(item, f"{field}.matchExpressions[{number}]")
            for number, item in enumerate(listed(given.get("matchExpressions"), f"{field}.matchExpressions"))
        ),
    )


def _match_labels(value: object, field: str) -> Iterator[Requirement]:
    for key, label in mapping({} if value is None else value, field).items():
        yield Requirement(_label_key(key, field), Operator.IN, (_label_value(label, field),))


def _requirement(value: object, field: str) -> Requirement:
    given = known_mapping(value, field, _REQUIREMENT_FIELDS)
    key = _label_key(given.get("key"), f"{field}.key")
    name = text(given.get("operator"), f"{field}.operator")
    if name not in set(Operator):
        raise RefusalError(f"{field}.operator", f"unknown operator {shown(name)}")
    operator = Operator(name)
    values = {_label_value(each, f"{field}.values") for each in listed(given.get("values"), f"{field}.values")}
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        raise RefusalError(f"{field}.values", f"operator {operator} needs values")
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST) and values:
        raise RefusalError(f"{field}.values", f"operator {operator} takes no values")
    return Requirement(key, operator, tuple(sorted(values)))


def _label_key(value: object, field: str) -> str:
    key = text(value, field)
    prefix, slash, name = key.rpartition("/")
    valid_prefix = not slash or (len(prefix) <= _LONGEST_PREFIX and _PREFIX.fullmatch(prefix))
    if not (valid_prefix and len(name) <= _LONGEST_NAME and _NAME.fullmatch(name)):
        raise RefusalError(field, f"{shown(key)} is not a label key")
    return key


def _label_value(value: object, field: str) -> str:
    label = text(value, field)
    if label and not (len(label) <= _LONGEST_NAME and _NAME.fullmatch(label)):
        raise RefusalError(field, f"{shown(label)} is not a label value")
    return label
