"""A kernel made of dictionaries: takes ipset and iptables restore text line by line, and judges connections.

It exists to stop between any two lines, which the real kernel does not let us do.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_table
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import IPV4, Kernel, Set

VARIANT = "nft"


@dataclass
class SimulatedKernel:
    sets: dict[str, dict] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=lambda: {"FORWARD": []})

    def run(self, tool: str, text: str) -> Iterator[None]:
        """Apply the text; yields after each change that packets can see."""
        if tool == "ipset":
            for line in text.splitlines():
                self._ipset(line.split())
                yield
        else:
            self._restore(text.splitlines())
            yield

    def _ipset(self, words: list[str]) -> None:
        match words:
            case ["create", name, kind, "family", _, "maxelem", maxelem]:
                assert name not in self.sets
                self.sets[name] = {"kind": kind, "maxelem": int(maxelem), "members": set()}
            case ["add", name, member]:
                self.sets[name]["members"].add(member)
                assert len(self.sets[name]["members"]) <= self.sets[name]["maxelem"], f"{name} is full"
            case ["del", name, member]:
                self.sets[name]["members"].discard(member)
            case ["destroy", name]:
                assert not any(f" {name} " in rule for rules in self.chains.values() for rule in rules), (
                    f"{name} in use"
                )
                del self.sets[name]
            case _:
                raise AssertionError(words)

    def _restore(self, lines: list[str]) -> None:
        chains = {name: list(rules) for name, rules in self.chains.items()}
        for line in lines:
            match line.split(" ", 2):
                case ["*filter"] | ["COMMIT"]:
                    pass
                case [declared, *_] if declared.startswith(":"):
                    chains[declared[1:]] = []
                case ["-A", name, rule]:
                    for used in re.findall(r"--match-set (\S+)", rule):
                        assert used in self.sets, f"{used} is not there"
                    chains[name].append(rule)
                case ["-I", name, rest]:
                    number, _, rule = rest.partition(" ")
                    chains[name].insert(int(number) - 1, rule)
                case ["-D", name, rule]:
                    chains[name].remove(rule)
                case ["-X", name]:
                    assert not chains[name]
                    used = [rule for rules in chains.values() for rule in rules if rule.endswith(f" {name}")]
                    assert not used, f"{name} in use: {used}"
                    del chains[name]
                case _:
                    raise AssertionError(line)
        self.chains = chains

    def read(self) -> Kernel:
        lines = [f":{name} - [0:0]" for name in self.chains]
        lines += [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        return Kernel(
            {
                name: Set(name, each["kind"], IPV4, each["maxelem"], frozenset(each["members"]))
                for name, each in self.sets.items()
            },
            {(VARIANT, IPV4): parse_table(lines)},
        )

    def allows(self, source: str, destination: str, port: int) -> bool:
        return self._walk("FORWARD", source, destination, port) != "DROP"

    def _walk(self, chain: str, source: str, destination: str, port: int) -> str:
        for rule in self.chains[chain]:
            if not self._matches(rule, source, destination, port):
                continue
            action, target = rule.split()[-2:]
            if target in ("DROP", "RETURN"):
                return target
            verdict = self._walk(target, source, destination, port)
            if verdict == "DROP" or action == "-g":
                return verdict
        return "RETURN"

    def _matches(self, rule: str, source: str, destination: str, port: int) -> bool:
        if "ctstate" in rule:
            return False
        for negated, option, network in re.findall(r"(! )?-([sd]) (\S+/\d+)", rule):
            address = ipaddress.ip_address(source if option == "s" else destination)
            if (address in ipaddress.ip_network(network)) == bool(negated):
                return False
        if (wanted := re.search(r"--dport (\d+)", rule)) and int(wanted[1]) != port:
            return False
        for name, side in re.findall(r"--match-set (\S+) (src|dst)", rule):
            address = ipaddress.ip_address(source if side == "src" else destination)
            if not any(address in ipaddress.ip_network(member) for member in self.sets[name]["members"]):
                return False
        return True
