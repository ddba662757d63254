# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bringing one node to what it is to hold, mostly in one exchange, or in two: look, apply.

The caller gives the means to run a script on the node; nothing here knows how it gets there.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import jinja2

from ..model.names import ACCEPT_CHAIN
from .describe import capped, details, drift, summary
from .difference import Difference, difference
from .exchange import Reply, ReplyError, frame, parse_reply
from .hook import FIRST
from .ipset_text import IpsetTextError, parse_sets
from .iptables_text import IptablesTextError, parse_rule, parse_table
from .node import (
    Counts,
    Facts,
    NodeError,
    choose_variant,
    parse_kernel,
    read_counts,
    read_facts,
    refuse_errors,
    refuse_incompatible,
    refuse_older,
    refuse_unless_enforceable,
    removal_warnings,
    written_out,
)
from .plan import PlanError, plan
from .render import Rendered
from .script import Expected, Request, apply_script, inspect_script, step_text
from .state import FAMILIES, IPV4, IPV6, Kernel, Target

# Sends the framed bytes to the node's receiver; gives back what it wrote to standard output.
Exchange = Callable[[bytes], str]

# How often a node whose state moves between reading and applying is read again.
_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Options:
    """How to enforce: see the options of the module of the same names."""

    variant: str = "auto"
    hook: str = FIRST
    accept: bool = False
    datapath_check: bool = True
    allow_older: bool = False
    allow_other_cluster: bool = False
    lock_timeout: int = 60
    diff: bool = True
    diff_limit: int = 200
    check_mode: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a node is to hold, as rendered text, and which snapshot it comes from.

    ``id`` names the three texts (a SHA-256); the texts are asked for only when the node has to be compared.
    ``boot_id`` is that of the machine for which they are meant (``status.nodeInfo.bootID``), empty where nobody knows.
    """

    id: str
    cluster: str
    version: int
    snapshot: str
    texts: Callable[[], Rendered]
    boot_id: str = ""


@dataclass(slots=True)
class Result:
    """What was found and done. ``drift`` names what differed although nothing new was to be enforced."""

    changed: bool = False
    in_sync: bool = False
    variant: str = ""
    drift: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    diff: str = ""
    counts: Counts = field(default_factory=Counts)
    warnings: list[str] = field(default_factory=list)
    exchanges: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    durations: dict[str, float] = field(default_factory=dict)


class NotConvergedError(Exception):
    """The node is not as wanted: the message says why, ``result`` what was found and done until then."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


def converge(exchange: Exchange, templates: jinja2.Environment, wanted: Wanted | None, options: Options) -> Result:
    """Bring the node to ``wanted``, or remove all that is ours when it is None.

    Raises :class:`NotConvergedError` when the node refuses, is refused, or a step fails; what was in force
    then stays in force.
    """
    run = _Run(exchange, templates, wanted, options)
    try:
        return run.converge()
    except (NodeError, PlanError, ReplyError, IpsetTextError, IptablesTextError) as error:
        raise NotConvergedError(str(error), run.result) from error


