# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the two families of cyclonus' cases that are regular: each peer and each port alone, and pairs of them.

Whom a peer means, and what a port opens, stands here as a person reads it off the suite's cluster; two of them allow
what either does (rule 3). Neither the product nor the oracle is asked: the cases are held against both.

    python -m conformance.cyclonus      writes suites/cyclonus/peers.yaml and ports.yaml      (PYTHONPATH=tests)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

DIRECTORY = Path(__file__).parent / "suites" / "cyclonus"

# The subject of all policies is x/a; these are the others.
_OTHERS = ("x/b", "x/c", "y/a", "y/b", "y/c", "z/a", "z/b", "z/c")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_PORTS = tuple(f"{port}/{protocol}" for protocol in _PROTOCOLS for port in (80, 81))
_AT_80 = ("80/TCP",)
_ITEM_80 = "{protocol: TCP, port: 80}"


@dataclass(frozen=True, slots=True)
class Peer:
    """``pods``: the others whom it means. ``paired``: rules that it shows besides when it has another one beside it."""

    words: str
    spec: tuple[str, ...]
    pods: tuple[str, ...]
    rules: tuple[int, ...]
    paired: tuple[int, ...] = (3,)
    ipv4_only: bool = False


@dataclass(frozen=True, slots=True)
class Port:
    """``beside``: ports that it just does not open."""

    words: str
    spec: str
    opens: tuple[str, ...]
    rules: tuple[int, ...]
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Direction:
    """``peer``: what a policy says of it where it is the other direction's turn; ``pods``: whom that means.

    ``more``: a rule that it has besides, whatever the case is about. The rest are words of a case's name.
    """

    field: str
    peers_field: str
    peer: tuple[str, ...]
    pods: tuple[str, ...]
    more: tuple[str, ...]
    passes: str
    at_ports: str
    with_peer: str
    anyone: str

    def lines(self, others: Collection[str], ports: Collection[str], family: str = "") -> list[str]:
        """What tells of the connections between x/a and some others in this direction: one line, or none."""
        if not (others and ports):
            return []
        ends = (_places(others), "x/a") if self.field == "ingress" else ("x/a", _places(others))
        return [f"{' -> '.join(ends)} at {_ports(ports)}{family}"]


INGRESS = Direction(
    field="ingress",
    peers_field="from",
    peer=(
        "namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: [x, y]}]}",
        "podSelector: {matchExpressions: [{key: pod, operator: In, values: [b, c]}]}",
    ),
    pods=("x/b", "x/c", "y/b", "y/c"),
    more=(),
    passes="x/a is reached",
    at_ports="at",
    with_peer="from ",
    anyone="from anywhere",
)
EGRESS = Direction(
    field="egress",
    peers_field="to",
    peer=(
        "namespaceSelector: {matchExpressions: [{key: ns, operator: In, values: [y, z]}]}",
        "podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}",
    ),
    pods=("y/a", "y/b", "z/a", "z/b"),
    more=("ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]",),
    passes="x/a reaches",
    at_ports="others at",
    with_peer="",
    anyone="everything",
)
_OTHER = {INGRESS: EGRESS, EGRESS: INGRESS}

_PODS_C = "podSelector: {matchLabels: {pod: c}}"
_LABELLED_X = "namespaceSelector: {matchLabels: {ns: x}}"
_OF_X = ("x/b", "x/c")
PEERS = (
    Peer("all pods of its namespace", ("podSelector: {}",), _OF_X, (7,)),
    Peer("pods c of its namespace", (_PODS_C,), ("x/c",), (7,)),
    Peer("all namespaces", ("namespaceSelector: {}",), _OTHERS, (7, 8)),
    Peer("all pods of all namespaces", ("namespaceSelector: {}", "podSelector: {}"), _OTHERS, (7, 8)),
    Peer("pods c of all namespaces", ("namespaceSelector: {}", _PODS_C), ("x/c", "y/c", "z/c"), (7, 8)),
    Peer("namespaces labelled x", (_LABELLED_X,), _OF_X, (7,)),
    Peer("all pods of namespaces labelled x", (_LABELLED_X, "podSelector: {}"), _OF_X, (7,)),
    Peer("pods c of namespaces labelled x", (_LABELLED_X, _PODS_C), ("x/c",), (7,)),
    Peer("an IPv4 block", ("ipBlock: {cidr: 10.244.0.0/22}",), _OTHERS, (24, 26, 31), ipv4_only=True),
    Peer(
        "an IPv4 block with a hole",
        ("ipBlock: {cidr: 10.244.0.0/22, except: [10.244.1.32/28]}",),
        ("x/b", "y/a", "y/b", "z/a", "z/b"),
        (24, 26, 31),
        paired=(3, 25),
        ipv4_only=True,
    ),
)


