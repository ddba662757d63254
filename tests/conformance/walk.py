# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A packet's walk through rendered ipset and iptables-restore text, as the kernel would take it.

Knows chains, matches and sets, and nothing of pods or policies. What the kernel would refuse (an unknown set or chain,
a member of the wrong kind, a set that overflows) is an error here, and so is any match that it does not know: a walk
that guesses would prove nothing. The kernel is held against it by the same cases (tests/integration/packets).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any

ENTRY = "NPM-FORWARD"
_parsed = cache(ip_address)
_MOST_PORTS = 15
_BITS = {"inet": 32, "inet6": 128}
_PROTOCOL_NAMES = {"tcp", "udp", "sctp", "icmp", "ipv6-icmp"}
_WITH_PORTS = ("tcp", "udp", "sctp")
_LONGEST_COMMENT = 255
_WORD = re.compile(r'"[^"]*"|\S+')
_ARGUMENTS = dict.fromkeys(
    ("-A", "-p", "-m", "-s", "-d", "-j", "-g", "--dport", "--dports", "--ctstate", "--icmpv6-type", "--comment"), 1
) | {"--match-set": 2}
# The modules or protocols one of which an option needs before it.
_NEEDS: Mapping[str, set[str]] = {
    "--dport": {"tcp", "udp"},
    "--dports": {"multiport"},
    "--match-set": {"set"},
    "--ctstate": {"conntrack"},
    "--icmpv6-type": {"icmp6"},
    "--comment": {"comment"},
}


class WalkError(ValueError):
    """The text is not what the kernel would take, or uses what the walk does not know."""


