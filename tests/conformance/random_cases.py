# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random policies and labels on the cluster of the suite ``rules``, as cases whose verdicts are the oracle's: so that a
lab of that cluster can show whether the kernel agrees."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from . import generate, offline, suite
from .case import Case, Step, policy
from .flow import Matrix

SUITE = "rules"


def random_case(seed: int) -> Case:
    """Every pod to every other, outside and the nodes to every pod."""
    random = Random(seed)  # noqa: S311 (a test's dice)
    of = suite.named(SUITE)
    pods = tuple(replace(each, labels=generate.pod_labels(random)) for each in of.spec.pods)
    namespaces = tuple(replace(each, labels=generate.namespace_labels(random)) for each in of.spec.namespaces)
    policies = tuple(policy(f"{each.namespace}/{each.name}", dict(each.spec)) for each in generate.policies(random))
    step = Step("", replace(of.spec, pods=pods, namespaces=namespaces), policies, {})
    matrix = Matrix.of(of.matrix, (pod.key for pod in pods if pod.has_network))
    return Case(
        suite=SUITE,
        file="random",
        name=str(seed),
        rules=(),
        invalid=True,
        steps=(replace(step, expected=offline.by_oracle(step, list(matrix.flows()))),),
    )
