# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A difference in words: what a person reads in ``--diff`` and what a result names as drift."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from ..model.names import EGRESS_CHAIN, INGRESS_CHAIN, is_of_dispatch
from .difference import ChainChange, Difference, SetChange
from .dispatch import chains_by_address, networks_by_part
from .names_in_a_line import MORE, listed
from .state import IPV4, Rule, base_name

LONGEST_LIST = 100

_BASES = (EGRESS_CHAIN, INGRESS_CHAIN)
_FAMILY_NAMES = {IPV4: "IPv4"}


def summary(change: Difference) -> list[str]:
    """One line for each thing that differs, without the members."""
    return [f"{_family(change)}: {line}" for line in _headlines(change)]


def details(change: Difference, limit: int) -> str:
    """A readable diff of at most about ``limit`` lines; what is left out is counted."""
    lines = list(_detail_lines(change))
    if len(lines) > limit:
        lines = [*lines[:limit], f"  … and {len(lines) - limit} more lines"]
    return "".join(f"{line}\n" for line in [_family(change), *lines]) if lines else ""


def drift(change: Difference) -> list[str]:
    """Of :func:`summary`, what somebody else must have done, whatever is to be enforced."""
    return [f"{_family(change)}: {line}" for line in (*change.hook.reasons, *_stale_lines(change))]


def capped(lines: list[str]) -> list[str]:
    """At most :data:`LONGEST_LIST` lines and a count of the rest: job runners store results."""
    if len(lines) <= LONGEST_LIST:
        return lines
    return [*lines[:LONGEST_LIST], f"… and {len(lines) - LONGEST_LIST} more"]


def _family(change: Difference) -> str:
    return _FAMILY_NAMES.get(change.family, "IPv6")


def _headlines(change: Difference) -> Iterator[str]:
    yield from change.hook.reasons
    networks = _networks(change)
    for chain in change.chains:
        yield _chain_headline(chain, networks)
    rules = _rules_by_set(change)
    for each in change.sets:
        yield _set_headline(each, rules)
    for name in change.leftovers:
        yield f"set {name} is left over"
    yield from _stale_lines(change)


def _stale_lines(change: Difference) -> Iterator[str]:
    for variant, table in change.stale.items():
        yield f"{variant} still holds {_counted(len(table.chains), 'chain')} of ours"


def _detail_lines(change: Difference) -> Iterator[str]:
    for reason in change.hook.reasons:
        yield f"  {reason}"
    networks = _networks(change)
    for base in _BASES:
        changes = [chain for chain in change.chains if is_of_dispatch(chain.name, base)]
        yield from (f"  {_chain_headline(chain, networks)}" for chain in changes)
        yield from _pod_lines(base, change) if changes else ()
    for chain in change.chains:
        if not _is_of_any_dispatch(chain.name):
            yield f"  {_chain_headline(chain, networks)}"
            yield from _rule_lines(chain)
    rules = _rules_by_set(change)
    for each in change.sets:
        yield f"  {_set_headline(each, rules)}"
        yield from (f"    + {member}" for member in sorted(each.added))
        yield from (f"    - {member}" for member in sorted(each.removed))
    for name in change.leftovers:
        yield f"  set {name} is left over and goes"
    yield from (f"  {line}: they go" for line in _stale_lines(change))


def _chain_headline(chain: ChainChange, networks: Mapping[str, str]) -> str:
    """``networks``: those of the parts of the dispatch."""
    if _is_of_any_dispatch(chain.name):
        about = f"pods in {networks[chain.name]}" if chain.name in networks else ""
    else:
        about = _policies((*(chain.before or ()), *(chain.after or ())))
    named = f"chain {chain.name}" + (f" ({about})" if about else "")
    if chain.before is None:
        return f"{named} is missing"
    if chain.after is None:
        return f"{named} is to go"
    before, after = ({rule.text for rule in rules} for rules in (chain.before, chain.after))
    missing, extra = len(after - before), len(before - after)
    if not (missing or extra):
        return f"{named}: rules repeated or out of order"
    return f"{named}: {_difference(missing, extra, 'rule')}"


def _networks(change: Difference) -> dict[str, str]:
    """Of the parts that are there, and of those that are to be there."""
    return {
        part: network
        for chains in (change.table.chains, change.target.chains)
        for base in _BASES
        for part, network in networks_by_part(base, chains).items()
    }


def _is_of_any_dispatch(chain: str) -> bool:
    return any(is_of_dispatch(chain, base) for base in _BASES)


def _pod_lines(base: str, change: Difference) -> Iterator[str]:
    before, after = (_pods(base, chains) for chains in (change.table.chains, change.target.chains))
    for pod in sorted(before.keys() | after.keys()):
        if before.get(pod) != after.get(pod):
            yield f"    {pod}: {before.get(pod, 'not isolated')} -> {after.get(pod, 'not isolated')}"


def _rule_lines(chain: ChainChange) -> Iterator[str]:
    before_texts, after_texts = ([rule.text for rule in rules or ()] for rules in (chain.before, chain.after))
    yield from (f"    - {text}" for text in before_texts if text not in set(after_texts))
    yield from (f"    + {text}" for text in after_texts if text not in set(before_texts))


def _pods(base: str, chains: Mapping[str, Iterable[Rule]]) -> dict[str, str]:
    """``shop/web-1 10.0.0.7`` to the chain that judges it."""
    named: dict[str, str] = {}
    for name in sorted(chains):
        for rule in chains[name]:
            for address, target in chains_by_address(base, {name: (rule,)}).items():
                named.setdefault(f"{rule.comment} {address}".strip(), target)
    return named


def _set_headline(each: SetChange, rules_by_set: Mapping[str, Iterable[Rule]]) -> str:
    policies = _policies(rules_by_set.get(each.base, ()))
    named = f"set {each.base}" + (f" ({policies})" if policies else "")
    if each.live is None:
        return f"{named} is missing ({_counted(len(each.added), 'member')})"
    if each.wanted is None:
        return f"{named} is to go"
    if each.of_wrong_type:
        return f"{named} is of type {each.live.kind}, not {each.wanted.kind}"
    if each.is_too_small and not (each.added or each.removed):
        return f"{named} has room for {each.live.maxelem} members, not {each.wanted.maxelem}"
    return f"{named}: {_difference(len(each.added), len(each.removed), 'member')}"


def _difference(missing: int, extra: int, thing: str) -> str:
    """``2 rules missing, 1 rule too many``; what there is none of is not told."""
    parts = [(missing, "missing"), (extra, "too many")]
    return ", ".join(f"{_counted(count, thing)} {word}" for count, word in parts if count)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _rules_by_set(change: Difference) -> Mapping[str, list[Rule]]:
    """Base name of each set to its rules, before and after."""
    found: defaultdict[str, list[Rule]] = defaultdict(list)
    for chains in (change.target.chains, change.table.chains):
        for rule in (rule for rules in chains.values() for rule in rules):
            for name in rule.sets:
                found[base_name(name)].append(rule)
    return found


def _policies(rules: Iterable[Rule]) -> str:
    """Those that the comments of the rules name, as many as fit into a line, and how many more there are (at least)."""
    known: set[str] = set()
    count = 0
    for rule in rules:
        *names, last = rule.comment.split(", ")
        if more := MORE.fullmatch(last):
            count = max(count, len(names) + int(more[1]))
        else:
            names.append(last)
        known.update(name for name in names if name)
    return listed(sorted(known), max(count, len(known)))
