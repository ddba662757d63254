# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a kubelet writes into a pod's status, as documents."""

from __future__ import annotations

import datetime
from typing import Any

Object = dict[str, Any]
EVICTED = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 90Mi. "
DEADLINE = "Pod was active on the node longer than the specified deadline"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def condition(kind: str, *, holds: bool, reason: str = "", message: str = "") -> Object:
    more = {name: text for name, text in (("reason", reason), ("message", message)) if text}
    return {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": now(), **more}


def unschedulable(nodes: int) -> Object:
    message = f"0/{nodes} nodes are available: {nodes} node(s) didn't match Pod's node affinity/selector."
    return {
        "phase": "Pending",
        "conditions": [condition("PodScheduled", holds=False, reason="Unschedulable", message=message)],
    }


def waiting(container: Object, reason: str, message: str = "") -> Object:
    state = {"reason": reason, **({"message": message} if message else {})}
    return _container(container, {"waiting": state})


def running(container: Object) -> Object:
    return _container(container, {"running": {"startedAt": now()}}) | {"ready": True, "started": True}


def terminated(container: Object, code: int, reason: str = "", message: str = "") -> Object:
    reason = reason or ("Completed" if code == 0 else "Error")
    state = {"exitCode": code, "reason": reason, "finishedAt": now(), **({"message": message} if message else {})}
    return _container(container, {"terminated": state})


def _container(container: Object, state: Object) -> Object:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "state": state,
        "lastState": {},
        "ready": False,
        "started": False,
        "restartCount": 0,
    }


def conditions(*, ready: bool) -> list[Object]:
    why = {} if ready else {"reason": "ContainersNotReady"}
    return [
        condition("Initialized", holds=True),
        condition("Ready", holds=ready, **why),
        condition("ContainersReady", holds=ready, **why),
        condition("PodScheduled", holds=True),
    ]
