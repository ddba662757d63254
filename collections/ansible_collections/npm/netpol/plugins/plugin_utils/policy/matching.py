# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding what selectors match without trying every pair of a selector and an object."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from .selectors import Operator, Requirement, Selector

# The place of a label in an index: its key and value, or None for any value.
_Place = tuple[str, str | None]


class LabelIndex:
    """Objects by label, within groups (namespaces): one selector, which objects?

    Objects are numbered in the order given. Only the labels in ``keys`` are indexed; a selector that mentions another
    one raises :class:`KeyError`. Objects with the same labels are one to a selector, in whatever group.
    """

    def __init__(self, objects: Iterable[tuple[str, Mapping[str, str]]], keys: AbstractSet[str]) -> None:
        self._keys = keys
        self._distinct: list[Mapping[str, str]] = []
        self._by_place: defaultdict[_Place, list[int]] = defaultdict(list)
        self._by_group: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        self._matching: dict[Selector, AbstractSet[int]] = {}
        known: dict[frozenset[tuple[str, str]], int] = {}
        for number, (group, given) in enumerate(objects):
            labels = frozenset((key, given[key]) for key in given.keys() & keys)
            which = known.setdefault(labels, len(known))
            self._by_group[group][which].append(number)
            if which == len(self._distinct):
                self._distinct.append(dict(labels))
                for key, value in labels:
                    self._by_place[key, value].append(which)
                    self._by_place[key, None].append(which)

    def select(self, selector: Selector, groups: AbstractSet[str]) -> list[int]:
        """The numbers of the objects of these groups that match, in no particular order."""
        found = [self._by_group[group] for group in groups if group in self._by_group]
        matching = self._matching.get(selector)
        if matching is None:
            candidates = self._candidates(selector)
            # What it matches elsewhere is worth knowing unless that is much more than is asked for.
            everywhere = len(found) != 1 or len(found[0]) >= len(candidates)
            tried = candidates if everywhere else found[0]
            matching = {which for which in tried if selector.matches(self._distinct[which])}
            if everywhere:
                self._matching[selector] = matching
        return [number for each in found for which in each.keys() & matching for number in each[which]]

    def _candidates(self, selector: Selector) -> Collection[int]:
        """The labels that the narrowest requirement leaves."""
        if unknown := selector.keys - self._keys:
            raise KeyError(f"labels that are not indexed: {sorted(unknown)}")
        needed = (_places(requirement) for requirement in selector.requirements if requirement.needs_label)
        narrowest = min(
            needed, key=lambda places: sum(len(self._by_place.get(each, ())) for each in places), default=None
        )
        if narrowest is None:
            return range(len(self._distinct))
        return [which for place in narrowest for which in self._by_place.get(place, ())]


class SelectorIndex:
    """Selectors by one label that each needs: one object, which selectors?"""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self._selectors = selectors
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
        given = frozenset(labels.items())
        if given not in self._known:
            candidates = list(self._anywhere)
            for key, value in given:
                candidates += self._by_place.get((key, value), ())
                candidates += self._by_place.get((key, None), ())
            self._known[given] = tuple(
                sorted(number for number in candidates if self._selectors[number].matches(labels))
            )
        return self._known[given]


def _places(requirement: Requirement) -> list[_Place]:
    if requirement.operator is Operator.EXISTS:
        return [(requirement.key, None)]
    return [(requirement.key, value) for value in requirement.values]
