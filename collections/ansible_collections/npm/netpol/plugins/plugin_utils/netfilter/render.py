# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One node's ruleset as restore text, through the role's templates.

The templates lay out lines; what has one right answer only (how ports are spelled, how long a comment may
be) is prepared here. The spelling is that of ``ipset save`` and ``iptables-save``.
"""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jinja2

from ..model.names import CHAIN_PREFIX, EGRESS_CHAIN, FORWARD_CHAIN, INGRESS_CHAIN, SET_PREFIX, dispatch_part
from ..model.ruleset import Chain, Direction, Family, PeerSet, Rule, Ruleset, SetKind, Target, Verdict
from . import dispatch
from .ipset_text import IpsetTextError, maxelem_for, parse_sets
from .iptables_text import IptablesTextError, parse_table
from .names_in_a_line import LONGEST, MOST_NAMES, listed

IPSET_TEMPLATE = "ipset.j2"
IPTABLES_TEMPLATE = "iptables.j2"

# What one multiport match takes; a range counts twice.
_MULTIPORT_SLOTS = 15

_NOT_IN_A_COMMENT = re.compile(r"[^A-Za-z0-9._/:+-]")
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9_-]+")
_PREFIX_LENGTHS = {Family.IPV4: 32, Family.IPV6: 128}
_IPSET_FAMILIES = {Family.IPV4: "inet", Family.IPV6: "inet6"}
_JUMPS = {Verdict.ALLOW: "RETURN", Verdict.DENY: "DROP"}


class RenderError(ValueError):
    """A template, or what it was given, is wrong: the message names the template and the line."""


class RenderedSet:
    """The text of one set, made each time that it is asked for: those of a cluster's large sets fill no memory.

    Its digest is taken on the way, and remembered.
    """

    def __init__(self, name: str, make: Callable[[], str]) -> None:
        self.name = name
        self._make = make
        self._digest = b""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RenderedSet) and (self.name, self.digest) == (other.name, other.digest)

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def text(self) -> str:
        text = self._make()
        self._digest = _digest(text)
        return text

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text."""
        if not self._digest:
            self._digest = _digest(self._make())
        return self._digest

    @cached_property
    def creates(self) -> frozenset[str]:
        """The names of the sets that the text makes. Raises :class:`RenderError` when nobody can tell."""
        try:
            return frozenset(parse_sets(self.text.splitlines()))
        except IpsetTextError as error:
            raise RenderError(
                f"template {IPSET_TEMPLATE} renders what is no input of ipset restore: {error}"
            ) from error


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Rendered:
    """The restore files of one node: the sets of both families, which it shares with others, and each filter table."""

    sets: tuple[RenderedSet, ...]
    iptables: str
    ip6tables: str

    @property
    def ipset(self) -> str:
        return "".join(each.text for each in self.sets)

    @property
    def id(self) -> str:
        """SHA-256 (hex) over the sets' digests and the two tables: it names what is to be enforced."""
        digest = hashlib.sha256(b"%d\n" % len(self.sets))
        for each in self.sets:
            digest.update(each.digest)
        for text in (self.iptables, self.ip6tables):
            data = text.encode()
            digest.update(b"%d\n" % len(data) + data)
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    kind: str
    family: str
    maxelem: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Dispatch:
    """``at`` is the chain that the pod's line stands in. ``address`` has its prefix length, as iptables prints it."""

    at: str
    address: str
    pod: str
    comment: str
    chain: str


