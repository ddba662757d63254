# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cases as data: reading ``suites/*/*.yaml`` (``docs/conformance.md`` describes the format)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import hook
from lab.spec import LabSpec, Namespace, Pod

from . import suite as suites
from .flow import Flow, FlowError, Matrix, read
from .suite import Suite, SuiteError

Labels = Mapping[str, str]
_OF_FLOWS = {"allowed", "denied", "rest", "lasting", "trying"}
_OF_STEPS = {"does", "run", "policies", "labels", "pods", "namespaces", *_OF_FLOWS}
_OF_ENFORCEMENT = {"hook", "always_allowed_sources"}
_OF_CASES = _OF_STEPS - {"does", "run"} | {"name", "rules", "invalid", "then", *_OF_ENFORCEMENT}
_VERDICTS = {"allowed": True, "denied": False}


@dataclass(frozen=True, slots=True)
class Enforcement:
    """How the product is told to enforce: the role's variables of these names."""

    hook: str = hook.FIRST
    always_allowed_sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The cluster and its policies after a change, and whether each flow passes then. ``does``: the change in words.

    ``begins`` are flows that begin here and go on through all later steps, ``tries`` those that are sent here in vain,
    without pause, until the next step lets them through; ``lasting`` are those of both kinds of earlier steps.
    ``in_force``: the step that the product has last run for; None: this one.
    """

    does: str
    spec: LabSpec
    policies: tuple[Mapping[str, Any], ...]
    expected: Mapping[Flow, bool]
    enforcement: Enforcement = Enforcement()
    begins: tuple[Flow, ...] = ()
    tries: tuple[Flow, ...] = ()
    lasting: tuple[Flow, ...] = ()
    in_force: Step | None = None

    def over(self, families: Collection[str]) -> Step:
        """With the flows of these families only."""
        return replace(
            self,
            expected={flow: verdict for flow, verdict in self.expected.items() if flow.family in families},
            begins=tuple(flow for flow in self.begins if flow.family in families),
            tries=tuple(flow for flow in self.tries if flow.family in families),
            lasting=tuple(flow for flow in self.lasting if flow.family in families),
        )


@dataclass(frozen=True, slots=True)
class Case:
    """``rules``: the numbers of those that it shows. ``invalid``: has what the API server refuses."""

    suite: str
    file: str
    name: str
    rules: tuple[int, ...]
    invalid: bool
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        return f"{self.suite}/{self.file}: {self.name}"


@cache
def all_cases() -> tuple[Case, ...]:
    """Every case, by suite and file and in the file's order. Raises :class:`SuiteError`."""
    return tuple(case for suite in suites.all_suites() for case in _cases_of(suite))


def cases_of(names: Iterable[str]) -> tuple[Case, ...]:
    """The cases of the suites of these names; no others are read. Raises :class:`SuiteError` and LookupError."""
    return tuple(case for name in names for case in _cases_of(suites.named(name)))


def _cases_of(suite: Suite) -> tuple[Case, ...]:
    return tuple(case for file in suite.files for case in read_file(suite, file))


def read_file(suite: Suite, file: Path) -> tuple[Case, ...]:
    """The cases of one file. Raises :class:`SuiteError`."""
    return tuple(_case(suite, file, item) for item in suites.load(file))


def _case(suite: Suite, file: Path, item: Mapping[str, Any]) -> Case:
    where = f"{suite.name}/{file.stem}: {item.get('name')}"
    _check_fields(where, item, _OF_CASES)
    state = _State(suite, where, _enforcement(where, item))
    first = {key: value for key, value in item.items() if key in _OF_STEPS}
    case = Case(
        suite=suite.name,
        file=file.stem,
        name=item["name"],
        rules=tuple(item["rules"]),
        invalid=item.get("invalid", False),
        steps=tuple(state.step(change) for change in (first, *item.get("then", ()))),
    )
    if {verdict for step in case.steps for verdict in step.expected.values()} != {True, False}:
        raise SuiteError(f"{where}: says nothing unless something is allowed and something denied")
    if case.steps[-1].begins or case.steps[-1].tries:
        raise SuiteError(f"{where}: what begins in the last step outlasts none")
    return case


def _enforcement(where: str, item: Mapping[str, Any]) -> Enforcement:
    found = Enforcement(item.get("hook", hook.FIRST), tuple(item.get("always_allowed_sources", ())))
    if found.hook not in hook.HOOKS:
        raise SuiteError(f"{where}: hook is one of {', '.join(hook.HOOKS)}")
    return found