class _Run:
    def __init__(
        self, exchange: Exchange, templates: jinja2.Environment, wanted: Wanted | None, options: Options
    ) -> None:
        self._exchange = exchange
        self._templates = templates
        self._wanted = wanted
        self._options = options
        self._sent_steps = False
        self.result = Result()

    def converge(self) -> Result:
        with self._phase("check"):
            reply = self._inspect(confirm=not self._options.check_mode)
            facts = read_facts(reply)
            self._look(facts)
        if self._is_in_sync(facts):
            self.result.in_sync = True
            self.result.counts = facts.applied.counts
            return self.result
        # A node that finds itself in sync sends no state; it can't tell which variant is to be used.
        state = reply if reply.body else None
        for _attempt in range(_ATTEMPTS):
            if self._compare_and_apply(state or self._read()):
                return self.result
            state = None
        raise NodeError(
            f"the node's rules moved {_ATTEMPTS} times under our hands: another program keeps changing them"
        )

    def _read(self) -> Reply:
        with self._phase("read"):
            return self._inspect(always=True)

    def _inspect(self, *, confirm: bool = False, always: bool = False) -> Reply:
        return self._ask(inspect_script(self._templates, self._expected(), confirm=confirm, always=always))

    def _look(self, facts: Facts) -> None:
        """What must be known or refused before anything is compared."""
        refuse_errors(facts.errors)
        if self._wanted is None:
            # Everything of ours goes, in either variant: nothing to choose.
            self.result.variant = facts.default_variant
            refuse_incompatible(facts, facts.applied.variant)
            self.result.warnings = removal_warnings(facts)
            return
        self.result.variant = choose_variant(facts, self._options.variant)
        refuse_incompatible(facts, self.result.variant)
        if self._options.datapath_check:
            refuse_unless_enforceable(facts)
        refuse_older(
            facts.applied,
            self._wanted.cluster,
            self._wanted.version,
            allow_older=self._options.allow_older,
            allow_other=self._options.allow_other_cluster,
        )

    def _is_in_sync(self, facts: Facts) -> bool:
        if self._wanted is None:
            return not (facts.holds_ours or facts.applied.cluster)
        return (
            facts.applied.target == self._target_id
            and facts.applied.digest == facts.digest
            and facts.applied.variant == self.result.variant
            and facts.applied.cluster == self._wanted.cluster
        )

    def _expected(self) -> Expected | None:
        if self._wanted is None:
            return None
        wanted = self._wanted
        return Expected(self._target_id, wanted.cluster, wanted.version, wanted.snapshot, wanted.boot_id)

    @property
    def _target_id(self) -> str:
        """What the node remembers to have been given: the rendered text, and how it is hooked in."""
        if self._wanted is None:
            return ""
        text = f"{self._wanted.id} {self._options.hook} {self._options.accept}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _compare_and_apply(self, reply: Reply) -> bool:
        """Bring the node from the state that it sent to what it is to hold; False when it moved in between."""
        with self._phase("compare"):
            facts = read_facts(reply)
            self._look(facts)
            kernel = parse_kernel(written_out(reply.body), facts.digest)
            targets = self._targets(kernel)
            differences = self._differences(kernel, targets)
            self._describe(facts, differences)
            # A connection that was lost may hide that our steps ran: then the next reading finds nothing to do.
            self.result.changed = self._sent_steps and not differences
        self.result.counts = _counts(targets)
        if self._options.check_mode:
            self.result.changed = bool(differences)
            return True
        with self._phase("apply"):
            return self._apply(facts, kernel, differences)

    def _differences(self, kernel: Kernel, targets: Mapping[str, Target]) -> list[Difference]:
        found = (difference(kernel, targets[family], family=family, variant=self.result.variant) for family in FAMILIES)
        return [each for each in found if each]

    def _targets(self, kernel: Kernel) -> Mapping[str, Target]:
        """What each family is to hold; nothing at all where nothing is isolated and the kernel has no table.

        A table that we made could not be taken away again.
        """
        if self._wanted is None:
            return {family: Target() for family in FAMILIES}
        targets = parse_targets(self._wanted.texts(), hook=self._options.hook, accept=self._options.accept)
        return {
            family: target if target.isolates or kernel.table(self.result.variant, family).exists else Target()
            for family, target in targets.items()
        }

    def _describe(self, facts: Facts, differences: list[Difference]) -> None:
        lines = capped([line for each in differences for line in summary(each)])
        self.result.changes = lines
        if self._options.diff:
            self.result.diff = "".join(details(each, self._options.diff_limit) for each in differences)
        if self._wanted is not None and facts.applied.digest and facts.applied.digest != facts.digest:
            same_target = facts.applied.target == self._target_id
            # With something new to enforce, only what no target asks for is surely drift.
            self.result.drift = lines if same_target else capped([line for each in differences for line in drift(each)])

    def _apply(self, facts: Facts, kernel: Kernel, differences: list[Difference]) -> bool:
        plans = [plan(each, kernel) for each in differences]
        wanted = self._wanted
        request = Request(
            state="absent" if wanted is None else "present",
            expected_digest=facts.digest,
            expected_record=facts.record,
            target=self._target_id,
            cluster=wanted.cluster if wanted else "",
            version=wanted.version if wanted else 0,
            snapshot=wanted.snapshot if wanted else "",
            variant=self.result.variant,
            lock_timeout=self._options.lock_timeout,
            counts=f"{self.result.counts.sets} {self.result.counts.members} {self.result.counts.rules}",
        )
        reply = self._ask(apply_script(self._templates, request, plans))
        if reply["moved"]:
            self._sent_steps = bool(plans)
            return False
        # Without a digest it could not be read back.
        written = reply["digest"] != facts.digest if reply["digest"] else bool(plans and reply["begun"])
        self.result.changed = self.result.changed or written
        if reply["failed"]:
            text = step_text(plans, reply["failed"].splitlines()[0])
            raise NodeError(_failure(reply, text))
        refuse_errors(reply.errors)
        if reply["complete"] != "yes":
            raise NodeError("the node's script did not come to its end")
        warnings = reply["warning"].splitlines()
        self.result.warnings += warnings
        if not warnings:
            self._check_counts(reply)
        return True

    def _check_counts(self, reply: Reply) -> None:
        found, expected = read_counts(reply), self.result.counts
        if found != expected:
            raise NodeError(
                f"the node reports {found} after applying, not {expected}: another program changes our objects"
            )

    def _ask(self, script: str) -> Reply:
        data = frame(script)
        self.result.exchanges += 1
        self.result.bytes_sent += len(data)
        output = self._exchange(data)
        self.result.bytes_received += len(output)
        return parse_reply(output)

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - start
            self.result.durations[name] = round(self.result.durations.get(name, 0.0) + spent, 3)


