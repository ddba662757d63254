# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of NetworkPolicy a case makes use of, read off its policies, steps and flows: the rows of the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import hook

from .case import Case, Step
from .flow import Flow

_Spec = Mapping[str, Any]


_Uses = Callable[[Case], bool]


def features(case: Case) -> frozenset[str]:
    """Those of :data:`NAMES` that the case makes use of."""
    return frozenset(name for name, uses in _OF.items() if uses(case))


def _spec(uses: Callable[[_Spec], bool]) -> _Uses:
    return lambda case: any(uses(policy["spec"] or {}) for step in case.steps for policy in step.policies)


def _flow(uses: Callable[[Flow], bool]) -> _Uses:
    return lambda case: any(uses(flow) for step in case.steps for flow in step.expected)


def _change(of: Callable[[Step], Any]) -> _Uses:
    return lambda case: any(of(one) != of(other) for one, other in pairwise(case.steps))


def _rules(spec: _Spec) -> Iterator[tuple[str, _Spec]]:
    """Each rule with the name of its peers' field."""
    for direction, field in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or ():
            yield field, rule


def _peers(spec: _Spec) -> Iterator[_Spec]:
    return (peer for field, rule in _rules(spec) for peer in rule.get(field) or ())


def _ports(spec: _Spec) -> Iterator[_Spec]:
    return (port for _field, rule in _rules(spec) for port in rule.get("ports") or ())


def _expressions(spec: _Spec) -> Iterator[_Spec]:
    selectors = [spec.get("podSelector"), *(peer.get(name) for peer in _peers(spec) for name in _SELECTORS)]
    return (each for selector in selectors if selector for each in selector.get("matchExpressions") or ())


_SELECTORS = ("podSelector", "namespaceSelector")


def _has_operator(*operators: str) -> Callable[[_Spec], bool]:
    return lambda spec: any(each.get("operator") in operators for each in _expressions(spec))


def _has_peer(*fields: str) -> Callable[[_Spec], bool]:
    return lambda spec: any({name for name in peer if peer[name] is not None} == set(fields) for peer in _peers(spec))


def _is_isolated(direction: str) -> Callable[[_Spec], bool]:
    return lambda spec: (
        direction in (spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]))
    )


def _is_any_peer(spec: _Spec) -> bool:
    return any(not rule.get(field) for field, rule in _rules(spec))


def _labels(step: Step) -> Any:
    return [pod.labels for pod in step.spec.pods], [namespace.labels for namespace in step.spec.namespaces]


def _names(step: Step) -> Any:
    return [pod.key for pod in step.spec.pods], [namespace.name for namespace in step.spec.namespaces]


def _has_port(field: str, kind: type) -> _Uses:
    return _spec(lambda spec: any(isinstance(port.get(field), kind) for port in _ports(spec)))


def _has_except(spec: _Spec) -> bool:
    return any((peer.get("ipBlock") or {}).get("except") for peer in _peers(spec))


# In the order of the report.
_OF: Mapping[str, _Uses] = {
    "isolation for ingress": _spec(_is_isolated("Ingress")),
    "isolation for egress": _spec(_is_isolated("Egress")),
    "any peer": _spec(_is_any_peer),
    "podSelector": _spec(_has_peer("podSelector")),
    "namespaceSelector": _spec(_has_peer("namespaceSelector")),
    "podSelector and namespaceSelector": _spec(_has_peer(*_SELECTORS)),
    "In, Exists": _spec(_has_operator("In", "Exists")),
    "NotIn, DoesNotExist": _spec(_has_operator("NotIn", "DoesNotExist")),
    "ipBlock": _spec(_has_peer("ipBlock")),
    "ipBlock with except": _spec(_has_except),
    "port numbers": _has_port("port", int),
    "endPort": _has_port("endPort", int),
    "named ports": _has_port("port", str),
    "UDP": _flow(lambda flow: flow.protocol == "UDP"),
    "SCTP": _flow(lambda flow: flow.protocol == "SCTP"),
    "ICMP and other protocols": _flow(lambda flow: flow.protocol not in ("TCP", "UDP", "SCTP")),
    "IPv6": _flow(lambda flow: flow.family == "ipv6"),
    "nodes and outside": _flow(lambda flow: "/" not in flow.source or "/" not in flow.target),
    "Services": _flow(lambda flow: " " in flow.target),
    "fragments, and downloads in large segments": _flow(lambda flow: bool(flow.how)),
    "forged nodes' addresses": _flow(lambda flow: bool(flow.claims)),
    "our jump behind kube-proxy's chains": lambda case: case.steps[0].enforcement.hook != hook.FIRST,
    "connections that last": lambda case: any(step.lasting for step in case.steps),
    "policies that come, change and go": _change(lambda step: step.policies),
    "labels that change": _change(_labels),
    "pods and namespaces that come and go": _change(_names),
    "what the API server refuses": lambda case: case.invalid,
}
NAMES = tuple(_OF)