_parsed = cache(ip_address)
_parsed_network = cache(ip_network)


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, or what ``state`` says. ``protocol`` as iptables names it; any other name
    stands for a protocol without ports. ``icmp_type`` only of icmp and ipv6-icmp."""

    source: str
    destination: str
    protocol: str
    port: int = 0
    state: str = "NEW"
    icmp_type: int = 128


@dataclass(frozen=True, slots=True)
class _Seen:
    """A packet with its addresses as numbers: what matches look at."""

    packet: Packet
    source: int
    destination: int


Match = Callable[[_Seen], bool]


@dataclass(slots=True)
class _Set:
    kind: str
    family: str
    maxelem: int
    # By length of prefix; a host has the full one.
    networks: dict[int, set[int]] = field(default_factory=dict)
    pairs: set[tuple[int, str, int]] = field(default_factory=set)
    size: int = 0

    def add(self, member: str) -> None:
        self.size += 1
        if self.size > self.maxelem:
            raise WalkError(f"set is full at {member}: maxelem {self.maxelem}")
        if self.kind == "hash:ip,port":
            address, _comma, service = member.partition(",")
            protocol, _colon, port = service.partition(":")
            if protocol not in _WITH_PORTS:
                raise WalkError(f"member {member}: protocol")
            self._once(self.pairs, (self._number(address, member), protocol, int(port)), member)
            return
        bits = _BITS[self.family]
        address, slash, length = member.partition("/")
        if slash and self.kind == "hash:ip":
            raise WalkError(f"member {member} of a {self.kind}")
        prefix = int(length) if slash else bits
        number = self._number(address, member)
        if not 1 <= prefix <= bits or number & ((1 << bits - prefix) - 1):
            raise WalkError(f"member {member}: prefix length or host bits")
        self._once(self.networks.setdefault(prefix, set()), number, member)

    def _number(self, text: str, member: str) -> int:
        address = _parsed(text)
        if address.max_prefixlen != _BITS[self.family]:
            raise WalkError(f"member {member} of a set of family {self.family}")
        return int(address)

    @staticmethod
    def _once(members: set[Any], member: Any, text: str) -> None:
        if member in members:
            raise WalkError(f"member {text} is there twice")
        members.add(member)

    def holds(self, address: int, protocol: str, port: int) -> bool:
        if self.kind == "hash:ip,port":
            return (address, protocol, port) in self.pairs
        bits = _BITS[self.family]
        return any(address >> bits - prefix << bits - prefix in each for prefix, each in self.networks.items())


@dataclass(frozen=True, slots=True)
class _Rule:
    matches: tuple[Match, ...]
    target: str
    goto: bool
    text: str


class Filter:
    """The filter tables of one node, both families, as its three restore files leave an empty kernel."""

    def __init__(self, ipset: str, iptables: str, ip6tables: str) -> None:
        """Raises :class:`WalkError` on what the kernel would not take."""
        self._sets = _parse_sets(ipset)
        self._chains = {4: self._parse_table(iptables, "inet"), 6: self._parse_table(ip6tables, "inet6")}

    def passes(self, packet: Packet, trace: list[str] | None = None) -> bool:
        """Whether a packet that is forwarded comes out of our chains. ``trace`` gets the rules that matched."""
        source, destination = _parsed(packet.source), _parsed(packet.destination)
        seen = _Seen(packet, int(source), int(destination))
        return self._walk(self._chains[source.version], ENTRY, seen, [] if trace is None else trace)

    def _walk(self, chains: dict[str, list[_Rule]], name: str, seen: _Seen, trace: list[str]) -> bool:
        """True: it returns to the caller. -g leaves nothing behind to come back to, -j does."""
        for rule in chains[name]:
            if not all(match(seen) for match in rule.matches):
                continue
            trace.append(rule.text)
            if rule.target == "DROP":
                return False
            if rule.target == "RETURN":
                return True
            passed = self._walk(chains, rule.target, seen, trace)
            if rule.goto or not passed:
                return passed
        return True

    def _parse_table(self, text: str, family: str) -> dict[str, list[_Rule]]:
        chains: dict[str, list[_Rule]] = {}
        lines = text.splitlines()
        if lines[:1] != ["*filter"] or lines[-1:] != ["COMMIT"]:
            raise WalkError("not one filter table from *filter to COMMIT")
        for line in lines[1:-1]:
            if line.startswith(":"):
                chains[line[1:].split()[0]] = []
            elif line.startswith("-A "):
                chain, rule = _parse_rule(line, self._sets, family)
                if chain not in chains:
                    raise WalkError(f"{line}: no such chain")
                chains[chain].append(rule)
            else:
                raise WalkError(f"{line}: neither chain nor rule")
        for rule in (rule for rules in chains.values() for rule in rules):
            if rule.target not in ("DROP", "RETURN") and rule.target not in chains:
                raise WalkError(f"{rule.text}: no such chain")
        return chains


def _parse_sets(text: str) -> dict[str, _Set]:
    sets: dict[str, _Set] = {}
    for line in text.splitlines():
        match line.split():
            case ["create", name, kind, "family", family, "maxelem", maxelem] if family in _BITS:
                if name in sets:
                    raise WalkError(f"{line}: exists already")
                sets[name] = _Set(kind, family, int(maxelem))
            case ["add", name, member] if name in sets:
                sets[name].add(member)
            case _:
                raise WalkError(f"{line}: not understood")
    return sets


def _parse_rule(line: str, sets: dict[str, _Set], family: str) -> tuple[str, _Rule]:
    [(_plain, _append, [chain]), *options] = _options(line)
    loaded = {arguments[0] for _inverted, option, arguments in options if option in ("-m", "-p")}
    matches: list[Match] = []
    target, goto = "", False
    for inverted, option, arguments in options:
        if option in ("-j", "-g"):
            [target], goto = arguments, option == "-g"
        elif option in ("-s", "-d"):
            matches.append(_address(arguments[0], family, of_source=option == "-s", inverted=inverted))
        elif inverted or not _NEEDS.get(option, {""}) & {"", *loaded}:
            raise WalkError(f"{line}: {option} is not understood here")
        elif option == "--match-set":
            matches.append(_in_set(arguments[0], arguments[1], sets, family))
        elif option == "--comment":
            if len(arguments[0]) > _LONGEST_COMMENT:
                raise WalkError(f"{line}: a comment of {len(arguments[0])} characters")
        elif option != "-m":
            matches.append(_MATCHES[option](arguments[0]))
    if not target:
        raise WalkError(f"{line}: no target")
    return chain, _Rule(tuple(matches), target, goto, line)


def _options(line: str) -> list[tuple[bool, str, list[str]]]:
    """Each option with its arguments, and whether ``!`` stands before it."""
    words = [word.strip('"') for word in _WORD.findall(line)]
    options = []
    inverted = False
    while words:
        option = words.pop(0)
        if option == "!":
            inverted = True
            continue
        if option not in _ARGUMENTS:
            raise WalkError(f"{line}: {option} is not understood")
        count = _ARGUMENTS[option]
        options.append((inverted, option, words[:count]))
        words, inverted = words[count:], False
    return options


def _protocol(name: str) -> Match:
    if name not in _PROTOCOL_NAMES:
        raise WalkError(f"protocol {name} is not understood")
    return lambda seen: seen.packet.protocol == name


def _address(text: str, family: str, *, of_source: bool, inverted: bool) -> Match:
    network = _parsed_network(text)
    if network.max_prefixlen != _BITS[family]:
        raise WalkError(f"{text} in the table of {family}")
    first, last = int(network.network_address), int(network.broadcast_address)
    return lambda seen: (first <= (seen.source if of_source else seen.destination) <= last) != inverted


def _ports(spelled: list[str]) -> Match:
    ranges = [(int(low), int(high or low)) for low, _colon, high in (each.partition(":") for each in spelled)]
    if any(not 0 <= low <= high <= 65535 for low, high in ranges):
        raise WalkError(f"ports {spelled}")
    return lambda seen: any(low <= seen.packet.port <= high for low, high in ranges)


def _multiport(text: str) -> Match:
    spelled = text.split(",")
    if sum(2 if ":" in each else 1 for each in spelled) > _MOST_PORTS:
        raise WalkError(f"multiport {text}: more than {_MOST_PORTS}")
    return _ports(spelled)


def _in_set(name: str, sides: str, sets: dict[str, _Set], family: str) -> Match:
    if name not in sets or sets[name].family != family:
        raise WalkError(f"no set {name} of {family}")
    found = sets[name]
    if sides.split(",")[1:] != (["dst"] if found.kind == "hash:ip,port" else []):
        raise WalkError(f"set {name}, a {found.kind}, is matched by {sides}")
    match sides.split(",", maxsplit=1)[0]:
        case "src":
            return lambda seen: found.holds(seen.source, seen.packet.protocol, seen.packet.port)
        case "dst":
            return lambda seen: found.holds(seen.destination, seen.packet.protocol, seen.packet.port)
    raise WalkError(f"set {name} is matched by {sides}")


def _state(text: str) -> Match:
    states = text.split(",")
    return lambda seen: seen.packet.state in states


def _icmp_type(number: int) -> Match:
    return lambda seen: seen.packet.icmp_type == number


# What takes a value alone.
_MATCHES: Mapping[str, Callable[[str], Match]] = {
    "-p": _protocol,
    "--dport": lambda text: _ports([text]),
    "--dports": _multiport,
    "--ctstate": _state,
    "--icmpv6-type": lambda text: _icmp_type(int(text)),
}


def hops(source: tuple[str, bool], destination: tuple[str, bool]) -> Iterator[str]:
    """The nodes that forward a packet between two ends, each a node (empty: outside) and whether a pod of it is meant.

    What a node sends or receives itself passes OUTPUT or INPUT there, and traffic of one node's pods FORWARD once.
    """
    nodes = []
    for node, is_pod in (source, destination):
        if node and is_pod and node not in nodes:
            nodes.append(node)
    if source[0] == destination[0] and not (source[1] and destination[1]):
        return
    yield from nodes