def _check_fields(where: str, item: Mapping[str, Any], known: set[str]) -> None:
    if unknown := item.keys() - known:
        raise SuiteError(f"{where}: unknown fields {sorted(unknown)}")


class _State:
    """What the steps so far have made of a suite's cluster. What a step names takes the place of what was there under
    that name; null takes it away."""

    def __init__(self, suite: Suite, where: str, enforcement: Enforcement) -> None:
        self._suite = suite
        self._enforcement = enforcement
        self._where = where
        self._policies: dict[str, Any] = {}
        self._labels: dict[str, Labels] = {}
        self._pods = {pod.key: pod for pod in suite.spec.pods}
        self._namespaces = {each.name: each for each in suite.spec.namespaces}
        self._lasting: tuple[Flow, ...] = ()
        self._last: Step | None = None

    def step(self, change: Mapping[str, Any]) -> Step:
        _check_fields(self._where, change, _OF_STEPS)
        made = {
            key: item and suites.pod(self._suite.name, key, item, self._suite.listen)
            for key, item in (change.get("pods") or {}).items()
        }
        named = {
            key: None if item is None else Namespace(key, item)
            for key, item in (change.get("namespaces") or {}).items()
        }
        self._put(self._pods, made)
        self._put(self._namespaces, named)
        self._put(self._policies, change.get("policies") or {})
        self._put(self._labels, change.get("labels") or {})
        if strange := self._labels.keys() - self._pods.keys() - self._namespaces.keys():
            raise SuiteError(f"{self._where}: labels of {sorted(strange)}, which are not there")
        pods, namespaces = tuple(self._labelled_pods()), tuple(self._labelled_namespaces())
        matrix = Matrix.of(self._suite.matrix, (pod.key for pod in pods if pod.has_network))
        last = self._last
        begins, tries = (tuple(self._flows(change.get(field), matrix)) for field in ("lasting", "trying"))
        if any(flow.protocol != "UDP" for flow in tries):
            raise SuiteError(f"{self._where}: only UDP is sent whether or not it comes through")
        known = [*((flow, True) for flow in begins), *((flow, False) for flow in tries)]
        known += [(flow, True) for flow in (last.tries if last else ())]
        self._last = Step(
            does=change.get("does", ""),
            spec=replace(self._suite.spec, pods=pods, namespaces=namespaces),
            policies=tuple(policy(key, item) for key, item in self._policies.items()),
            expected=self._expected(change, matrix, known),
            enforcement=self._enforcement,
            begins=begins,
            tries=tries,
            lasting=self._lasting,
            in_force=None if last is None or change.get("run", True) else last.in_force or last,
        )
        self._lasting += begins + tries
        return self._last

    def _put(self, known: dict[str, Any], changes: Mapping[str, Any]) -> None:
        for key, item in changes.items():
            if item is None and key not in known:
                raise SuiteError(f"{self._where}: {key} is not there to take away")
            if item is None:
                del known[key]
            else:
                known[key] = item

    def _labelled_pods(self) -> Iterator[Pod]:
        for key, pod in self._pods.items():
            yield replace(pod, labels=self._labels.get(key, pod.labels))

    def _labelled_namespaces(self) -> Iterator[Namespace]:
        for name, namespace in self._namespaces.items():
            yield replace(namespace, labels=self._labels.get(name, namespace.labels))

    def _expected(
        self, change: Mapping[str, Any], matrix: Matrix, known: list[tuple[Flow, bool]]
    ) -> Mapping[Flow, bool]:
        """``known``: what follows from flows that last."""
        expected: dict[Flow, bool] = {}
        told = [(flow, _VERDICTS[word]) for word in _VERDICTS for flow in self._flows(change.get(word), matrix)]
        for flow, verdict in (*told, *known):
            if expected.setdefault(flow, verdict) != verdict:
                raise SuiteError(f"{self._where}: {flow} is both allowed and denied")
        if rest := change.get("rest"):
            for flow in matrix.flows():
                expected.setdefault(flow, _VERDICTS[rest])
        return expected

    def _flows(self, lines: list[str] | None, matrix: Matrix) -> Iterator[Flow]:
        for line in lines or ():
            try:
                yield from read(line, matrix)
            except FlowError as error:
                raise SuiteError(f"{self._where}: {error}") from error


def policy(key: str, spec: Any) -> dict[str, Any]:
    """The NetworkPolicy ``namespace/name`` as the API has it."""
    namespace, _slash, name = key.partition("/")
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}
