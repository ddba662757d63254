# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Refusing what can't be read: the exception, and reading plain JSON shapes strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

_LONGEST_SHOWN = 60


class RefusalError(ValueError):
    """A field that the API would reject, or that we don't know; ``field`` is its path as the API prints it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def mapping(value: object, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RefusalError(field, f"must be an object, not {shown(value)}")
    return value


def known_mapping(value: object, field: str, known: AbstractSet[str]) -> Mapping[str, Any]:
    """A mapping whose every key is known: an unknown field could narrow what the others mean."""
    given = mapping(value, field)
    for key in given:
        if key not in known:
            raise RefusalError(f"{field}.{key}", "unknown field")
    return given


def listed(value: object, field: str) -> Sequence[Any]:
    """A list; null and absent are the empty one (rules 5, 6)."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise RefusalError(field, f"must be a list, not {shown(value)}")
    return value


def text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise RefusalError(field, f"must be a string, not {shown(value)}")
    return value


def shown(value: object) -> str:
    """A value as a message quotes it: whole when short."""
    quoted = repr(value)
    return quoted if len(quoted) <= _LONGEST_SHOWN else f"{quoted[:_LONGEST_SHOWN]}…"
