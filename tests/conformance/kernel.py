# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cases on real packets: the whole product on a lab, each case entered from the state that the one before left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product as every

from lab.lab import Lab
from lab.probe import Answer, Probe
from lab.product import Product

from .case import FAMILIES, Case, Flow
from .offline import address, cluster_of

# Of ICMP the lab asks for an echo; a port that nobody answers on refuses, which says that the packet came through.
_CAME_THROUGH = "refused"
_DROPPED = "timeout"
_QUICK = 0.2
# Of a matrix.
_SERVICES = (("TCP", 80), ("TCP", 81), ("UDP", 80), ("SCTP", 80), ("ICMP", 0))
_MATRIX_NAMESPACES = ("x", "y", "z")


class RejectedError(AssertionError):
    """A denied connection was told so, where it must meet silence (rule 38)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """``passes``: by flow; ``answers``: what the prober heard, to print beside it."""

    passes: Mapping[Flow, bool]
    answers: Mapping[Flow, str]


class Cases:
    """Runs cases on one lab of the cases' cluster, one after the other."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._product = Product(lab)
        self._pods = {key: pod.labels for key, pod in lab.cluster.pods.items()}
        self._namespaces = {name: namespace.labels for name, namespace in lab.cluster.namespaces.items()}
        self._validates = True

    def enforce(self, case: Case) -> None:
        """Make the API's objects the case's, then converge. What the case before had goes in the same step."""
        self._label(case)
        if self._validates == case.invalid:
            self._lab.api.settings(validate=not case.invalid)
            self._validates = not case.invalid
        wanted = {_key(policy) for policy in case.policies}
        head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        for old in self._lab.api.list("networkpolicies"):
            if _key(old) not in wanted:
                self._lab.delete({**old, **head})
        for policy in case.policies:
            self._lab.apply(policy)
        self._product.converge()

    def _label(self, case: Case) -> None:
        for key, labels in self._pods.items():
            if self._lab.cluster.pods[key].labels != (wanted := case.labels.get(key, labels)):
                self._lab.relabel_pod(key, wanted)
        for name, labels in self._namespaces.items():
            if self._lab.cluster.namespaces[name].labels != (wanted := case.labels.get(name, labels)):
                self._lab.relabel_namespace(name, wanted)

    def ask(self, expected: Mapping[Flow, bool]) -> Seen:
        """Send all flows at once. Raises :class:`RejectedError` where a denial is no silence.

        What is not as expected is asked again, with more patience: a machine that is busy elsewhere proves nothing.
        """
        seen = self._ask(list(expected), timeout=_QUICK)
        if doubtful := [flow for flow, passes in expected.items() if seen.passes[flow] != passes]:
            again = self._ask(doubtful)
            return Seen({**seen.passes, **again.passes}, {**seen.answers, **again.answers})
        return seen

    def _ask(self, flows: Sequence[Flow], **options: float) -> Seen:
        answers = self._lab.probe([self._probe(flow) for flow in flows], **options)
        for flow, answer in zip(flows, answers, strict=True):
            if not _passed(answer) and answer.reason != _DROPPED:
                raise RejectedError(f"{flow}: {answer}")
        return Seen(
            {flow: _passed(answer) for flow, answer in zip(flows, answers, strict=True)},
            {flow: str(answer) for flow, answer in zip(flows, answers, strict=True)},
        )

    def _probe(self, flow: Flow) -> Probe:
        if flow.target.startswith("service "):
            ips = self._lab.service_ips(flow.target.removeprefix("service "))
            return Probe(flow.source, ips[FAMILIES.index(flow.family)], flow.port, flow.protocol)
        return Probe(flow.source, address(self._lab.cluster, flow.target, flow), flow.port, flow.protocol)


def matrix(case: Case) -> list[Flow]:
    """Every pod of the three equal namespaces to every other and to outside, and outside and the nodes to every pod."""
    at = cluster_of(case)
    pods = [key for key, pod in at.pods.items() if pod.namespace in _MATRIX_NAMESPACES and pod.has_network]
    pairs = [*every([*pods, "ext", *at.nodes], pods), *every(pods, ["ext"])]
    return [
        Flow(source, target, port, protocol, family)
        for (source, target), (protocol, port), family in every(pairs, _SERVICES, FAMILIES)
        if source != target
    ]


def _passed(answer: Answer) -> bool:
    return answer.ok or answer.reason == _CAME_THROUGH


def _key(policy: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    return policy["metadata"]["namespace"], policy["metadata"]["name"]
