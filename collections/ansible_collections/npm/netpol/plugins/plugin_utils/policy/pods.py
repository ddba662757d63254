# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who is a pod, and whose is an address (rules 29 to 31)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..model.problem import Problem
from ..model.ruleset import Family
from ..model.snapshot import Pod
from .cidr import Address, parse_address

_FINISHED = frozenset({"Succeeded", "Failed"})
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

    def port_numbers(self, protocol: str, name: str) -> tuple[int, ...]:
        """All numbers that the pod's containers give this name (rule 18); none when it doesn't resolve (rule 17)."""
        return tuple(
            sorted({port.port for port in self.pod.ports if port.name == name and port.protocol.lower() == protocol})
        )


def live_pods(pods: Iterable[Pod]) -> tuple[list[LivePod], list[Problem]]:
    """The pods that policies can select, in the order given, and the addresses that were refused.

    A pod of the host's network is the node (rule 29); one that has finished may have lost its address to another
    (rule 30). Of several pods that claim one address one has it: a running one before others, then one that is not
    terminating, then the newest.
    """
    claims: dict[Address, list[Pod]] = {}
    problems = []
    live = [pod for pod in pods if not pod.host_network and pod.phase not in _FINISHED]
    claimed: list[list[Address]] = []
    for pod in live:
        addresses, refused = _read_addresses(pod)
        problems += refused
        claimed.append(addresses)
        for address in addresses:
            claims.setdefault(address, []).append(pod)
    owners = {address: max(each, key=_claim) for address, each in claims.items() if len(each) > 1}
    result = []
    for pod, addresses in zip(live, claimed, strict=True):
        own = []
        for address in addresses:
            owner = owners.get(address, pod)
            if owner is pod:
                own.append(address)
            else:
                message = f"{address} is claimed by {owner.namespace}/{owner.name} too"
                problems.append(_problem(pod, message))
        result.append(
            LivePod(
                pod,
                ipv4=tuple(str(address) for address in own if address.family is Family.IPV4),
                ipv6=tuple(str(address) for address in own if address.family is Family.IPV6),
            )
        )
    return result, problems


def _read_addresses(pod: Pod) -> tuple[list[Address], list[Problem]]:
    addresses: dict[Address, None] = {}
    problems = []
    for text in pod.ips:
        try:
            address = parse_address(text)
        except ValueError as error:
            problems.append(_problem(pod, str(error)))
            continue
        if address.number:
            addresses[address] = None
        else:
            problems.append(_problem(pod, f"{text!r} is no pod's address"))
    return sorted(addresses), problems


def _claim(pod: Pod) -> tuple[bool, bool, str, str, str]:
    return pod.phase == "Running", not pod.terminating, pod.created, pod.namespace, pod.name


def _problem(pod: Pod, message: str) -> Problem:
    return Problem("Pod", pod.namespace, pod.name, "status.podIPs", message, _IGNORED)
