# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A helper pod's life, over a real API server: made once, shared, renewed, and what is said when it can't be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import helper, manifest, reaper
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.errors import NodePodError
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.helper import HelperPod
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.run import Run
from lab.api import ApiServer, Fault, Identity, Rule

NAMESPACE = "npm-netpol-nodes"
RUNNING = {"phase": "Running", "containerStatuses": [{"name": "node", "state": {"running": {}}}]}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
Status = dict[str, Any]


def waiting(reason: str, message: str) -> Status:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"name": "node", "state": state}]}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer(tls=True) as server:
        server.store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield server


@pytest.fixture
def kubelet(api: ApiServer) -> Iterator[Callable[[Status | None], None]]:
    """``kubelet(status)``: from now on, new pods come to that status; None: nobody looks at them."""
    wanted: list[Status | None] = [RUNNING]
    seen: set[str] = set()
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.01):
            for pod in pods(api):
                metadata = pod["metadata"]
                if metadata["uid"] not in seen and wanted[0] is not None:
                    seen.add(metadata["uid"])
                    api.store.patch("pods", metadata["name"], {"status": wanted[0]}, NAMESPACE)

    def become(status: Status | None) -> None:
        wanted[0] = status

    thread = threading.Thread(target=work)
    thread.start()
    yield become
    ended.set()
    thread.join()


def pods(api: ApiServer) -> list[dict[str, Any]]:
    resource = api.store.catalog.by_plural("pods")
    _, listing = api.store.listing(resource)
    return [record.document(resource) for record in listing.ordered]


def created(api: ApiServer) -> int:
    return sum(record.method == "POST" for record in api.requests.all())


@pytest.fixture
def make(api: ApiServer, tmp_path: Path) -> Iterator[Callable[..., HelperPod]]:
    """One HelperPod for each process of a run."""
    clients: list[ApiClient] = []

    def start(
        token: str = "", settings: manifest.Settings | None = None, run: str = "run", timeout: float = 5.0
    ) -> HelperPod:
        (tmp_path / run).mkdir(exist_ok=True)
        options = {"host": api.url, "api_key": token or api.token, "ca_cert": str(api.ca_file)}
        clients.append(ApiClient(partial(auth.connect, options, {}), retries=0, timeout=5))
        return HelperPod(
            clients[-1], Run(tmp_path / run), "aks-1", settings or manifest.Settings(), timeout, lambda message: None
        )

    yield start
    for each in clients:
        each.close()


@pytest.fixture
def started(kubelet: Callable[[Status | None], None]) -> None:
    """Pods start."""
    kubelet(RUNNING)