def parse_targets(rendered: Rendered, *, hook: str, accept: bool) -> dict[str, Target]:
    """What each family is to hold, from the rendered text.

    Raises the text errors of :mod:`.ipset_text` and :mod:`.iptables_text` for a template that renders
    something else.
    """
    sets = parse_sets(rendered.ipset.splitlines())
    targets = {}
    for family, text in ((IPV4, rendered.iptables), (IPV6, rendered.ip6tables)):
        table = parse_table(text.splitlines())
        if table.forward:
            raise IptablesTextError("the template iptables.j2 renders a rule of FORWARD, which is not ours")
        chains = dict(table.chains)
        if accept:
            chains[ACCEPT_CHAIN] = (parse_rule("-j ACCEPT"),)
        own = {name: each for name, each in sets.items() if each.family == family}
        targets[family] = Target(own, chains, hook)
    return targets


def _counts(targets: Mapping[str, Target]) -> Counts:
    return Counts(
        sets=sum(len(target.sets) for target in targets.values()),
        members=sum(len(each.members) for target in targets.values() for each in target.sets.values()),
        rules=sum(len(rules) for target in targets.values() for rules in target.chains.values()),
    )


def _failure(reply: Reply, text: str) -> str:
    step = reply["failed"].splitlines()[0]
    errors = "; ".join(reply.errors) or "no message"
    message = f"step '{step}' failed: {(reply['program'] or '?').splitlines()[0]}: {errors}"
    if (match := re.search(r"line:? (\d+)", errors)) and 0 < int(match[1]) <= len(text.splitlines()):
        message += f" [line {match[1]}: {text.splitlines()[int(match[1]) - 1]}]"
    if left := reply["not_taken_back"].splitlines():
        message += f". Not all could be taken back: {'; '.join(capped(left))}"
    return message
