# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that take one family of a node from what it holds to what it is to hold.

The order is exact: a connection that both the old and the new state allow never fails, and one that both
deny never passes, whichever point of the steps it meets.

* A set of which only members change first grows to old and new members, then shrinks to the new ones: for
  each rule every state between is the old or the new one.
* Where the rules around a set change too, that is not enough (an old rule would see new members), so the
  set is built whole under another twin's name, and one iptables-restore switches rules and sets together.
  So is a set without room for old and new members: `ipset swap` would do as well, but the kernel refuses it
  as long as anybody lists the set.
* What nothing refers to any more goes last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN, TWIN_SUFFIXES
from .difference import Difference
from .dispatch import chains_by_address
from .hook import hook_change
from .ipset_text import create_line, maxelem_for
from .iptables_text import with_set_names
from .locality import sets_in_step
from .state import Kernel, Rule, Set, Table, Target

IPSET = "ipset"
IPTABLES = "iptables"


class PlanError(Exception):
    """The node holds something (by tampering) that leaves no way to the wanted state without a gap."""


@dataclass(frozen=True, slots=True)
class Step:
    """One program started on the node, with what it reads from standard input.

    ``undo`` is text for ``ipset restore`` and ``drop`` names sets: what takes this step back as long as
    no later step has run.
    """

    name: str
    tool: str
    variant: str
    text: str
    undo: str = ""
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one family: ``before`` can be taken back, ``switch`` is atomic, ``after`` shuts what is to be shut.

    ``tidy`` destroys sets that nothing of ours uses any more; one that somebody else uses is no failure.
    """

    family: str
    before: tuple[Step, ...] = ()
    switch: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    tidy: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.before, *self.switch, *self.after, *self.tidy)


def plan(change: Difference, kernel: Kernel) -> Plan:
    """The steps for one family; none when ``change`` is empty."""
    if not change:
        return Plan(change.family)
    free = _FreeNames(kernel)
    rebuilt = _rebuilt(change)
    names = dict(change.live)
    for each in change.sets:
        if each.base in rebuilt:
            names[each.base] = free.take(each.base)
    before = _grow(change, names, free)
    return Plan(
        change.family,
        before=(before,) if before.text else (),
        switch=_switch(change, names),
        after=_after(change, names),
        tidy=_tidy(change, names, free),
    )


class _FreeNames:
    """Hands out names of twins that no rule of either variant refers to."""

    def __init__(self, kernel: Kernel) -> None:
        self._taken = {name for table in kernel.tables.values() for name in table.references()}
        self._present = kernel.sets.keys()
        # Left over from a run that ended early, and given out again: to be destroyed first.
        self.cleared: list[str] = []

    def take(self, base: str) -> str:
        free = [base + suffix for suffix in TWIN_SUFFIXES if base + suffix not in self._taken]
        if not free:
            raise PlanError(f"all twins of the set {base} are in use by rules")
        name = min(free, key=lambda name: name in self._present)
        if name in self._present:
            self.cleared.append(name)
        self._taken.add(name)
        return name


def _rebuilt(change: Difference) -> frozenset[str]:
    """The sets that are built whole under another name: they have no room, or their rules change with them."""
    affected = _affected_chains(change)
    bases = {name: base for base, name in change.live.items()}
    used = {
        bases.get(name, name)
        for chains in (change.table.chains, change.target.chains)
        for chain in affected
        for rule in chains.get(chain, ())
        for name in rule.sets
    }
    together = sets_in_step(change, affected)
    return frozenset(
        each.base
        for each in change.sets
        if each.wanted
        and (each.live is None or each.of_wrong_type or each.overflows or each.base in used or each.base in together)
    )


def _affected_chains(change: Difference) -> frozenset[str]:
    """Chains whose rules change, and chains that a pod is sent to only before or only after the change."""
    affected = {each.name for each in change.chains}
    for name in (INGRESS_CHAIN, EGRESS_CHAIN):
        before = chains_by_address(name, change.table.chains)
        after = chains_by_address(name, change.target.chains)
        for address in before.keys() | after.keys():
            if before.get(address) != after.get(address):
                affected |= {before.get(address, ""), after.get(address, "")}
    return frozenset(affected)


def _grow(change: Difference, names: Mapping[str, str], free: _FreeNames) -> Step:
    lines: list[str] = []
    undo: list[str] = []
    made: list[str] = []
    for each in change.sets:
        if each.wanted is None:
            continue
        name = names[each.base]
        if each.live is None or name != each.live.name:
            made.append(name)
            lines += _build(name, each.wanted, each.live)
        else:
            lines += [f"add {name} {member}" for member in sorted(each.added)]
            undo += [f"del {name} {member}" for member in sorted(each.added)]
    lines = [*(f"destroy {name}" for name in free.cleared), *lines]
    return Step("sets: build and grow", IPSET, "", _text(lines), _text(undo), tuple(made))


def _build(name: str, wanted: Set, live: Set | None) -> list[str]:
    maxelem = max(wanted.maxelem, maxelem_for(len(wanted.members)), live.maxelem if live else 0)
    return [create_line(name, wanted, maxelem), *(f"add {name} {member}" for member in sorted(wanted.members))]


def _switch(change: Difference, names: Mapping[str, str]) -> tuple[Step, ...]:
    declared = {
        name: rules
        for name, rules in sorted(change.target.chains.items())
        if not _stands(change.table.chains.get(name), rules, names)
    }
    gone = sorted(set(change.table.chains) - set(change.target.chains))
    if not (declared or gone or change.hook):
        return ()
    lines = ["*filter", *(f":{name} - [0:0]" for name in (*declared, *gone))]
    lines += [f"-A {name} {with_set_names(rule, names)}" for name, rules in declared.items() for rule in rules]
    lines += [*change.hook.lines, *(f"-X {name}" for name in gone), "COMMIT"]
    return (Step("rules: switch", IPTABLES, change.variant, _text(lines)),)


def _stands(found: tuple[Rule, ...] | None, wanted: tuple[Rule, ...], names: Mapping[str, str]) -> bool:
    """Whether a chain needs no writing: the same rules, and each set still the twin that it is to be."""
    return found is not None and [(rule.text, rule.sets) for rule in found] == [
        (rule.text, tuple(names[base] for base in rule.sets)) for rule in wanted
    ]


def _after(change: Difference, names: Mapping[str, str]) -> tuple[Step, ...]:
    steps = [
        Step(f"rules: remove what {variant} still holds", IPTABLES, variant, _removal(table))
        for variant, table in change.stale.items()
    ]
    lines = [
        f"del {each.live.name} {member}"
        for each in change.sets
        if each.wanted and each.live and names[each.base] == each.live.name
        for member in sorted(each.removed)
    ]
    if lines:
        steps.append(Step("sets: shrink", IPSET, "", _text(lines)))
    return tuple(steps)


def _tidy(change: Difference, names: Mapping[str, str], free: _FreeNames) -> tuple[Step, ...]:
    replaced = {each.live.name for each in change.sets if each.live and names.get(each.base) != each.live.name}
    lines = [f"destroy {name}" for name in sorted((replaced | set(change.leftovers)) - set(free.cleared))]
    return (Step("sets: tidy up", IPSET, "", _text(lines)),) if lines else ()


def _removal(table: Table) -> str:
    names = sorted(table.chains)
    jumps = hook_change(table.forward, Target()).lines
    return _text(
        ["*filter", *(f":{name} - [0:0]" for name in names), *jumps, *(f"-X {name}" for name in names), "COMMIT"]
    )


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
