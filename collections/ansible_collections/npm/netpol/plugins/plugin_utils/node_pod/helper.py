# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The helper pod of a run on one node: made when it is first needed, shared by the run's processes, renewed in time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..cluster.client import ApiClient, ApiError
from . import manifest, pod_state
from .errors import NodePodError
from .pod_state import Phase
from .run import Helper, Run, digest_of

_CONFLICT = 409
_FORBIDDEN = 403
_NOT_FOUND = 404

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
# No kubelet makes a pod run sooner, and of many nodes each would ask for nothing several times.
_SOONEST = 0.6
# A kubelet takes a pod up at once; after this long it is time to ask about the node.
_UNSEEN = 5.0
# What a kubelet tries again, it tries after 10 s, 20 s, and so on.
_FAILING = 40.0
# A kubelet first ends the containers, and then says so.
_SHOWS_AFTER = 3.0
# Pods of one run on one node; so many do not end by chance.
_MOST = 50


class HelperPod:
    """``namespace``, pod and all are those of ``settings``. Raises :class:`NodePodError`."""

    def __init__(
        self,
        client: ApiClient,
        run: Run,
        node: str,
        settings: manifest.Settings,
        start_timeout: float,
        tell: Callable[[str], None],
    ) -> None:
        self._client = client
        self._run = run
        self._node = node
        self._settings = settings
        self._start_timeout = start_timeout
        self._tell = tell
        self._key = digest_of(client.connection.host, node, repr(settings))

    def path(self, name: str = "", subresource: str = "") -> str:
        return "/".join(filter(None, (f"/api/v1/namespaces/{self._settings.namespace}/pods", name, subresource)))

    def ensure(self) -> str:
        """The name of a pod that runs and will for a while. Asks the API nothing if the run knows of one."""
        helper = self._run.helper(self._key)
        if helper is not None and not helper.doubtful and time.time() < helper.fresh_until:
            return helper.name
        generation = 1
        if helper is not None:
            # One that is only old still serves those who use it, and ends by its deadline or with the run.
            generation = helper.generation if time.time() < helper.fresh_until else helper.generation + 1
        for each in range(generation, generation + _MOST):
            name = manifest.name(self._run.id, self._node, self._settings, each)
            ours = self._create(name)
            if self._runs(name, is_new=ours):
                # Whoever begins a command with it has half of its life for that.
                fresh_until = time.time() + (self._settings.deadline / 2 if ours else self._rest_of(name))
                self._run.note(self._key, Helper(name, each, fresh_until))
                return name
        raise NodePodError(f"{_MOST} helper pods on the node {self._node} have ended, one after another")

    def doubt(self, name: str) -> None:
        """It did not serve: look at it before it is used again."""
        helper = self._run.helper(self._key)
        if helper is not None and helper.name == name:
            self._run.note(self._key, replace(helper, doubtful=True))

    def remove(self) -> None:
        """Delete the pod, if there is one. The next command gets another."""
        helper = self._run.helper(self._key)
        if helper is not None:
            self._client.delete(self.path(helper.name))
            self._run.note(self._key, Helper(helper.name, helper.generation, 0.0))

    def fate(self, name: str) -> str:
        """What became of a pod that was lost, in words; empty when it is still there or nobody can tell."""
        until = time.monotonic() + _SHOWS_AFTER
        while not (fate := self.loss(name)) and time.monotonic() < until:
            time.sleep(_FIRST_PAUSE)
        return fate

    def loss(self, name: str) -> str:
        """Why nothing can run in a pod any more, in words; empty when something can, or nobody can tell.

        Meanwhile nobody may be listening to a command: so the API is asked once.
        """
        try:
            pod = self._client.get(self.path(name), retries=0)
        except ApiError as error:
            return "the helper pod is gone: it was deleted or evicted" if error.status == _NOT_FOUND else ""
        state = pod_state.of(pod)
        if state.phase is Phase.ENDED:
            return f"the helper pod was ended: {state.reason}"
        if state.phase is Phase.RUNNING and pod_state.is_unheard_of(pod):
            return "nothing is heard of the helper pod's node any more"
        return ""

    def _create(self, name: str) -> bool:
        """Ask for the pod; False if the run has it already."""
        try:
            self._client.create(self.path(), manifest.pod(name, self._node, self._run.id, self._settings))
        except ApiError as error:
            if error.status == _CONFLICT and self._is_ours(name):
                return False
            raise self._refused(error) from error
        self._tell(f"created the helper pod {self._settings.namespace}/{name}")
        return True

    def _is_ours(self, name: str) -> bool:
        try:
            pod = self._client.get(self.path(name))
        except ApiError as error:
            # It was deleted in between: then it is one that ended.
            return error.status == _NOT_FOUND
        labels = pod["metadata"].get("labels") or {}
        return labels.get(manifest.RUN_LABEL) == self._run.id and pod["spec"].get("nodeName") == self._node

    def _refused(self, error: ApiError) -> NodePodError:
        said = error.message or error.reason
        where = f"the namespace {self._settings.namespace}"
        if error.status == _NOT_FOUND:
            return NodePodError(f"there is no place for helper pods: {said} (docs/node-pod/access.yaml makes {where})")
        if error.status == _FORBIDDEN and "cannot create resource" in said:
            return NodePodError(
                f"this account may not create helper pods: {said} (docs/node-pod/access.yaml has the rights)"
            )
        if error.status and error.message:
            return NodePodError(f"the API does not admit the helper pod: {said}")
        return NodePodError(f"no helper pod can be created: {error}")

    def _runs(self, name: str, *, is_new: bool) -> bool:
        """Wait until the pod runs. False for one that ended before we came."""
        begun = failing_since = time.monotonic()
        pause = _FIRST_PAUSE
        asked_about_node = False
        if is_new:
            time.sleep(_SOONEST)
        while True:
            state = self._state(name)
            waited = time.monotonic() - begun
            if state.phase is Phase.RUNNING:
                return True
            if state.phase is Phase.ENDED and not is_new:
                return False
            if state.phase is not Phase.FAILING:
                failing_since = time.monotonic()
            failed = time.monotonic() - failing_since > _FAILING
            if failed or state.phase in (Phase.ENDED, Phase.HOPELESS):
                self._discard(name)
                raise NodePodError(f"the helper pod does not start: {state.reason}{_hint(state.reason)}")
            if state.phase is Phase.UNSEEN and waited > _UNSEEN and not asked_about_node:
                asked_about_node = True
                if trouble := self._trouble_of_node():
                    self._discard(name)
                    raise NodePodError(trouble)
            if waited > self._start_timeout:
                reason = state.reason if state.phase in (Phase.STARTING, Phase.FAILING) else ""
                reason = reason or self._trouble_of_node() or f"{state.phase.value}; is the node ready?"
                self._discard(name)
                words = f"the helper pod did not start within {self._start_timeout:g} s: {reason}{_hint(reason)}"
                raise NodePodError(words)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def _discard(self, name: str) -> None:
        """Delete a pod that failed, for the next try to find none; what it failed of is more to be said."""
        with contextlib.suppress(ApiError):
            self._client.delete(self.path(name))

    def _state(self, name: str) -> pod_state.PodState:
        try:
            return pod_state.of(self._client.get(self.path(name)))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return pod_state.PodState(
                    Phase.ENDED, f"it was deleted before it ran: has the cluster a node {self._node}?"
                )
            raise NodePodError(f"the helper pod cannot be watched: {error}") from error

    def _trouble_of_node(self) -> str:
        """Why the node starts nothing, if we may know."""
        try:
            node: Mapping[str, Any] = self._client.get(f"/api/v1/nodes/{self._node}")
        except ApiError as error:
            return f"the cluster has no node {self._node}" if error.status == _NOT_FOUND else ""
        reason = pod_state.not_ready(node)
        return f"the node {self._node} is not ready: {reason}" if reason else ""

    def _rest_of(self, name: str) -> float:
        """Another process made it, just now or long ago."""
        helper = self._run.helper(self._key)
        if helper is not None and helper.name == name:
            return max(0.0, helper.fresh_until - time.time())
        return self._settings.deadline / 4


def _hint(reason: str) -> str:
    if "Image" in reason or "Registry" in reason:
        return " (npm_node_pod_image names another image, npm_node_pod_pull_secrets what it takes to pull it)"
    return ""