def _of_protocol(protocol: str) -> Iterator[Port]:
    both = tuple(each for each in _PORTS if each.endswith(f"/{protocol}"))
    rules = (14, 21) if protocol == "SCTP" else (14,)
    yield Port(f"all of {protocol}", f"{{protocol: {protocol}}}", both, rules)
    for port in (80, 81):
        yield Port(f"{protocol} {port}", f"{{protocol: {protocol}, port: {port}}}", (f"{port}/{protocol}",), rules)


def _named(protocol: str) -> Iterator[Port]:
    for port in (80, 81):
        name = f"serve-{port}-{protocol.lower()}"
        yield Port(f"{protocol} {name}", f"{{protocol: {protocol}, port: {name}}}", (f"{port}/{protocol}",), (16,))


def _ranges(protocol: str) -> Iterator[Port]:
    for last, served in ((80, (80,)), (84, (80, 81, 84))):
        beside = 81 if last == 80 else 85
        yield Port(
            f"{protocol} 53 to {last}",
            f"{{protocol: {protocol}, port: 53, endPort: {last}}}",
            tuple(f"{port}/{protocol}" for port in (53, *served)),
            (14,),
            (f"52/{protocol}", f"{beside}/{protocol}"),
        )


_AN_EMPTY_ONE = Port("an empty item's ports", "{}", ("80/TCP", "81/TCP"), (14,))
_PORT_80 = Port("port 80", "{port: 80}", ("80/TCP",), (14,))
_PORT_81 = Port("port 81", "{port: 81}", ("81/TCP",), (14,))
_NAMED_81_UDP = Port("UDP serve-81-udp", "{protocol: UDP, port: serve-81-udp}", ("81/UDP",), (16,))
_MISSED = (
    Port("TCP serve-81-udp (a name of UDP)", "{protocol: TCP, port: serve-81-udp}", (), (17,)),
    Port("TCP serve-7981-udp (a name of no pod)", "{protocol: TCP, port: serve-7981-udp}", (), (17,), ("7981/TCP",)),
    Port("TCP 7981 (which no container has)", "{protocol: TCP, port: 7981}", ("7981/TCP",), (14,)),
)
PORTS = (
    _AN_EMPTY_ONE,
    _PORT_80,
    _PORT_81,
    *(port for family in (_of_protocol, _named, _ranges) for protocol in _PROTOCOLS for port in family(protocol)),
    *_MISSED,
)
PAIRS_OF_PORTS = (
    (_AN_EMPTY_ONE, _PORT_80),
    (_AN_EMPTY_ONE, Port("port serve-80-tcp", "{port: serve-80-tcp}", ("80/TCP",), (16,))),
    (_AN_EMPTY_ONE, Port("all of UDP", "{protocol: UDP}", ("80/UDP", "81/UDP"), (14,))),
    (_PORT_80, _PORT_81),
    (_PORT_80, Port("port serve-81-tcp", "{port: serve-81-tcp}", ("81/TCP",), (16,))),
    (_PORT_80, _NAMED_81_UDP),
    (Port("UDP 80", "{protocol: UDP, port: 80}", ("80/UDP",), (14,)), _NAMED_81_UDP),
)


def files() -> Mapping[str, str]:
    """The text of each file, by its name."""
    some_peers = [(), *((each,) for each in PEERS), *combinations(PEERS, 2)]
    some_ports = [(), *((each,) for each in PORTS), *PAIRS_OF_PORTS]
    peers = [_case_of_peers(direction, some) for direction in (INGRESS, EGRESS) for some in some_peers]
    ports = [_case_of_ports(direction, some) for direction in (INGRESS, EGRESS) for some in some_ports]
    return {
        "peers.yaml": "\n".join([_about("Peers: each alone, and all pairs"), *peers]),
        "ports.yaml": "\n".join([_about("Ports: each alone, and some pairs"), *ports]),
    }


