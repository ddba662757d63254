# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scripts that run on a node, from the role's templates: one that looks, one that changes."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import jinja2

from .exchange import BEGIN, END
from .plan import IPSET, Plan, Step
from .state import IPV4

# Both of the others include it.
COMMON_TEMPLATE = "node/common.sh.j2"
INSPECT_TEMPLATE = "node/inspect.sh.j2"
APPLY_TEMPLATE = "node/apply.sh.j2"


@dataclass(frozen=True, slots=True)
class Request:
    """What an apply script is told besides its steps. ``state`` is present or absent; ``version`` a resourceVersion.

    ``counts``: how many sets, members and rules of ours the node is to hold in the end.
    """

    state: str
    expected_digest: str
    expected_record: str
    target: str
    cluster: str
    version: int
    snapshot: str
    variant: str
    lock_timeout: int
    counts: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a node in sync remembers to hold, and for which cluster; and the snapshot that asks for it now.

    ``boot_id``: of the machine that is meant; empty where nobody knows.
    """

    target: str
    cluster: str
    version: int
    snapshot: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class _ScriptStep:
    title: str
    file: str
    mark: str
    command: str
    text: str
    undo: str
    drop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Block:
    name: str
    before: tuple[_ScriptStep, ...]
    switch: tuple[_ScriptStep, ...]
    after: tuple[_ScriptStep, ...]
    tidy: tuple[_ScriptStep, ...]

    @property
    def steps(self) -> tuple[_ScriptStep, ...]:
        return (*self.before, *self.switch, *self.after, *self.tidy)


def environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """The environment in which the node's scripts are rendered; ``quote`` makes any text one shell word."""
    result = jinja2.Environment(  # noqa: S701 - shell text, not HTML; what comes from outside passes through quote
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    result.filters["quote"] = shlex.quote
    return result


def prepared(templates: jinja2.Environment) -> jinja2.Environment:
    """The same, with all templates of scripts compiled. What is wrong with one shows when it is rendered."""
    for name in (COMMON_TEMPLATE, INSPECT_TEMPLATE, APPLY_TEMPLATE):
        with contextlib.suppress(jinja2.TemplateError):
            templates.get_template(name)
    return templates


def inspect_script(
    templates: jinja2.Environment, expected: Expected | None, *, confirm: bool = False, always: bool = False
) -> str:
    """The script that tells facts and the digest, and all that the kernel holds of ours where the node isn't in sync.

    ``expected``: None where the node is to hold nothing of ours. ``confirm``: a node in sync is to remember the
    snapshot as its newest. ``always``: the state is wanted in any case.
    """
    return templates.get_template(INSPECT_TEMPLATE).render(
        begin=BEGIN, end=END, expected=expected, confirm=confirm and expected is not None, always=always
    )


def apply_script(templates: jinja2.Environment, request: Request, plans: Iterable[Plan]) -> str:
    """The script that takes the steps of ``plans``, or none: then it only remembers that all is as it should be."""
    blocks = [_block(plan) for plan in plans if plan.steps]
    values = {name: getattr(request, name) for name in Request.__slots__}
    return templates.get_template(APPLY_TEMPLATE).render(begin=BEGIN, end=END, blocks=blocks, **values)


def step_text(plans: Iterable[Plan], title: str) -> str:
    """What the step of this title reads: to show the line that a program complained about."""
    return next((step.text for plan in plans for step in plan.steps if _title(plan, step) == title), "")


def _block(plan: Plan) -> _Block:
    numbered = {id(step): f"{plan.family}.{number}" for number, step in enumerate(plan.steps, 1)}

    def convert(steps: tuple[Step, ...]) -> tuple[_ScriptStep, ...]:
        return tuple(_script_step(plan, step, numbered[id(step)]) for step in steps)

    parts = (convert(steps) for steps in (plan.before, plan.switch, plan.after, plan.tidy))
    return _Block(f"converge_{plan.family}", *parts)


def _script_step(plan: Plan, step: Step, file: str) -> _ScriptStep:
    tool = "iptables" if plan.family == IPV4 else "ip6tables"
    command = "ipset -exist restore" if step.tool == IPSET else f"restore_rules {step.variant} {tool}"
    return _ScriptStep(_title(plan, step), file, "NPM-END-OF-DATA", command, step.text, step.undo, step.drop)


def _title(plan: Plan, step: Step) -> str:
    return f"{'IPv4' if plan.family == IPV4 else 'IPv6'} {step.name}"
