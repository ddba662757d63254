# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Label selectors and what they mean (rule 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Operator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, order=True)
class Requirement:
    """One condition on one label; ``values`` are sorted, without duplicates, and empty for (DoesNot)Exist(s)."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case Operator.IN:
                return value is not None and value in self.values
            case Operator.NOT_IN:
                return value is None or value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None

    @property
    def needs_label(self) -> bool:
        """Whether only objects that carry the label can match, so that an index by label can find them."""
        return self.operator in (Operator.IN, Operator.EXISTS)


@dataclass(frozen=True, slots=True, order=True)
class Selector:
    """All requirements hold; none at all selects everything. Sorted, so that equal meanings compare equal."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, *requirements: Requirement) -> Selector:
        return cls(tuple(sorted(set(requirements))))

    @classmethod
    def equal(cls, labels: Mapping[str, str]) -> Selector:
        """Each label present with exactly this value: ``matchLabels``, or the selector of a Service."""
        return cls.of(*(Requirement(key, Operator.IN, (value,)) for key, value in labels.items()))

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(requirement.key for requirement in self.requirements)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)


EVERYTHING = Selector()
