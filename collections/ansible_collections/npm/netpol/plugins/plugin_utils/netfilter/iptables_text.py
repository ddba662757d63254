# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of ``iptables-save`` and ``iptables-restore``, read into rules in one spelling.

Releases of iptables print one and the same rule in different ways; a comparison that took that for a
change would never come to rest. So both sides, wanted and found, go through this.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ..model.names import CHAIN_PREFIX, SET_PREFIX
from .state import Rule, Table, base_name

_BASE_OPTIONS = {
    "-p": "-p",
    "--protocol": "-p",
    "-s": "-s",
    "--source": "-s",
    "-d": "-d",
    "--destination": "-d",
    "-i": "-i",
    "--in-interface": "-i",
    "-o": "-o",
    "--out-interface": "-o",
}
_BASE_ORDER = ("-p", "-s", "-d", "-i", "-o", "-f")
_TARGETS = {"-j": "-j", "--jump": "-j", "-g": "-g", "--goto": "-g"}
_ARGUMENTS = {"--match-set": 2, "--comment": 1}
_ANYTHING = ("", "all", "0")
_PROTOCOLS: Mapping[str, str] = {
    "6": "tcp",
    "17": "udp",
    "132": "sctp",
    "1": "icmp",
    "58": "ipv6-icmp",
    "icmpv6": "ipv6-icmp",
}
# The module that a protocol brings along, where it has another name.
_MODULES: Mapping[str, str] = {"ipv6-icmp": "icmp6"}
_ICMPV6_TYPES: Mapping[str, str] = {
    "router-solicitation": "133",
    "router-advertisement": "134",
    "neighbour-solicitation": "135",
    "neighbor-solicitation": "135",
    "neighbour-advertisement": "136",
    "neighbor-advertisement": "136",
    "redirect": "137",
}
_ANY_PORT = "0:65535"
_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')
_NEEDS_NO_QUOTES = re.compile(r"[^\s\"\\]+")


class IptablesTextError(ValueError):
    """A line that is not one of a table, or a rule that cannot be split into words."""


@dataclass(frozen=True, slots=True)
class _Option:
    negated: bool
    name: str
    values: tuple[str, ...]

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""

    @property
    def negation(self) -> str:
        return "! " if self.negated else ""


def parse_table(lines: Iterable[str], *, found: bool = False) -> Table:
    """The filter table, from ``iptables-save`` or from a rendered restore file: our chains, and FORWARD.

    In a table that was ``found`` a rule that cannot be read (a comment may have a line break in it) stands for
    itself: it is like none of ours. Elsewhere it raises :class:`IptablesTextError`.
    """
    read = _found_rule if found else parse_rule
    chains: dict[str, list[Rule]] = {}
    forward: list[Rule] = []
    exists = False
    for line in lines:
        if line.startswith(":"):
            name = line[1:].split(" ", 1)[0]
            exists = exists or name == "FORWARD"
            if name.startswith(CHAIN_PREFIX):
                chains.setdefault(name, [])
        elif line.startswith("-A "):
            name, _space, rest = line[3:].partition(" ")
            if name.startswith(CHAIN_PREFIX):
                chains.setdefault(name, []).append(read(rest))
            elif name == "FORWARD":
                forward.append(read(rest))
        elif line and not line.startswith(("#", "*", "COMMIT")):
            raise IptablesTextError(f"not a line of a filter table: {line!r}")
    return Table({name: tuple(rules) for name, rules in chains.items()}, tuple(forward), exists)


def parse_rule(line: str) -> Rule:
    """One rule, without ``-A CHAIN``, in its normal form."""
    options = list(_options(_words(line)))
    base: dict[str, str] = {}
    matches: list[tuple[str, list[str]]] = [("", [])]
    target: tuple[str, ...] = ()
    implied = ""
    for option in options:
        if option.name in _TARGETS:
            target = (_TARGETS[option.name], *option.values)
        elif option.name in _BASE_OPTIONS:
            name = _BASE_OPTIONS[option.name]
            base[name] = _base_text(name, option)
            if name == "-p":
                implied = base[name].removeprefix("-p ")
        elif option.name in ("-m", "--match"):
            matches.append((option.value, []))
        else:
            matches[-1][1].append(_match_text(option))
    in_order = [base.get(name, "") for name in _BASE_ORDER]
    return Rule(
        text=" ".join(filter(None, (*in_order, *_match_texts(matches, implied), *map(_quoted, target)))),
        line=line.strip(),
        sets=tuple(option.value for option in options if option.name == "--match-set"),
        comment=next((option.value for option in options if option.name == "--comment"), ""),
        target=target[1] if len(target) > 1 else "",
    )


