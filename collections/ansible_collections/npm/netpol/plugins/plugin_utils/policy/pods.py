# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is a pod, and whose is an address (rules 29 to 31)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from itertools import chain
from typing import NamedTuple

from ..model.problem import Problem
from ..model.ruleset import Family
from ..model.snapshot import Pod
from .cidr import are_plain_addresses, parse_address

_FINISHED = frozenset({"Succeeded", "Failed"})
_IGNORED = "the address is ignored for this pod"


class LivePod(NamedTuple):
    """A pod that policies can select, with its own addresses in the kernel's spelling; it may have none yet."""

    pod: Pod
    own: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"

    def addresses(self, family: Family) -> list[str]:
        if family is Family.IPV4:
            return [address for address in self.own if ":" not in address]
        return [address for address in self.own if ":" in address]


def live_pods(pods: Iterable[Pod]) -> tuple[list[LivePod], list[Problem]]:
    """The pods that policies can select, in the order given, and the addresses that were refused.

    A pod of the host's network is the node (rule 29); one that has finished may have lost its address to another
    (rule 30). Of several pods that claim one address one has it: a running one before others, then one that is not
    terminating, then the newest.
    """
    problems: list[Problem] = []
    live = [pod for pod in pods if not pod.host_network and pod.phase not in _FINISHED]
    if _are_plain([address for pod in live for address in pod.ips]):
        return [LivePod(pod, pod.ips) for pod in live], []
    claimed = [pod.ips if _are_plain(pod.ips) else _read_addresses(pod, problems) for pod in live]
    contested = {address for address, count in Counter(chain.from_iterable(claimed)).items() if count > 1}
    owners: dict[str, Pod] = {}
    for pod, addresses in zip(live, claimed, strict=True) if contested else ():
        for address in contested.intersection(addresses):
            owners[address] = max(owners.get(address, pod), pod, key=_claim)
    result = []
    for pod, addresses in zip(live, claimed, strict=True):
        if contested.isdisjoint(addresses):
            result.append(LivePod(pod, addresses))
            continue
        lost = {address for address in contested.intersection(addresses) if owners[address] is not pod}
        problems += [
            _problem(pod, f"{address} is claimed by {owners[address].namespace}/{owners[address].name} too")
            for address in addresses
            if address in lost
        ]
        result.append(LivePod(pod, tuple(address for address in addresses if address not in lost)))
    return result, problems


def _are_plain(texts: Collection[str]) -> bool:
    """Whether there is nothing about these addresses to be read, and none that stands twice: nearly always."""
    return len(set(texts)) == len(texts) and are_plain_addresses(texts)


def _read_addresses(pod: Pod, problems: list[Problem]) -> tuple[str, ...]:
    """The pod's addresses, each once; what is refused is added to the problems."""
    addresses: dict[str, None] = {}
    for text in pod.ips:
        try:
            address = parse_address(text)
        except ValueError as error:
            problems.append(_problem(pod, str(error)))
            continue
        if address.number:
            addresses[str(address)] = None
        else:
            problems.append(_problem(pod, f"{text!r} is no pod's address"))
    return tuple(addresses)


def _claim(pod: Pod) -> tuple[bool, bool, str, str, str]:
    return pod.phase == "Running", not pod.terminating, pod.created, pod.namespace, pod.name


def _problem(pod: Pod, message: str) -> Problem:
    return Problem("Pod", pod.namespace, pod.name, "status.podIPs", message, _IGNORED)