@dataclass(frozen=True, slots=True)
class _Part:
    """Where the dispatch goes on for the pods of a network."""

    name: str
    network: str


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a chain. ``ports``, ``peers`` and ``comment`` are matches with a space before them, or empty."""

    ports: str
    peers: str
    comment: str
    jump: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Chain:
    name: str
    direction: str
    lines: tuple[_Line, ...]
    otherwise: _Line


def environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """The environment in which ``loader``'s templates render restore text."""
    return jinja2.Environment(  # noqa: S701 - restore text, not HTML; the values are prepared in this file
        loader=loader,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


class Renderer:
    """Renders many nodes. A set that several of them have, the same object in each ruleset, is one rendered set."""

    def __init__(self, templates: jinja2.Environment) -> None:
        self._templates = templates
        # By identity: to compare the members of a large set takes as long as to render them.
        self._sets: dict[int, tuple[PeerSet, RenderedSet]] = {}

    def render(self, ruleset: Ruleset) -> Rendered:
        """The restore files of one node.

        Raises :class:`RenderError` when a template is missing, wrong, or uses something that it isn't given.
        """
        return Rendered(
            sets=tuple(self._set(family, each) for family in Family for each in ruleset.family(family).sets),
            iptables=_fill(self._templates, IPTABLES_TEMPLATE, _table(ruleset, Family.IPV4)),
            ip6tables=_fill(self._templates, IPTABLES_TEMPLATE, _table(ruleset, Family.IPV6)),
        )

    def _set(self, family: Family, each: PeerSet) -> RenderedSet:
        if id(each) not in self._sets:
            self._sets[id(each)] = (each, RenderedSet(each.name, partial(self._text, family, each)))
        return self._sets[id(each)][1]

    def _text(self, family: Family, each: PeerSet) -> str:
        maxelem = maxelem_for(len(each.members))
        values = _Set(each.name, each.kind, _IPSET_FAMILIES[family], maxelem, each.members)
        return _fill(self._templates, IPSET_TEMPLATE, {"set": values})


def render(ruleset: Ruleset, templates: jinja2.Environment) -> Rendered:
    """The restore files of one node: see :meth:`Renderer.render`."""
    return Renderer(templates).render(ruleset)


def check_readable(rendered: Rendered) -> None:
    """Raise :class:`RenderError` unless a node's state could be compared with ``rendered``: for a user's templates."""
    sets = frozenset[str]().union(*(each.creates for each in rendered.sets))
    if foreign := next((name for name in sorted(sets) if not name.startswith(SET_PREFIX)), ""):
        raise RenderError(f"template {IPSET_TEMPLATE} renders the set {foreign}: ours begin with {SET_PREFIX}")
    for text in (rendered.iptables, rendered.ip6tables):
        for line in text.splitlines():
            if line.startswith((":", "-")) and not line.startswith((f":{CHAIN_PREFIX}", f"-A {CHAIN_PREFIX}")):
                raise RenderError(
                    f"template {IPTABLES_TEMPLATE} renders {line!r}: our chains begin with {CHAIN_PREFIX}"
                )
        try:
            table = parse_table(text.splitlines())
        except IptablesTextError as error:
            raise RenderError(
                f"template {IPTABLES_TEMPLATE} renders what is no input of iptables-restore: {error}"
            ) from error
        missing = sorted({FORWARD_CHAIN, EGRESS_CHAIN, INGRESS_CHAIN} - table.chains.keys())
        if missing:
            raise RenderError(f"template {IPTABLES_TEMPLATE} leaves out the chain {missing[0]}")
        if unknown := sorted(table.references() - sets):
            raise RenderError(
                f"template {IPTABLES_TEMPLATE} matches the set {unknown[0]}, which {IPSET_TEMPLATE} leaves out"
            )


def comment(names: Iterable[str]) -> str:
    """The comment match that names policies or a pod, cut between two names where they don't all fit."""
    given = [name for name in names if name]
    if not given:
        return ""
    words = [_NOT_IN_A_COMMENT.sub("?", name) for name in given[:MOST_NAMES]]
    text = listed(words, len(given))
    if len(text) > LONGEST:
        tail = f"...{text[len(words[0]) :]}"
        text = words[0][: LONGEST - len(tail)] + tail
    quoted = text if _NEEDS_NO_QUOTES.fullmatch(text) else f'"{text}"'
    return f" -m comment --comment {quoted}"


def port_matches(protocol: str, ports: tuple[tuple[int, int], ...]) -> list[str]:
    """The match on protocol and destination ports; several where one rule can't take all ports."""
    if not protocol:
        if ports:
            raise RenderError(f"ports {ports} without a protocol")
        return [""]
    if not ports:
        return [f" -p {protocol}"]
    return [f" -p {protocol}{_ports(protocol, chunk)}" for chunk in _chunks(ports)]


def _ports(protocol: str, ports: list[tuple[int, int]]) -> str:
    spelled = [str(low) if low == high else f"{low}:{high}" for low, high in ports]
    # sctp has a module of its own that not every kernel carries; multiport reads its ports as well.
    if len(spelled) == 1 and protocol != "sctp":
        return f" -m {protocol} --dport {spelled[0]}"
    return f" -m multiport --dports {','.join(spelled)}"


def _chunks(ports: tuple[tuple[int, int], ...]) -> Iterator[list[tuple[int, int]]]:
    chunk: list[tuple[int, int]] = []
    free = _MULTIPORT_SLOTS
    for low, high in ports:
        slots = 1 if low == high else 2
        if slots > free:
            yield chunk
            chunk, free = [], _MULTIPORT_SLOTS
        chunk.append((low, high))
        free -= slots
    yield chunk


def _table(ruleset: Ruleset, family: Family) -> dict[str, Any]:
    rules = ruleset.family(family)
    sets = {each.name: each for each in rules.sets}
    egress_parts, egress = _dispatch(family, EGRESS_CHAIN, rules.egress)
    ingress_parts, ingress = _dispatch(family, INGRESS_CHAIN, rules.ingress)
    return {
        "node": ruleset.node,
        "family": family.value,
        "base": {"forward": FORWARD_CHAIN, "egress": EGRESS_CHAIN, "ingress": INGRESS_CHAIN},
        "egress_parts": egress_parts,
        "egress": egress,
        "ingress_parts": ingress_parts,
        "ingress": ingress,
        "chains": [_chain(chain, sets) for chain in rules.chains],
    }


def _dispatch(family: Family, base: str, targets: Sequence[Target]) -> tuple[list[_Part], list[_Dispatch]]:
    networks = dispatch.divided((each.address for each in targets), dispatch.LONGEST_LIST)
    parts = {network: dispatch_part(base, network) for network in networks}
    at = {address: parts[network] for network, addresses in networks.items() for address in addresses}
    pods = [
        _Dispatch(
            at.get(each.address, base),
            f"{each.address}/{_PREFIX_LENGTHS[family]}",
            each.pod,
            comment([each.pod] if each.pod else ()),
            each.chain,
        )
        for each in targets
    ]
    return [_Part(name, network) for network, name in parts.items()], pods


def _chain(chain: Chain, sets: Mapping[str, PeerSet]) -> _Chain:
    return _Chain(
        name=chain.name,
        direction=chain.direction.value,
        lines=tuple(line for rule in chain.rules for line in _lines(chain, rule, sets)),
        otherwise=_Line("", "", comment(chain.policies), _JUMPS[chain.otherwise], chain.policies),
    )


def _lines(chain: Chain, rule: Rule, sets: Mapping[str, PeerSet]) -> Iterator[_Line]:
    peers = _peers(chain, rule, sets)
    for ports in port_matches(rule.protocol, rule.ports):
        yield _Line(ports, peers, comment(rule.policies), _JUMPS[rule.verdict], rule.policies)


def _peers(chain: Chain, rule: Rule, sets: Mapping[str, PeerSet]) -> str:
    if not rule.peers:
        return ""
    if rule.peers not in sets:
        raise RenderError(f"chain {chain.name}: no set {rule.peers}")
    if sets[rule.peers].kind is SetKind.PORTS:
        side = "dst,dst"
    else:
        side = "src" if chain.direction is Direction.INGRESS else "dst"
    return f" -m set --match-set {rule.peers} {side}"


def _fill(templates: jinja2.Environment, name: str, values: Mapping[str, Any]) -> str:
    try:
        return templates.get_template(name).render(values)
    except jinja2.TemplateNotFound as error:
        raise RenderError(f"template {error.name} is not on the template path") from error
    except jinja2.TemplateSyntaxError as error:
        raise RenderError(f"template {error.filename or error.name}, line {error.lineno}: {error.message}") from error
    except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RenderError(f"template {_place(error, name)}: {error}") from error


def _place(error: Exception, name: str) -> str:
    """File and line of the innermost template that ``error`` went through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(".j2"):
            return f"{frame.filename}, line {frame.lineno}"
    return name
