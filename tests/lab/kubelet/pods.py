# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kubelets of the lab's nodes: all pods that clients create, and the containers that exec finds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import images, statuses
from .container import Container
from .pod import PodLife

if TYPE_CHECKING:
    from lab.api.records import Record
    from lab.api.store import Store

Object = dict[str, Any]
_FAILURES = ("not-found", "unauthorized")
_DEFAULT_GRACE = 30


@dataclass(slots=True)
class Settings:
    """``images``: pattern of a name to a kind of image, or to why it can't be pulled. Any other name: busybox."""

    start_delay: float = 0.05
    images: dict[str, str] = field(default_factory=dict)

    def change(self, changes: dict[str, Any]) -> None:
        """ValueError for what is no setting."""
        if unknown := set(changes) - {"start_delay", "images"}:
            raise ValueError(f"unknown kubelet setting {', '.join(sorted(unknown))}")
        wanted = dict(changes.get("images", self.images))
        if wrong := set(wanted.values()) - {*images.KINDS, *_FAILURES}:
            raise ValueError(f"not a kind of image: {', '.join(sorted(wrong))}")
        self.start_delay = float(changes.get("start_delay", self.start_delay))
        self.images = wanted


class Kubelets:
    """``node_pid``: see :class:`lab.kubelet.pod.PodLife`. A pod is theirs when a client creates it.

    What the lab itself puts into the API stays as it is written.
    """

    def __init__(self, store: Store, node_pid: Callable[[str], int] = lambda _: 0) -> None:
        self.settings = Settings()
        self._store = store
        self._node_pid = node_pid
        self._lock = threading.Lock()
        self._lives: dict[tuple[str, str], PodLife] = {}

    @staticmethod
    def prepared(pod: Object) -> Object:
        """As the API server stores a new pod: with defaults, and the status that every pod begins with."""
        spec = {
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": _DEFAULT_GRACE,
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
            **pod["spec"],
        }
        return pod | {"spec": spec, "status": {"phase": "Pending", "qosClass": "BestEffort"}}

    def take(self, pod: Record) -> None:
        """A pod that has just been created."""
        life = PodLife(self._store, pod, self.settings, self._node_pid)
        with self._lock:
            self._lives = {key: each for key, each in self._lives.items() if not each.ended}
            self._lives[life.namespace, life.name] = life
            # One that has not begun would count as ended for whoever takes the next pod.
            life.start()

    def keeps(self, pod: Object) -> bool:
        """Whether it is theirs: its deletion is for them to complete."""
        return self._life(pod) is not None

    def evict(self, namespace: str, name: str, message: str = "") -> None:
        """KeyError for a pod that isn't theirs."""
        with self._lock:
            self._lives[namespace, name].evict(message or statuses.EVICTED)

    def container(self, pod: Object, name: str) -> Container | None:
        """None: it does not run."""
        life = self._life(pod)
        return life.containers.get(name) if life else None

    def stop(self) -> None:
        with self._lock:
            lives = list(self._lives.values())
        for life in lives:
            life.stop()

    def _life(self, pod: Object) -> PodLife | None:
        metadata = pod["metadata"]
        with self._lock:
            life = self._lives.get((metadata["namespace"], metadata["name"]))
        return life if life and life.uid == metadata["uid"] and not life.ended else None
