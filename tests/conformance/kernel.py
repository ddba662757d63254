# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps of cases on real packets: the whole product on a lab, each entered from the state that the one before left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import Options
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Settings
from lab.cluster import Cluster
from lab.lab import Lab
from lab.probe import Answer, LastingFlows, Probe
from lab.product import Product

from .case import Enforcement, Step
from .flow import Flow
from .kube_proxy import address, asked_at, ways
from .suite import narrowed

# A port that nobody answers on refuses, which says that the packet came through.
_CAME_THROUGH = "refused"
# The second: the connection is there, and what it should bring is not.
_DROPPED = ("timeout", "silent")
_QUICK = 0.2
# Bytes: more than one packet takes, and a download that is long enough to meet a link's MTU.
_PAYLOADS = {"fragments": 3000, "bulk": 1 << 17}


@dataclass(frozen=True, slots=True)
class Seen:
    """``passes``: by flow; ``answers``: what the prober heard, to print beside it.

    ``stopped``: of the flows that last, those that no longer do. ``left_out``: what could not be asked, and why.
    ``rejected``: denied connections that were told so, where they must meet silence (rule 38), and how.
    """

    passes: Mapping[Flow, bool]
    answers: Mapping[Flow, str]
    stopped: tuple[Flow, ...] = ()
    left_out: Mapping[Flow, str] = field(default_factory=dict)
    rejected: Mapping[Flow, str] = field(default_factory=dict)


class OnKernel:
    """Takes one lab of a suite's cluster from step to step. ``converge`` puts in force what its API says; without one
    the product's steps run in this process."""

    def __init__(self, lab: Lab, converge: Callable[[Enforcement], object] | None = None) -> None:
        self._lab = lab
        self._converge = converge or partial(_converge, lab)
        self._validates = True
        self._lasting: list[tuple[tuple[Flow, ...], LastingFlows]] = []

    def enforce(self, step: Step, *, invalid: bool = False) -> None:
        """Make the API's objects the step's, then converge. What was there before goes in the same step.

        ``invalid``: let the API take what it would refuse.
        """
        self._become(Cluster.of(narrowed(step.spec, self._lab.cluster.variant, self._lab.cluster.families)))
        if self._validates == invalid:
            self._lab.api.settings(validate=not invalid)
            self._validates = not invalid
        wanted = {_key(policy) for policy in step.policies}
        head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        for old in self._lab.api.list("networkpolicies"):
            if _key(old) not in wanted:
                self._lab.delete({**old, **head})
        for policy in step.policies:
            self._lab.apply(policy)
        if step.in_force is None:
            self._converge(step.enforcement)

    def _become(self, wanted: Cluster) -> None:
        """A pod that only gets other labels stays: what is new, moves or goes is made anew."""
        for key, pod in wanted.pods.items():
            now = self._lab.cluster.pods.get(key)
            if now is not None and now.labels != pod.labels and replace(now, labels=pod.labels) == pod:
                self._lab.relabel_pod(key, pod.labels)
        self._lab.become(wanted)

    def ask(self, expected: Mapping[Flow, bool]) -> Seen:
        """Send all flows at once that can be sent here.

        What is not as expected is asked again, with more patience: a machine that is busy elsewhere proves nothing.
        """
        left_out = {flow: why for flow in expected if (why := impossible(self._lab.cluster, flow))}
        seen = self._ask([flow for flow in expected if flow not in left_out], timeout=_QUICK)
        if doubtful := [flow for flow in seen.passes if seen.passes[flow] != expected[flow] or flow in seen.rejected]:
            again = self._ask(doubtful)
            seen = Seen({**seen.passes, **again.passes}, {**seen.answers, **again.answers}, rejected=again.rejected)
        return replace(seen, left_out=left_out)

    def begin(self, step: Step) -> None:
        """Begin the flows of this step that later ones have to let pass. Raises LabError when one gets no data."""
        for flows, is_tried in ((step.begins, False), (step.tries, True)):
            if flows:
                probes = [self._probe(flow) for flow in flows]
                self._lasting.append((flows, self._lab.flows(probes, answered=not is_tried)))

    def stopped(self) -> tuple[Flow, ...]:
        """The flows that were begun and have no more data."""
        return tuple(
            flow
            for flows, running in self._lasting
            for flow, goes_on in zip(flows, running.go_on(), strict=True)
            if not goes_on
        )

    def end(self) -> None:
        """End the flows that were begun, and let the nodes forget: what has no ports is one connection to the next."""
        while self._lasting:
            _flows, running = self._lasting.pop()
            running.stop()
        for node in self._lab.nodes.values():
            node.run_tool(["/usr/sbin/conntrack", "-F"])

    def _ask(self, flows: Sequence[Flow], **options: float) -> Seen:
        answers = self._lab.probe([self._probe(flow) for flow in flows], **options)
        heard = dict(zip(flows, answers, strict=True))
        return Seen(
            {flow: _passed(answer) for flow, answer in heard.items()},
            {flow: str(answer) for flow, answer in heard.items()},
            rejected={
                flow: str(answer)
                for flow, answer in heard.items()
                if not _passed(answer) and answer.reason not in _DROPPED
            },
        )

    def _probe(self, flow: Flow) -> Probe:
        cluster = self._lab.cluster
        asked, port = asked_at(cluster, flow)
        claimed = address(cluster, flow.claims, flow.family) if flow.claims else ""
        return Probe(flow.sender, asked, port, flow.protocol, claimed, bool(claimed), _PAYLOADS.get(flow.how, 0))


def impossible(cluster: Cluster, flow: Flow) -> str:
    """Why no packets can show what becomes of a flow; empty where they can. The packet walk judges it alone."""
    if flow.protocol == "ND":
        return "routed pods' neighbour discovery ends at their node and is not forwarded"
    if (
        flow.claims
        and flow.family == "ipv4"
        and any(leg.node == flow.claims for way in ways(cluster, flow) for leg in way)
    ):
        return "Linux drops IPv4 packets that come in with the machine's own address, before FORWARD"
    return ""


def _converge(lab: Lab, enforcement: Enforcement) -> None:
    settings = Settings(always_allowed_sources=enforcement.always_allowed_sources)
    Product(lab, settings, Options(hook=enforcement.hook)).converge()


def _passed(answer: Answer) -> bool:
    return answer.ok or answer.reason == _CAME_THROUGH


def _key(policy: Mapping[str, Mapping[str, str]]) -> tuple[str, str]:
    return policy["metadata"]["namespace"], policy["metadata"]["name"]
