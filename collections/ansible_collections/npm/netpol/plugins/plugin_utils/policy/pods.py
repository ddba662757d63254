# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is a pod, and whose is an address (rules 29 to 31)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..model.problem import Problem
from ..model.ruleset import Family
from ..model.snapshot import Pod
from .cidr import canonical_address

_FINISHED = frozenset({"Succeeded", "Failed"})
_NOBODYS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing binds to them
_IGNORED = "the address is ignored for this pod"


@dataclass(frozen=True, slots=True)
class LivePod:
    """A pod that policies can select, with its own addresses in the kernel's spelling; it may have none yet."""

    pod: Pod
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.pod.namespace}/{self.pod.name}"

    def addresses(self, family: Family) -> tuple[str, ...]:
        return self.ipv4 if family is Family.IPV4 else self.ipv6


def live_pods(pods: Iterable[Pod]) -> tuple[list[LivePod], list[Problem]]:
    """The pods that policies can select, in the order given, and the addresses that were refused.

    A pod of the host's network is the node (rule 29); one that has finished may have lost its address to another
    (rule 30). Of several pods that claim one address one has it: a running one before others, then one that is not
    terminating, then the newest.
    """
    owners: dict[str, Pod] = {}
    problems: list[Problem] = []
    live = [pod for pod in pods if not pod.host_network and pod.phase not in _FINISHED]
    claimed = [_read_addresses(pod, problems) for pod in live]
    for pod, addresses in zip(live, claimed, strict=True):
        for address in addresses:
            other = owners.setdefault(address, pod)
            if other is not pod:
                owners[address] = max(other, pod, key=_claim)
    result = []
    for pod, addresses in zip(live, claimed, strict=True):
        own = [address for address in addresses if owners[address] is pod]
        if len(own) < len(addresses):
            others = {address: owners[address] for address in addresses if owners[address] is not pod}
            problems += [
                _problem(pod, f"{address} is claimed by {other.namespace}/{other.name} too")
                for address, other in others.items()
            ]
        result.append(
            LivePod(pod, tuple([each for each in own if ":" not in each]), tuple([each for each in own if ":" in each]))
        )
    return result, problems


def _read_addresses(pod: Pod, problems: list[Problem]) -> list[str]:
    """The pod's addresses, each once; what is refused is added to the problems."""
    addresses: dict[str, None] = {}
    for text in pod.ips:
        try:
            address = canonical_address(text)
        except ValueError as error:
            problems.append(_problem(pod, str(error)))
            continue
        if address in _NOBODYS:
            problems.append(_problem(pod, f"{text!r} is no pod's address"))
        else:
            addresses[address] = None
    return list(addresses)


def _claim(pod: Pod) -> tuple[bool, bool, str, str, str]:
    return pod.phase == "Running", not pod.terminating, pod.created, pod.namespace, pod.name


def _problem(pod: Pod, message: str) -> Problem:
    return Problem("Pod", pod.namespace, pod.name, "status.podIPs", message, _IGNORED)