@pytest.mark.usefixtures("started")
def test_a_run_has_one_pod_on_a_node(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    names = {make().ensure() for _ in range(3)}
    assert {pod["metadata"]["name"] for pod in pods(api)} == names
    assert len(names) == 1
    assert created(api) == 1
    (pod,) = pods(api)
    assert pod["spec"]["nodeName"] == "aks-1"


@pytest.mark.usefixtures("started")
def test_a_new_pod_is_not_asked_for_before_it_can_run(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    helper = make()
    api.requests.clear()
    helper.ensure()
    asked = [record for record in api.requests.all() if record.method == "GET"]
    # A machine that is busy may take longer than the first pause.
    assert 1 <= len(asked) <= 2


@pytest.mark.usefixtures("started")
def test_a_known_pod_costs_no_request(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    make().ensure()
    api.requests.clear()
    make().ensure()
    assert api.requests.all() == []


@pytest.mark.usefixtures("started")
def test_processes_that_come_at_once_share_it(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    helpers = [make() for _ in range(8)]
    names: list[str] = []
    threads = [threading.Thread(target=lambda each=each: names.append(each.ensure())) for each in helpers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1
    assert len(pods(api)) == 1


@pytest.mark.usefixtures("started")
def test_two_runs_have_a_pod_each(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    assert make(run="one").ensure() != make(run="two").ensure()
    assert len(pods(api)) == 2


@pytest.mark.usefixtures("started")
def test_a_request_that_was_answered_but_not_heard_makes_no_second_pod(
    api: ApiServer, make: Callable[..., HelperPod]
) -> None:
    api.faults.add(Fault("cut", resource="pods", verb="create", times=1))
    first = make()
    first._client._retries = 1  # the others of these tests see each failure
    first.ensure()
    assert created(api) == 2
    assert len(pods(api)) == 1


@pytest.mark.usefixtures("started")
def test_a_pod_that_ended_gives_way_to_the_next(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    first = make().ensure()
    api.store.patch("pods", first, {"status": EVICTED}, NAMESPACE)
    other = make()
    assert other.fate(first) == f"the helper pod was ended: Evicted: {EVICTED['message']}"
    other.doubt(first)
    second = make().ensure()
    assert second != first
    assert make().ensure() == second


@pytest.mark.usefixtures("started")
def test_a_doubt_about_a_good_pod_makes_no_other(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    name = make().ensure()
    make().doubt(name)
    assert make().ensure() == name
    assert len(pods(api)) == 1


@pytest.mark.usefixtures("started")
def test_a_pod_is_renewed_when_half_of_its_life_is_over(
    api: ApiServer, make: Callable[..., HelperPod], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make().ensure()
    later = time.time() + manifest.Settings().deadline / 2 + 1
    monkeypatch.setattr(helper.time, "time", lambda: later)
    second = make().ensure()
    assert second != first
    # Whoever still uses the first may go on.
    assert len(pods(api)) == 2


@pytest.mark.usefixtures("started")
def test_a_doubt_makes_no_pod_younger(
    api: ApiServer, make: Callable[..., HelperPod], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.time()
    first = make().ensure()
    half = manifest.Settings().deadline / 2
    monkeypatch.setattr(helper.time, "time", lambda: begun + half - 10)
    make().doubt(first)
    assert make().ensure() == first
    monkeypatch.setattr(helper.time, "time", lambda: begun + half + 60)
    make().doubt(first)
    assert make().ensure() != first


@pytest.mark.usefixtures("started")
def test_a_pod_whose_node_is_silent_is_lost(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    name = make().ensure()
    assert make().loss(name) == ""
    # A look that is tried again would keep whoever listens to the command.
    api.faults.add(Fault("status", resource="pods", verb="get", code=503, times=1))
    other = make()
    other._client._retries = 3
    assert other.loss(name) == ""
    assert api.requests.all()[-1].code == 503
    unready = {"conditions": [{"type": "Ready", "status": "False"}]}
    api.store.patch("pods", name, {"status": unready}, NAMESPACE)
    assert make().loss(name) == "nothing is heard of the helper pod's node any more"
    assert make().fate(name) == "nothing is heard of the helper pod's node any more"


@pytest.mark.usefixtures("started")
def test_a_pod_that_was_deleted_is_made_again(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    first = make().ensure()
    api.store.delete("pods", first, NAMESPACE)
    other = make()
    assert other.fate(first) == "the helper pod is gone: it was deleted or evicted"
    other.doubt(first)
    make().ensure()
    assert len(pods(api)) == 1


@pytest.mark.usefixtures("started")
def test_removing(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    first = make().ensure()
    make().remove()
    assert pods(api) == []
    assert make().ensure() != first


@pytest.mark.usefixtures("started")
def test_the_reaper_takes_the_runs_pods_and_those_that_ended(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    mine, ended, others = (make(run=each).ensure() for each in ("mine", "ended", "others"))
    api.store.patch("pods", ended, {"status": EVICTED}, NAMESPACE)
    foreign = {"name": "foreign", "namespace": NAMESPACE}
    api.store.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": foreign, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    own = make(run="mine")
    assert reaper.remove(own._client, NAMESPACE, own._run.id) == 2
    assert {pod["metadata"]["name"] for pod in pods(api)} == {others, "foreign"}
    assert mine not in {pod["metadata"]["name"] for pod in pods(api)}


@pytest.mark.usefixtures("started")
def test_one_pod_that_cannot_be_deleted_keeps_no_other(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    own = make(run="mine")
    for node in ("aks-1", "aks-2", "aks-3"):
        pod = manifest.pod(f"npm-node-{node}", node, own._run.id, manifest.Settings())
        api.store.create(pod)
    api.faults.add(Fault("status", resource="pods", verb="delete", code=403, times=1))
    with pytest.raises(ApiError):
        reaper.remove(own._client, NAMESPACE, own._run.id)
    assert len(pods(api)) == 1
    assert reaper.remove(own._client, NAMESPACE, own._run.id) == 1


@pytest.mark.usefixtures("started")
def test_a_pod_that_is_going_is_not_deleted_again(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    own = make(run="mine")
    name = own.ensure()
    api.store.terminate("pods", name, NAMESPACE, 30)
    assert reaper.remove(own._client, NAMESPACE, own._run.id) == 0


@pytest.mark.usefixtures("started")
def test_the_reaper_outlives_a_signal_to_all_and_finds_a_relative_kubeconfig(
    api: ApiServer, make: Callable[..., HelperPod], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(run="mine").ensure()
    (tmp_path / "kube").mkdir()
    (tmp_path / "kube" / "config").write_text(kubeconfig(api))
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen(["sleep", "600"]) as main_process:
        reaper.start({"kubeconfig": "kube/config"}, NAMESPACE, Run(tmp_path / "mine").id, main_process.pid)
        process = wait_for(lambda: next(iter(reapers()), None))
        # It has said that it ignores the signal when it is asleep.
        wait_for(lambda: ignores_sigterm(process))
        os.kill(process, signal.SIGTERM)
        assert len(pods(api)) == 1
        main_process.kill()
    wait_for(lambda: not pods(api))
    os.waitpid(process, 0)


def kubeconfig(api: ApiServer) -> str:
    """Of JSON, which is YAML."""
    return json.dumps(
        {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": api.url, "certificate-authority": str(api.ca_file)}}],
            "users": [{"name": "u", "user": {"token": api.token}}],
        }
    )


def reapers() -> list[int]:
    """Of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(each) for each in children if "reaper" in Path(f"/proc/{each}/cmdline").read_text()]


def ignores_sigterm(process: int) -> bool:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    ignored = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(ignored & 1 << signal.SIGTERM - 1)


def wait_for(what: Callable[[], Any]) -> Any:
    until = time.monotonic() + 60
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


# What may keep a pod from running


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (waiting("ImagePullBackOff", "Back-off pulling image: not found"),
         r"does not start: ImagePullBackOff: Back-off pulling image: not found \(npm_node_pod_image names another"),
        (waiting("InvalidImageName", "couldn't parse"), "does not start: InvalidImageName: couldn't parse"),
        ({"phase": "Failed", "reason": "OutOfmemory", "message": "Node didn't have enough resource: memory"},
         "does not start: OutOfmemory: Node didn't have enough"),
    ],
)  # fmt: skip
def test_a_pod_that_cannot_start(
    api: ApiServer,
    make: Callable[..., HelperPod],
    kubelet: Callable[[Status | None], None],
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
    words: str,
) -> None:
    monkeypatch.setattr(helper, "_FAILING", 0.2)
    kubelet(status)
    with pytest.raises(NodePodError, match=words):
        make().ensure()
    # The next try begins anew.
    assert pods(api) == []


def test_what_fails_and_is_tried_again_has_its_time(
    api: ApiServer, make: Callable[..., HelperPod], kubelet: Callable[[Status | None], None]
) -> None:
    kubelet(waiting("ImagePullBackOff", "pull QPS exceeded"))
    made: list[str] = []
    thread = threading.Thread(target=lambda: made.append(make(timeout=30).ensure()))
    thread.start()
    (pod,) = wait_for(lambda: [each for each in pods(api) if "containerStatuses" in (each.get("status") or {})])
    time.sleep(0.8)
    api.store.patch("pods", pod["metadata"]["name"], {"status": RUNNING}, NAMESPACE)
    thread.join()
    assert made == [pod["metadata"]["name"]]


def test_a_pull_that_takes_too_long(make: Callable[..., HelperPod], kubelet: Callable[[Status | None], None]) -> None:
    kubelet(waiting("ErrImagePull", "i/o timeout"))
    with pytest.raises(NodePodError, match=r"did not start within 0\.5 s: ErrImagePull: i/o timeout"):
        make(timeout=0.5).ensure()


def test_a_node_that_is_not_ready(
    api: ApiServer,
    make: Callable[..., HelperPod],
    kubelet: Callable[[Status | None], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(helper, "_UNSEEN", 0.1)
    kubelet(None)
    ready = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "Kubelet stopped posting."}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "aks-1"}, "status": {"conditions": [ready]}}
    api.store.create(node)
    with pytest.raises(NodePodError, match="the node aks-1 is not ready: NodeStatusUnknown: Kubelet stopped posting"):
        make().ensure()
    assert pods(api) == []


def test_a_node_that_is_not_there(
    make: Callable[..., HelperPod], kubelet: Callable[[Status | None], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "_UNSEEN", 0.1)
    kubelet(None)
    with pytest.raises(NodePodError, match="the cluster has no node aks-1"):
        make().ensure()


def test_an_account_that_may_not_read_nodes_is_told_what_can_be_known(
    api: ApiServer, make: Callable[..., HelperPod], kubelet: Callable[[Status | None], None]
) -> None:
    kubelet(None)
    api.identities.add(Identity("least", "least-token", rules=(Rule(("create", "get", "delete"), ("pods",)),)))
    with pytest.raises(NodePodError, match=r"within 0\.3 s: no kubelet has taken it up yet; is the node ready\?"):
        make("least-token", timeout=0.3).ensure()


def test_no_right_to_create_pods(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    api.identities.add(Identity("reader", "reader-token", rules=(Rule(("get", "list"), ("pods",)),)))
    with pytest.raises(
        NodePodError, match=r'may not create helper pods: .*cannot create resource "pods".*access\.yaml'
    ):
        make("reader-token").ensure()


def test_no_right_to_read_pods(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    api.identities.add(Identity("writer", "writer-token", rules=(Rule(("create",), ("pods",)),)))
    with pytest.raises(NodePodError, match=r'cannot be watched: .*cannot get resource "pods"'):
        make("writer-token").ensure()


def test_no_namespace(make: Callable[..., HelperPod]) -> None:
    with pytest.raises(NodePodError, match=r"there is no place for helper pods: .*elsewhere.* not found"):
        make(settings=manifest.Settings(namespace="elsewhere")).ensure()


def test_a_name_that_somebody_else_has_taken(api: ApiServer, make: Callable[..., HelperPod]) -> None:
    helper_pod = make()
    name = manifest.name(helper_pod._run.id, "aks-1", manifest.Settings(), 1)
    pod = manifest.pod(name, "aks-2", "somebody", manifest.Settings())
    api.store.create(pod)
    with pytest.raises(NodePodError, match="already exists"):
        helper_pod.ensure()
