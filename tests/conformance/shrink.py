# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making a snapshot that shows a fault small: what can go while the fault stays, goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot


def shrink(snapshot: Snapshot, is_faulty: Callable[[Snapshot], bool]) -> Snapshot:
    """The smallest faulty one that leaving out one thing after the other leads to."""
    while True:
        for smaller in _smaller_snapshots(snapshot):
            if is_faulty(smaller):
                snapshot = smaller
                break
        else:
            return snapshot


def _smaller_snapshots(snapshot: Snapshot) -> Iterator[Snapshot]:
    policies = snapshot.network_policies
    for number, policy in enumerate(policies):
        yield replace(snapshot, network_policies=policies[:number] + policies[number + 1 :])
        for spec in _smaller(policy.spec):
            changed = replace(policy, spec=spec)
            yield replace(snapshot, network_policies=(*policies[:number], changed, *policies[number + 1 :]))
    for number, pod in enumerate(snapshot.pods):
        around = snapshot.pods[:number], snapshot.pods[number + 1 :]
        yield replace(snapshot, pods=(*around[0], *around[1]))
        for labels in _smaller(pod.labels):
            yield replace(snapshot, pods=(*around[0], replace(pod, labels=labels), *around[1]))
        for index in range(len(pod.ports)):
            ports = pod.ports[:index] + pod.ports[index + 1 :]
            yield replace(snapshot, pods=(*around[0], replace(pod, ports=ports), *around[1]))


def _smaller(value: Any) -> Iterator[Any]:
    """The same data without one of its parts, at any depth."""
    if isinstance(value, dict):
        for key, part in value.items():
            rest = {each: other for each, other in value.items() if each != key}
            yield rest
            for smaller in _smaller(part):
                yield {each: smaller if each == key else other for each, other in value.items()}
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for smaller in _smaller(part):
                yield [*value[:index], smaller, *value[index + 1 :]]
