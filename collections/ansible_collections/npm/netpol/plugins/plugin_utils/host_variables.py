# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Variables of which one host's value counts for all, and the hosts that don't agree in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NOT_SET = object()


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Without the values: some are secrets."""

    variable: str
    hosts: tuple[str, str]

    def __str__(self) -> str:
        one, other = self.hosts
        return f"{self.variable} is not the same for {one} and {other}"


def disagreements(
    names: Sequence[str], hosts: Sequence[str], variables_of: Callable[[str], Mapping[str, Any]]
) -> Iterator[Disagreement]:
    """Each of ``names`` once, with the first host and the first that differs from it. Not set is a value too."""
    if not names or not hosts:
        return
    first = variables_of(hosts[0])
    wanted = {name: first.get(name, _NOT_SET) for name in names}
    for host in hosts[1:]:
        variables = variables_of(host)
        for name in [each for each, value in wanted.items() if _differs(value, variables.get(each, _NOT_SET))]:
            yield Disagreement(name, (hosts[0], host))
            del wanted[name]


def _differs(one: Any, other: Any) -> bool:
    # What hosts have from one place is one object, which a vault need not be asked to compare.
    return one is not other and bool(one != other)
