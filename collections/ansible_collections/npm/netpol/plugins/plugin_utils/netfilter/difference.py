# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a node: the difference between what its kernel holds of ours and what it is to hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.names import TWIN_SUFFIXES
from .hook import HookChange, hook_change
from .state import IPV4, VARIANTS, Kernel, Rule, Set, Table, Target, base_name


@dataclass(frozen=True, slots=True)
class SetChange:
    """A set that is to be made (``live`` is None), changed, or removed (``wanted`` is None)."""

    base: str
    live: Set | None
    wanted: Set | None

    @property
    def added(self) -> frozenset[str]:
        wanted = self.wanted.members if self.wanted else frozenset()
        return wanted - self.live.members if self.live else wanted

    @property
    def removed(self) -> frozenset[str]:
        live = self.live.members if self.live else frozenset()
        return live - self.wanted.members if self.wanted else live

    @property
    def of_wrong_type(self) -> bool:
        """Only tampering makes one: kind and family are part of what a name stands for."""
        return bool(self.live and self.wanted) and _type(self.live) != _type(self.wanted)

    @property
    def is_too_small(self) -> bool:
        """Room for fewer members than it should have; more is none of our concern."""
        return bool(self.live and self.wanted and self.live.maxelem < self.wanted.maxelem)

    @property
    def overflows(self) -> bool:
        """Whether it has no room for old and new members together, as it would need to be changed in place."""
        return self.is_too_small or bool(self.live and len(self.live.members) + len(self.added) > self.live.maxelem)


@dataclass(frozen=True, slots=True)
class ChainChange:
    """A chain whose rules are to change; None stands for a chain that is not there."""

    name: str
    before: tuple[Rule, ...] | None
    after: tuple[Rule, ...] | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One family of a node. Empty (falsy) when the kernel holds just what it is to hold.

    ``live`` has the kernel name of each wanted set that the rules in force use. ``leftovers`` are kernel
    sets that no rule in force uses. ``stale`` is what the other variant still holds of ours.
    """

    family: str
    variant: str
    table: Table
    target: Target
    live: Mapping[str, str]
    sets: tuple[SetChange, ...]
    chains: tuple[ChainChange, ...]
    hook: HookChange
    leftovers: tuple[str, ...]
    stale: Mapping[str, Table]

    def __bool__(self) -> bool:
        return bool(self.sets or self.chains or self.hook or self.leftovers or self.stale)


def difference(kernel: Kernel, target: Target, *, family: str, variant: str) -> Difference:
    """Compare one family of ``kernel`` with ``target``, which the rules of ``variant`` are to enforce."""
    table = kernel.table(variant, family)
    sets = {name: each for name, each in kernel.sets.items() if _is_of_family(each, family)}
    live = _live_names(sets, target, table)
    set_changes = [
        change
        for base, wanted in sorted(target.sets.items())
        if _differs(change := SetChange(base, sets[live[base]] if base in live else None, wanted))
    ]
    set_changes += [SetChange(base, sets[name], None) for base, name in sorted(live.items()) if base not in target.sets]
    chains = [
        ChainChange(name, table.chains.get(name), target.chains.get(name))
        for name in sorted({*table.chains, *target.chains})
        if _texts(table.chains.get(name)) != _texts(target.chains.get(name))
    ]
    return Difference(
        family=family,
        variant=variant,
        table=table,
        target=target,
        live={base: name for base, name in live.items() if base in target.sets},
        sets=tuple(set_changes),
        chains=tuple(chains),
        hook=hook_change(table.forward, target),
        leftovers=tuple(sorted(set(sets) - set(live.values()))),
        stale={
            other: stale
            for other in VARIANTS
            if other != variant and ((stale := kernel.table(other, family)).chains or _jumps_to_ours(stale))
        },
    )


def _is_of_family(each: Set, family: str) -> bool:
    """A set's family is in its name (``npm-4-…``): tampering can give it members of another one."""
    return each.name.startswith("npm-4-") == (family == IPV4)


def _live_names(sets: Mapping[str, Set], target: Target, table: Table) -> dict[str, str]:
    """The kernel name of each set: the twin that rules refer to (the first one, where tampering made it several).

    One that no rule refers to counts only if it is just as wanted. Any other could hold what must not be seen at
    the moment when rules are switched to it.
    """
    referenced = table.references()
    live: dict[str, str] = {}
    for name in sorted(sets, key=lambda name: (name not in referenced, name)):
        base = base_name(name)
        as_wanted = base in target.sets and not _differs(SetChange(base, sets[name], target.sets[base]))
        if name.endswith(TWIN_SUFFIXES) and (name in referenced or as_wanted):
            live.setdefault(base, name)
    return live


def _differs(change: SetChange) -> bool:
    return bool(change.live is None or change.of_wrong_type or change.is_too_small or change.added or change.removed)


def _type(each: Set | None) -> tuple[str, str]:
    return (each.kind, each.family) if each else ("", "")


def _texts(rules: tuple[Rule, ...] | None) -> list[str] | None:
    return None if rules is None else [rule.text for rule in rules]


def _jumps_to_ours(table: Table) -> bool:
    return bool(hook_change(table.forward, Target()))
