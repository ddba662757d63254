# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How others lay out the same policies: restore text in the shape of Azure NPM's and of kube-router's rules.

Both are made here from what is known of their shape, for the cost of a packet's walk; nothing of their code is in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .policies import EGRESS_PORT, MONITORING, NODE, PORT, Policy, namespaces


@dataclass(frozen=True, slots=True)
class Layout:
    """Input of ``ipset restore`` and of ``iptables-restore --noflush``."""

    ipset: str
    iptables: str

    @property
    def rules(self) -> int:
        return sum(line.startswith("-A ") for line in self.iptables.splitlines())

    @property
    def sets(self) -> int:
        return sum(line.startswith("create ") for line in self.ipset.splitlines())


def azure_npm(policies: Sequence[Policy]) -> Layout:
    """A jump with set matches for each policy of the cluster, on every node; verdicts by marks.

    Favourably: only sets that rules use are made, and FORWARD jumps here first.
    """
    sets = {f"ns-{name}": addresses for name, addresses in namespaces(policies).items()}
    ingress, egress, chains = [], [], []
    for policy in policies:
        app, clients, own = f"app:{policy.app}", f"client:{policy.app}", f"ns-{policy.namespace}"
        sets |= {app: policy.targets, clients: policy.clients}
        into, out = (f"AZURE-NPM-{way}-{_hash(policy.name, 10)}" for way in ("INGRESS", "EGRESS"))
        ingress.append(f"-A AZURE-NPM-INGRESS{_matches(_azure, (app, own), 'dst')} -j {into}")
        egress.append(f"-A AZURE-NPM-EGRESS{_matches(_azure, (app, own), 'src')} -j {out}")
        port, to_clients = (f"-p tcp -m tcp --dport {each}" for each in (PORT, EGRESS_PORT))
        chains += [
            f"-A {into} {port}{_matches(_azure, (clients, own), 'src')} -j AZURE-NPM-INGRESS-ALLOW-MARK",
            f"-A {into} {port}{_matches(_azure, (f'ns-{MONITORING}',), 'src')} -j AZURE-NPM-INGRESS-ALLOW-MARK",
            f"-A {into} -j MARK --set-xmark 0x400/0x400",
            f"-A {out} {to_clients}{_matches(_azure, (clients, own), 'dst')} -j AZURE-NPM-ACCEPT",
            f"-A {out} -j MARK --set-xmark 0x800/0x800",
        ]
    rules = [
        "-I FORWARD 1 -m conntrack --ctstate NEW -j AZURE-NPM",
        "-A AZURE-NPM -j AZURE-NPM-INGRESS",
        "-A AZURE-NPM -j AZURE-NPM-EGRESS",
        "-A AZURE-NPM -j AZURE-NPM-ACCEPT",
        # The newest policy stands first.
        *reversed(ingress),
        "-A AZURE-NPM-INGRESS -m mark --mark 0x400/0x400 -j DROP",
        "-A AZURE-NPM-INGRESS-ALLOW-MARK -j MARK --set-xmark 0x200/0x200",
        "-A AZURE-NPM-INGRESS-ALLOW-MARK -j AZURE-NPM-EGRESS",
        *reversed(egress),
        "-A AZURE-NPM-EGRESS -m mark --mark 0x800/0x800 -j DROP",
        "-A AZURE-NPM-EGRESS -m mark --mark 0x200/0x200 -j AZURE-NPM-ACCEPT",
        "-A AZURE-NPM-ACCEPT -j ACCEPT",
        *chains,
    ]
    return Layout(_sets(_azure, "hash:net", sets), _table(rules))


def kube_router(policies: Sequence[Policy]) -> Layout:
    """A chain for each local pod that jumps to a chain for each of its policies; every policy's chain on every node."""
    sets: dict[str, tuple[str, ...]] = {}
    dispatch, firewalls, chains = [], [], []
    for policy in policies:
        chain = f"KUBE-NWPLCY-{_hash(policy.name, 16)}"
        pods, clients, sources = (f"{role} {policy.name}" for role in ("pods", "clients", "sources"))
        sets |= {pods: policy.targets, clients: policy.clients, sources: (*policy.clients, *namespaces(())[MONITORING])}
        into = f"-p tcp -m tcp --dport {PORT}{_match(_router, sources, 'src')}{_match(_router, pods, 'dst')}"
        out = f"-p tcp -m tcp --dport {EGRESS_PORT}{_match(_router, pods, 'src')}{_match(_router, clients, 'dst')}"
        for match in (into, out):
            chains += [
                f"-A {chain} {match} -j MARK --set-xmark 0x10000/0x10000",
                f"-A {chain} {match} -m mark --mark 0x10000/0x10000 -j RETURN",
            ]
        for address in policy.local:
            firewall = f"KUBE-POD-FW-{_hash(address, 16)}"
            dispatch += [f"-A KUBE-ROUTER-FORWARD {way} {address}/32 -j {firewall}" for way in ("-d", "-s")]
            firewalls += [
                f"-A {firewall} -m conntrack --ctstate INVALID -j DROP",
                f"-A {firewall} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                *(f"-A {firewall} {way} {address}/32 -j {chain}" for way in ("-d", "-s")),
                f"-A {firewall} -m mark ! --mark 0x10000/0x10000 -j REJECT",
                f"-A {firewall} -j MARK --set-xmark 0x0/0x10000",
                f"-A {firewall} -j MARK --set-xmark 0x20000/0x20000",
            ]
    rules = [
        "-I FORWARD 1 -j KUBE-ROUTER-FORWARD",
        *dispatch,
        "-A KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT",
        *firewalls,
        *chains,
    ]
    return Layout(_sets(_router, "hash:ip", sets), _table(rules))


def _azure(name: str) -> str:
    return f"azure-npm-{_hash(name, 20)}"


def _router(name: str) -> str:
    return f"KUBE-SET-{_hash(name, 16)}"


def _hash(text: str, length: int) -> str:
    return hashlib.sha256(f"{NODE} {text}".encode()).hexdigest()[:length]


def _match(spell: Callable[[str], str], name: str, side: str) -> str:
    return f" -m set --match-set {spell(name)} {side}"


def _matches(spell: Callable[[str], str], names: Iterable[str], side: str) -> str:
    return "".join(_match(spell, name, side) for name in names)


def _sets(spell: Callable[[str], str], kind: str, sets: Mapping[str, Iterable[str]]) -> str:
    lines = []
    for name, members in sets.items():
        # Small from the start: the tables of ten thousand sets would else not fit a small machine.
        lines.append(f"create {spell(name)} {kind} family inet hashsize 64")
        lines += [f"add {spell(name)} {member}" for member in members]
    return "".join(f"{line}\n" for line in lines)


def _table(rules: Sequence[str]) -> str:
    chains = dict.fromkeys(rule.split()[1] for rule in rules if rule.startswith("-A "))
    return "".join(f"{line}\n" for line in ("*filter", *(f":{chain} - [0:0]" for chain in chains), *rules, "COMMIT"))
