# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding what selectors match without trying every pair of a selector and an object."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from .selectors import Operator, Requirement, Selector

# The place of a label in an index: its key and value, or None for any value.
_Place = tuple[str, str | None]
_Posting = Mapping[str, Sequence[int]]


class LabelIndex:
    """Objects by label, within groups (namespaces): one selector, which objects?

    Objects are numbered in the order given. Only the labels in ``keys`` are indexed; a selector that mentions another
    one raises :class:`KeyError`.
    """

    def __init__(self, objects: Iterable[tuple[str, Mapping[str, str]]], keys: AbstractSet[str]) -> None:
        self._keys = keys
        self._labels: list[Mapping[str, str]] = []
        self._all: defaultdict[str, list[int]] = defaultdict(list)
        self._postings: defaultdict[_Place, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._sizes: Counter[_Place] = Counter()
        for number, (group, labels) in enumerate(objects):
            self._labels.append(labels)
            self._all[group].append(number)
            for key in labels.keys() & keys:
                for place in ((key, labels[key]), (key, None)):
                    self._postings[place][group].append(number)
                    self._sizes[place] += 1

    def select(self, selector: Selector, groups: AbstractSet[str]) -> list[int]:
        """The numbers of the objects of these groups that match, in no particular order."""
        if unknown := selector.keys - self._keys:
            raise KeyError(f"labels that are not indexed: {sorted(unknown)}")
        narrowest = min(
            (requirement for requirement in selector.requirements if requirement.needs_label),
            key=lambda requirement: self._size(requirement, groups),
            default=None,
        )
        postings: list[_Posting] = (
            [self._all]
            if narrowest is None
            else [self._postings[place] for place in _places(narrowest) if place in self._postings]
        )
        others = [requirement for requirement in selector.requirements if requirement is not narrowest]
        return [
            number
            for posting in postings
            for number in _in_groups(posting, groups)
            if all(requirement.matches(self._labels[number]) for requirement in others)
        ]

    def _size(self, requirement: Requirement, groups: AbstractSet[str]) -> int:
        places = _places(requirement)
        if len(groups) > 1:
            return sum(self._sizes[place] for place in places)
        return sum(
            len(self._postings[place].get(group, ())) for place in places if place in self._postings for group in groups
        )


class SelectorIndex:
    """Selectors by one label that each needs: one object, which selectors?"""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self._selectors = selectors
        self._keys = frozenset[str]().union(*(selector.keys for selector in selectors))
        self._anywhere: list[int] = []
        self._by_place: defaultdict[_Place, list[int]] = defaultdict(list)
        self._known: dict[frozenset[tuple[str, str]], tuple[int, ...]] = {}
        # A place that few selectors share leaves few of them to try: a label of the whole team says little.
        crowds = Counter(
            place
            for selector in selectors
            for requirement in selector.requirements
            if requirement.needs_label
            for place in _places(requirement)
        )
        for number, selector in enumerate(selectors):
            places = min(
                (_places(requirement) for requirement in selector.requirements if requirement.needs_label),
                key=lambda each: max(crowds[place] for place in each),
                default=None,
            )
            if places is None:
                self._anywhere.append(number)
            for place in places or ():
                self._by_place[place].append(number)

    def matching(self, labels: Mapping[str, str]) -> tuple[int, ...]:
        """The numbers of the selectors that match, ascending."""
        relevant = frozenset((key, labels[key]) for key in labels.keys() & self._keys)
        if relevant not in self._known:
            candidates = list(self._anywhere)
            for key, value in relevant:
                candidates += self._by_place.get((key, value), ())
                candidates += self._by_place.get((key, None), ())
            self._known[relevant] = tuple(
                sorted(number for number in candidates if self._selectors[number].matches(labels))
            )
        return self._known[relevant]


def _places(requirement: Requirement) -> list[_Place]:
    if requirement.operator is Operator.EXISTS:
        return [(requirement.key, None)]
    return [(requirement.key, value) for value in requirement.values]


def _in_groups(posting: _Posting, groups: AbstractSet[str]) -> Iterable[int]:
    if len(groups) <= len(posting):
        chosen = [posting[group] for group in groups if group in posting]
    else:
        chosen = [numbers for group, numbers in posting.items() if group in groups]
    return (number for numbers in chosen for number in numbers)