def _about(words: str) -> str:
    return f"""\
# {words}, in both directions. Written by tests/conformance/cyclonus.py.
# The other direction has: at 80/TCP from the pods b and c of x and y, and to the pods a and b of y and z.
"""


def _case_of_peers(direction: Direction, peers: Sequence[Peer]) -> str:
    both = {pod for peer in peers if not peer.ipv4_only for pod in peer.pods} if peers else {*_OTHERS, "ext"}
    ipv4 = {pod for peer in peers for pod in peer.pods} - both
    whom = " and ".join(f"{direction.with_peer}{peer.words}" for peer in peers)
    return _case(
        f"{direction.passes} {whom} only" if peers else f"{direction.passes} {direction.anyone} if there are no peers",
        {rule for peer in peers for rule in peer.rules + (peer.paired if len(peers) > 1 else ())} or {6},
        direction,
        _rule(direction, [peer.spec for peer in peers], [_ITEM_80]),
        direction.lines(both, _AT_80) + direction.lines(ipv4, _AT_80, " over ipv4"),
        # Selectors mean pods alone, and the blocks have nobody else in them.
        direction.lines(["ext"], _AT_80) if peers else [],
    )


def _case_of_ports(direction: Direction, ports: Sequence[Port]) -> str:
    opened = {at for port in ports for at in port.opens} if ports else _PORTS
    what = " and ".join(port.words for port in ports)
    passes = f"{direction.passes} {direction.at_ports}"
    return _case(
        f"{passes} {what} only" if ports else f"{passes} all ports if there are no items",
        {rule for port in ports for rule in port.rules} or {6},
        direction,
        _rule(direction, [direction.peer], [port.spec for port in ports]),
        direction.lines(direction.pods, opened),
        direction.lines(direction.pods, [at for port in ports for at in port.beside]),
    )


def _case(
    name: str, rules: Iterable[int], direction: Direction, rule: list[str], allowed: list[str], denied: list[str]
) -> str:
    """``direction`` is the one that the case is about, with its ``rule``; the other one has its usual rule."""
    other = _OTHER[direction]
    rule_of = {direction: rule, other: _rule(other, [other.peer], [_ITEM_80])}
    lines = [
        f"- name: {name}",
        f"  rules: {_list(map(str, sorted(rules)))}",
        "  policies:",
        "    x/base:",
        "      podSelector: {matchLabels: {pod: a}}",
        "      policyTypes: [Ingress, Egress]",
        *rule_of[INGRESS],
        *rule_of[EGRESS],
        "  allowed:",
        "    - x/b x/c y/* z/* -> x/b x/c y/* z/* at *",
        *(f"    - {line}" for line in other.lines(other.pods, _AT_80) + allowed),
        *(["  denied:"] if denied else []),
        *(f"    - {line}" for line in denied),
        "  rest: denied",
    ]
    return "".join(f"{line}\n" for line in lines)


def _rule(direction: Direction, peers: Sequence[tuple[str, ...]], items: Iterable[str]) -> list[str]:
    lines = [f"{direction.field}:", f"  - {direction.peers_field}:{'' if peers else ' []'}"]
    for first, *more in peers:
        lines += [f"      - {first}", *(f"        {line}" for line in more)]
    lines += [f"    ports: {_list(items)}", *(f"  - {each}" for each in direction.more)]
    return [f"      {line}" for line in lines]


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _places(pods: Iterable[str]) -> str:
    """With ``NAMESPACE/*`` for all three of a namespace."""
    text = " ".join(sorted(pods))
    for namespace in ("x", "y", "z"):
        text = text.replace(f"{namespace}/a {namespace}/b {namespace}/c", f"{namespace}/*")
    return text


def _ports(ports: Iterable[str]) -> str:
    """By protocol, with ``*`` for all of the matrix."""
    some = tuple(sorted(ports, key=_by_protocol))
    return "*" if some == _PORTS else " ".join(some)


def _by_protocol(at: str) -> tuple[int, int]:
    port, _slash, protocol = at.partition("/")
    return _PROTOCOLS.index(protocol), int(port)


if __name__ == "__main__":
    for name, text in files().items():
        (DIRECTORY / name).write_text(text)