def _found_rule(line: str) -> Rule:
    try:
        return parse_rule(line)
    except IptablesTextError:
        return Rule(line, line)


def with_set_names(rule: Rule, names: Mapping[str, str]) -> str:
    """The rule as it is to be written, each base name of a set replaced by the name it has in the kernel."""
    line = rule.line
    for base in sorted(set(rule.sets)):
        line = line.replace(f"--match-set {base} ", f"--match-set {names[base]} ")
    return line


def _words(line: str) -> list[str]:
    """The words of a rule. Only double quotes quote, and in them a backslash takes any character as it is."""
    words = []
    position = 0
    line = line.rstrip()
    while position < len(line):
        match = _WORD.match(line, position)
        if not match:
            raise IptablesTextError(f"cannot read the rule {line!r}: a quotation is not closed")
        words.append(match[2] if match[1] is None else _ESCAPED.sub(r"\1", match[1]))
        position = match.end()
    return words


def _quoted(word: str) -> str:
    return word if _NEEDS_NO_QUOTES.fullmatch(word) else '"' + _TO_ESCAPE.sub(r"\\\1", word) + '"'


def _options(words: list[str]) -> Iterator[_Option]:
    position = 0
    while position < len(words):
        negated = words[position] == "!"
        position += negated
        name = words[position] if position < len(words) else ""
        end = position + 1
        if name in _TARGETS:
            end = len(words)
        elif name in _ARGUMENTS:
            end += _ARGUMENTS[name]
        else:
            while end < len(words) and words[end] != "!" and not words[end].startswith("-"):
                end += 1
        yield _Option(negated, name, tuple(words[position + 1 : end]))
        position = end


def _base_text(name: str, option: _Option) -> str:
    value = option.value
    if name == "-p":
        value = _PROTOCOLS.get(value, value)
    elif name in ("-s", "-d"):
        value = _network(value)
    if value in _ANYTHING and not option.negated:
        return ""
    return f"{option.negation}{name} {value}".rstrip()


def _match_texts(matches: list[tuple[str, list[str]]], protocol: str) -> list[str]:
    """The modules with their options, in one order; a protocol's module that restricts nothing is left out.

    Options before any ``-m`` are those of the module that ``-p`` brings along.
    """
    brought = _MODULES.get(protocol, protocol)
    kept: dict[str, list[str]] = {}
    texts = []
    for module, options in matches:
        if (module or brought) == brought:
            kept.setdefault(brought, []).extend(filter(None, options))
        else:
            texts.append(" ".join(["-m", module, *sorted(filter(None, options))]))
    texts += [" ".join(["-m", module, *sorted(options)]) for module, options in kept.items() if options]
    return sorted(texts)


def _match_text(option: _Option) -> str:
    value = " ".join(option.values)
    if option.name == "--match-set" and value.startswith(SET_PREFIX):
        value = " ".join([base_name(option.value), *option.values[1:]])
    elif option.name == "--comment":
        value = _quoted(value)
    elif option.name in ("--dport", "--sport"):
        value = _port(value)
    elif option.name in ("--dports", "--sports"):
        value = ",".join(sorted(_port(each) for each in value.split(",")))
    elif option.name == "--ctstate":
        value = ",".join(sorted(value.split(",")))
    elif option.name == "--icmpv6-type":
        value = _ICMPV6_TYPES.get(value, value)
    if value == _ANY_PORT and not option.negated:
        return ""
    return f"{option.negation}{option.name} {value}".rstrip()


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text
    return str(network) if network.prefixlen else ""


def _port(text: str) -> str:
    low, colon, high = text.partition(":")
    if not colon:
        return low
    low, high = low or "0", high or "65535"
    return low if low == high else f"{low}:{high}"
