# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The life of one pod, from its creation to its end, in a thread of its own."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.api.errors import ApiError

from . import specs, statuses
from .container import Container, ContainerError

if TYPE_CHECKING:
    from lab.api.records import Record
    from lab.api.resources import Resource
    from lab.api.store import Store

    from .pods import Settings

Object = dict[str, Any]
_LOOK_AROUND_SECONDS = 0.1
_BACK_OFF_SECONDS = 0.5
_KILLED = 137


class _GoneError(Exception):
    """The object is no more."""


class _TerminatingError(Exception):
    """The object is being deleted."""


class _FailedError(Exception):
    """The kubelet ends the pod."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class PodLife:
    """``containers``: those that run, by name.

    ``node_pid`` tells for a node's name the process that has its namespaces; 0: containers are plain processes.
    """

    def __init__(self, store: Store, record: Record, settings: Settings, node_pid: Callable[[str], int]) -> None:
        self._store = store
        self._settings = settings
        self._node_pid = node_pid
        self._record = record
        self._pod = record.document(self._pods)
        self.namespace, self.name = self._pod["metadata"]["namespace"], self._pod["metadata"]["name"]
        self.uid = self._pod["metadata"]["uid"]
        self.containers: dict[str, Container] = {}
        self._evicted = ""
        self._stopped = False
        self._node: Record | None = None
        self._node_ready = False
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._live, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it without a word to the API: the server stops."""
        self._stopped = True
        self._thread.join()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def evict(self, message: str) -> None:
        self._evicted = message

    def _live(self) -> None:
        try:
            self._run()
        except _GoneError:
            return
        finally:
            self._end_containers()

    def _run(self) -> None:
        try:
            self._schedule()
            self._accept()
            self._start()
            self._watch()
        except _FailedError as error:
            self._end_containers()
            self._report_failure(error)
        except _TerminatingError:
            self._terminate()
            return
        # It has ended, and stays to be read until it is deleted.
        try:
            while True:
                self._pause()
        except (_TerminatingError, _FailedError):
            self._remove()

    # Its stages

    def _schedule(self) -> None:
        while not self._pod["spec"].get("nodeName"):
            nodes = [record.document(self._nodes) for record in self._store.listing(self._nodes)[1].ordered]
            wanted = (self._pod["spec"].get("nodeSelector") or {}).items()
            fit = [node for node in nodes if _is_ready(node) and wanted <= node["metadata"].get("labels", {}).items()]
            if fit:
                self._patch({"spec": {"nodeName": fit[0]["metadata"]["name"]}}, subresource="")
            elif "conditions" not in self._pod["status"]:
                self._patch({"status": statuses.unschedulable(len(nodes))})
            self._pause()
        self._patch({"status": {"conditions": [statuses.condition("PodScheduled", holds=True)]}})

    def _accept(self) -> None:
        """The node's kubelet takes it on, when there is one."""
        while not self._node_is_ready():
            self._pause()
        started = time.monotonic()
        if seconds := self._pod["spec"].get("activeDeadlineSeconds"):
            self._deadline = started + seconds
        containers = [statuses.waiting(each, "ContainerCreating") for each in self._containers]
        ips = self._node_ips()
        status = {
            "startTime": statuses.now(),
            "conditions": statuses.conditions(ready=False),
            "containerStatuses": containers,
            **({"hostIP": ips[0], "hostIPs": [{"ip": ip} for ip in ips]} if ips else {}),
        }
        self._patch({"status": status})
        while (left := started + self._settings.start_delay - time.monotonic()) > 0:
            self._pause(left)

    def _start(self) -> None:
        node_pid = self._node_pid(self._pod["spec"]["nodeName"])
        for container in self._containers:
            kind = self._pull(container)
            try:
                spec = specs.container_spec(self._pod, container, node_pid, kind)
                self.containers[container["name"]] = Container(spec)
            except ContainerError as error:
                self._set_container(statuses.waiting(container, "CreateContainerError", str(error)))
                while True:
                    self._pause()
        status: Object = {
            "phase": "Running",
            "conditions": statuses.conditions(ready=True),
            "containerStatuses": [statuses.running(each) for each in self._containers],
        }
        if self._pod["spec"].get("hostNetwork") and (ips := self._node_ips()):
            status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
        self._patch({"status": status})

    def _pull(self, container: Object) -> str:
        """The kind of its image; not before it can be had."""
        image = container.get("image", "")
        backing_off = False
        while True:
            try:
                return specs.image_kind(image, self._settings.images)
            except specs.PullError as error:
                why = (
                    f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": '
                    f"{_PULL_FAILURES.get(str(error), str(error)).format(image=image)}"
                )
                if container.get("imagePullPolicy") == "Never":
                    message = f'Container image "{image}" is not present with pull policy of Never'
                    state = statuses.waiting(container, "ErrImageNeverPull", message)
                elif backing_off:
                    message = f'Back-off pulling image "{image}": ErrImagePull: {why}'
                    state = statuses.waiting(container, "ImagePullBackOff", message)
                else:
                    state = statuses.waiting(container, "ErrImagePull", why)
                self._set_container(state)
                backing_off = not backing_off
            until = time.monotonic() + _BACK_OFF_SECONDS
            while (left := until - time.monotonic()) > 0:
                self._pause(left)

    def _watch(self) -> None:
        """Until all containers have ended by themselves."""
        ended: dict[str, int] = {}
        while len(ended) < len(self._containers):
            self._pause()
            for container in self._containers:
                name = container["name"]
                result = None if name in ended else self.containers[name].main.poll()
                if result is None:
                    continue
                ended[name] = result.code
                self.containers.pop(name).close()
                reason = "StartError" if result.error else ""
                self._set_container(statuses.terminated(container, result.code, reason, result.error))
        policy = self._pod["spec"].get("restartPolicy", "Always")
        if policy == "Always" or (policy == "OnFailure" and any(ended.values())):
            for container in self._containers:
                self._set_container(statuses.waiting(container, "CrashLoopBackOff", "the lab does not restart it"))
            while True:
                self._pause()
        phase = "Failed" if any(ended.values()) else "Succeeded"
        self._patch({"status": {"phase": phase, "conditions": statuses.conditions(ready=False)}})

    # Its ends

    def _report_failure(self, error: _FailedError) -> None:
        status = {
            "phase": "Failed",
            "reason": error.reason,
            "message": error.message,
            "conditions": statuses.conditions(ready=False),
            "containerStatuses": [statuses.terminated(each, _KILLED) for each in self._containers],
        }
        self._patch({"status": status})

    def _terminate(self) -> None:
        """SIGTERM, the time of grace, SIGKILL, and then the object goes."""
        for container in self.containers.values():
            container.signal(signal.SIGTERM)
        until = time.monotonic() + self._grace()
        while not self._stopped and any(each.main.poll() is None for each in self.containers.values()):
            self._refresh()
            until = min(until, time.monotonic() + self._grace())
            if time.monotonic() >= until:
                break
            time.sleep(_LOOK_AROUND_SECONDS / 2)
        self._end_containers()
        self._remove()

    def _grace(self) -> float:
        return float(self._pod["metadata"].get("deletionGracePeriodSeconds", 0))

    def _remove(self) -> None:
        try:
            self._store.delete("pods", self.name, self.namespace, preconditions={"uid": self.uid})
        except ApiError:
            raise _GoneError from None

    def _end_containers(self) -> None:
        while self.containers:
            self.containers.popitem()[1].close()

    # What it sees, and what it writes

    def _pause(self, seconds: float = _LOOK_AROUND_SECONDS) -> None:
        """Wait a moment, and look whether something has happened that ends the pod."""
        self._store.wait_beyond_record("pods", self._record, min(seconds, _LOOK_AROUND_SECONDS))
        self._refresh()
        if not self._node_is_ready():
            return  # the kubelet is not there: nothing happens
        if "deletionTimestamp" in self._pod["metadata"]:
            raise _TerminatingError
        if self._evicted and self._pod["status"].get("phase") != "Failed":
            raise _FailedError("Evicted", self._evicted)
        if time.monotonic() >= self._deadline:
            self._deadline = float("inf")
            raise _FailedError("DeadlineExceeded", statuses.DEADLINE)

    def _refresh(self) -> None:
        try:
            record = self._store.get("pods", self.name, self.namespace)
        except ApiError:
            raise _GoneError from None
        if record is not self._record:
            self._record = record
            self._pod = record.document(self._pods)
        if self._pod["metadata"]["uid"] != self.uid or self._stopped:
            raise _GoneError

    def _patch(self, change: Object, subresource: str = "status") -> None:
        try:
            self._store.patch("pods", self.name, change, self.namespace, subresource=subresource)
        except ApiError:
            raise _GoneError from None
        self._refresh()

    def _set_container(self, status: Object) -> None:
        others = [each for each in self._pod["status"].get("containerStatuses", ()) if each["name"] != status["name"]]
        self._patch({"status": {"containerStatuses": [*others, status]}})

    @property
    def _containers(self) -> list[Object]:
        containers: list[Object] = self._pod["spec"]["containers"]
        return containers

    @property
    def _pods(self) -> Resource:
        return self._store.catalog.by_plural("pods")

    @property
    def _nodes(self) -> Resource:
        return self._store.catalog.by_plural("nodes")

    def _node_is_ready(self) -> bool:
        name = self._pod["spec"].get("nodeName")
        if not name:
            return True
        try:
            node = self._store.get("nodes", name)
        except ApiError:
            return False
        if node is not self._node:
            self._node = node
            self._node_ready = _is_ready(node.document(self._nodes))
        return self._node_ready

    def _node_ips(self) -> list[str]:
        node = self._store.document("nodes", self._pod["spec"]["nodeName"])
        addresses = node.get("status", {}).get("addresses") or ()
        return [each["address"] for each in addresses if each["type"] == "InternalIP"]


_PULL_FAILURES = {
    "not-found": "{image}: not found",
    "unauthorized": "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
}


def _is_ready(node: Object) -> bool:
    conditions = node.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
