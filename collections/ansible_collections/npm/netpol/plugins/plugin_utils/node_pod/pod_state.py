# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the state of a helper pod means, in words; pods and nodes are as the API gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .manifest import CONTAINER

_LONGEST = 500
# Nothing that happens on the node makes these pass.
_HOPELESS = frozenset(
    {"CreateContainerConfigError", "ErrImageNeverPull", "InvalidImageName", "SignatureValidationFailed"}
)
# The kubelet tries these again, on a node that has a lot to do with success.
_FAILING = frozenset(
    {"CreateContainerError", "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "RunContainerError"}
)


class Phase(Enum):
    """How far a pod is, for us."""

    UNSEEN = "no kubelet has taken it up yet"
    STARTING = "it starts"
    FAILING = "it failed to start, and is tried again"
    RUNNING = "it runs"
    HOPELESS = "it will not start"
    ENDED = "it ended, or is about to"


@dataclass(frozen=True, slots=True)
class PodState:
    phase: Phase
    # Why, in the API's words; may be empty.
    reason: str = ""


def of(pod: Mapping[str, Any]) -> PodState:
    """The state of a pod."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return PodState(Phase.ENDED, _disruption(status) or "it is being deleted")
    if status.get("phase") in ("Failed", "Succeeded"):
        return PodState(Phase.ENDED, _words(status) or _disruption(status) or f"its phase is {status['phase']}")
    containers = [each for each in status.get("containerStatuses") or [] if each.get("name") == CONTAINER]
    state = (containers[0].get("state") or {}) if containers else {}
    if "terminated" in state:
        return PodState(Phase.ENDED, _words(state["terminated"]) or "its container ended")
    if "running" in state:
        return PodState(Phase.RUNNING)
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _HOPELESS:
        phase = Phase.HOPELESS
    elif waiting.get("reason") in _FAILING:
        phase = Phase.FAILING
    elif waiting or status.get("startTime"):
        phase = Phase.STARTING
    else:
        phase = Phase.UNSEEN
    return PodState(phase, _words(waiting or status))


def is_unheard_of(pod: Mapping[str, Any]) -> bool:
    """Whether the node of a pod that runs has been silent: the cluster takes Ready from such pods, and only it can.

    Helper pods have no readiness probe, by which their containers could.
    """
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "False" for each in conditions)


def not_ready(node: Mapping[str, Any]) -> str:
    """Why a node cannot start a pod; empty for one that can."""
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return _words(condition) or "its Ready condition is not True"
    return ""


def _disruption(status: Mapping[str, Any]) -> str:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True":
            return _words(condition)
    return ""


def _words(told: Mapping[str, Any]) -> str:
    reason, message = told.get("reason") or "", " ".join(str(told.get("message") or "").split())
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    return ": ".join(filter(None, (reason, message)))
