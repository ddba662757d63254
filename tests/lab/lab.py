# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A running lab: bringing it up and down, changing its cluster, running things in it. See README.md."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from . import cleanup, controller, netns, network, objects, proxies, resetting
from .cluster import CONTROLLER, OUTSIDE, Cluster, family_of
from .live import LiveCluster
from .netns import LabError
from .node import USER, Node
from .probe import Answer, Continuous, LastingFlows, Probe
from .spec import Family, LabSpec
from .spec import Node as NodeSpec

_ID = re.compile(r"[a-z0-9]{1,6}")
_DIGITS = string.digits + string.ascii_lowercase
# What the product keeps on a node from one run to the next.
_MEMORY = "/run/npm-netpol"
_numbers = itertools.count()
_TESTS = Path(__file__).parents[1]
_OUTSIDE_PORTS = [(80, "TCP"), (443, "TCP"), (8080, "TCP"), (53, "UDP"), (8080, "UDP"), (8080, "SCTP")]
_START_PATIENCE = 20.0


class Lab(LiveCluster):
    """A lab that is up. Make one with :meth:`up` or :meth:`attach`."""

    def __init__(self, lab_id: str, cluster: Cluster) -> None:
        super().__init__(lab_id, cluster)
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []

    # Up and down

    @classmethod
    def up(
        cls,
        lab_id: str,
        spec: LabSpec,
        *,
        keep: bool = False,
        api: Sequence[str] | None = ("--tls",),
        progress: Callable[[str], None] | None = None,
    ) -> Lab:
        """Build a lab; what an earlier one of that id left goes first. ``keep``: it outlives this process.

        ``api``: arguments of ``python -m lab.api``; None: no API server. ``progress`` gets a line for each step.
        Raises :class:`lab.netns.LabError`; then nothing is left.
        """
        _check(lab_id)
        say = progress or (lambda _: None)
        cleanup.remove(lab_id)
        lab = cls(lab_id, Cluster.of(spec))
        cleanup.make_directory(lab_id)
        if not keep:
            lab._watchdog = cleanup.start_watchdog(lab_id)
        try:
            lab._build(say)
            if api is not None:
                say("the Kubernetes API")
                lab._start_api(api, spec)
            lab.save()
        except BaseException:
            lab.down()
            raise
        return lab

    def _build(self, say: Callable[[str], None]) -> None:
        say(f"{len(self.nodes)} nodes and {len(self.cluster.pods)} pods as network namespaces")
        network.build(self.id, self.cluster)
        controller.make_keys(self.directory / "keys")
        controller.write_inventory(self.directory, self.cluster)
        (self.directory / "nodes").mkdir(mode=0o700)
        say("the nodes' sshd")
        for node in self.nodes.values():
            self._start_node(node)
        agent = [sys.executable, "-m", "lab.agent", str(self.directory / "agent.sock"), self.namespace("ctl")]
        self._start_child(agent, "agent", "agent.sock")
        for node in self.nodes.values():
            self._wait_for_ssh(node)
        say("kube-proxy's rules, and servers on the pods' ports")
        for node in self.nodes.values():
            proxies.prepare(self.cluster, node)
        self.synchronise_services()
        self.prober.serve("ext", "ext", self.ips("ext"), _OUTSIDE_PORTS)
        for pod in self.cluster.pods.values():
            self.serve(pod)

    def _start_node(self, node: Node) -> None:
        node.start(self.cluster.node_ips(node.name), self.directory / "keys", self.cluster.shell)

    def _start_api(self, arguments: Sequence[str], spec: LabSpec) -> None:
        where = ["--state-dir", str(self.directory / "api"), "--bind", self.ips("ctl")[0], "--port", "6443"]
        where += ["--nodes", str(self.directory / "nodes")]
        inside = ["nsenter", f"--net={netns.path(self.namespace('ctl'))}", "--"]
        self._start_child([*inside, sys.executable, "-m", "lab.api", *where, *arguments], "api", "api/ready")
        self.api.load([*objects.all_objects(self.cluster), *spec.objects])

    def _start_child(self, command: Sequence[str], name: str, sign: str) -> None:
        """Start a process of the lab and wait for the file by which it says that it is ready."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=_TESTS,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._children.append(child)
        wait_for(lambda: (self.directory / sign).exists() or child.poll() is not None, f"the lab's {name}")
        if child.poll() is not None:
            raise LabError(f"the lab's {name} ended: {log.read_text().strip()}")

    @classmethod
    def attach(cls, lab_id: str) -> Lab:
        """A lab that some process brought up. Raises :class:`lab.netns.LabError` when there is none."""
        _check(lab_id)
        state = cleanup.DIRECTORY / lab_id / "cluster.json"
        if not state.exists():
            raise LabError(f"no lab {lab_id!r} is up")
        return cls(lab_id, Cluster.load(state))

    def down(self) -> None:
        """End and remove everything. Twice is no error."""
        cleanup.remove(self.id)
        for node in self.nodes.values():
            node.reap()
        for child in self._children:
            child.wait(10)
        if self._watchdog is not None:
            cleanup.dismiss(self._watchdog)
            self._watchdog = None

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.down()

    def _wait_for_ssh(self, node: Node) -> None:
        address = self.cluster.node_ips(node.name)[0]

        def banner() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((address, 22), 1) as connection:
                return connection.recv(4) == b"SSH-"
            return False

        def up() -> bool:
            if node.ended:
                raise LabError(f"node {node.name} ended")
            return netns.call_in(self.namespace("ctl"), banner)

        try:
            wait_for(up, f"sshd of node {node.name}", _START_PATIENCE)
        except LabError as error:
            raise LabError(f"{error}; its log: {node.log().strip()}") from error

    # Nodes that come and go

    def add_node(self, spec: NodeSpec) -> Node:
        """One node more, in the inventory and (when it has joined) the API too."""
        spec = self.cluster.add_node(spec)
        network.add_node(self.id, self.cluster, spec)
        node = self.nodes[spec.name] = self.make_node(spec)
        self._start_node(node)
        controller.write_inventory(self.directory, self.cluster)
        self._wait_for_ssh(node)
        proxies.prepare(self.cluster, node)
        if spec.joined:
            self.changed(objects.node_object(self.cluster, spec))
        else:
            self.settle()
        return node

    def remove_node(self, name: str) -> None:
        """Take it away with its pods, out of the inventory and the API too."""
        for pod in [pod for pod in self.cluster.pods.values() if pod.node == name]:
            self.remove_pod(pod.key)
        node = self.nodes.pop(name)
        netns.end_processes([node.namespace])
        node.reap()
        network.remove_node(self.id, self.cluster, name)
        item = objects.node_object(self.cluster, node.spec)
        del self.cluster.nodes[name], self.cluster.index[name]
        shutil.rmtree(node.directory)
        controller.write_inventory(self.directory, self.cluster)
        if node.spec.joined:
            self.gone(item)
        else:
            self.settle()

    # Files

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "api" / "kubeconfig"

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory.yml"

    @property
    def ssh_key(self) -> Path:
        return self.directory / "keys" / "client_key"

    def environment(self) -> dict[str, str]:
        """For a process in ``ctl``: kubeconfig, inventory, ansible.cfg."""
        return controller.environment(self.directory)

    # Running things

    def command(self, place: str, argv: Sequence[str]) -> list[str]:
        """What runs ``argv`` there as root, with this machine's files; in a node with the node's."""
        if place in self.nodes:
            return self.nodes[place].command(argv)
        return ["ip", "netns", "exec", self.namespace(place), *argv]

    def run_in(
        self,
        place: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str | None = None,  # noqa: A002 (the name that subprocess.run has)
        check: bool = False,
        timeout: float = 300,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run and wait. ``env``: added to :meth:`environment`; ``check``: a failure raises LabError with its output."""
        done = subprocess.run(
            self.command(place, argv),
            env=self.environment() | dict(env or {}),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            cwd=cwd,
        )
        if check and done.returncode:
            raise LabError(f"{list(argv)} in {place} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def popen_in(self, place: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start, and go on once it is there; ``options`` are Popen's, ``env`` is added to :meth:`environment`."""
        environment = self.environment() | dict(options.pop("env", None) or {})
        process = subprocess.Popen(self.command(place, argv), env=environment, text=True, **options)
        netns.wait_inside(process, self.namespace(place))
        return process

    def ssh(self, node: str, command: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line from ``ctl`` over SSH as the unprivileged user; ``options``: those of :meth:`run_in`."""
        parts = [part for option in controller.ssh_options(self.directory) for part in option.split(" ", 1)]
        target = f"{USER}@{self.cluster.node_ips(node)[0]}"
        argv = ["ssh", "-F", "none", "-T", "-i", str(self.ssh_key), *parts, "-o", "BatchMode=yes", target, command]
        return self.run_in("ctl", argv, **options)

    def reset(self, spec: LabSpec) -> None:
        """Back to ``spec`` (the one it was made from): cluster, API objects, tools and netfilter of the nodes.

        For a lab that many tests share. What is not undone: files on the nodes, but for what the product keeps there;
        legacy tables that have come to be.
        """
        self.become(Cluster.of(spec))
        if self.has_api:
            resetting.reset_api(self.api, self.cluster, spec.objects)
        for node in self.nodes.values():
            self.connect(node.name)
            node.restore_tools()
            node.boot(objects.boot_id(node.name))
            proxies.reset(self.cluster, node)
            node.run_tool(["/bin/rm", "-rf", _MEMORY])

    def disconnect(self, node: str) -> None:
        """Pull the node's cable: nothing reaches it, nor its pods from other nodes."""
        network.set_connected(self.id, self.cluster, node, connected=False)

    def connect(self, node: str) -> None:
        network.set_connected(self.id, self.cluster, node, connected=True)

    # Addresses

    def ips(self, place: str) -> tuple[str, ...]:
        """The addresses of a pod, a node, ``ctl`` or ``ext``."""
        if place in ("ctl", "ext"):
            at = CONTROLLER if place == "ctl" else OUTSIDE
            return tuple(at[family] for family in self.cluster.families)
        if place in self.nodes:
            return self.cluster.node_ips(place)
        if place in self.cluster.pods:
            return self.cluster.pods[place].ips
        raise LabError(f"no place {place!r} in lab {self.id}")

    def ip(self, place: str, family: Family = "ipv4") -> str:
        return _of_family(self.ips(place), family, place)

    def service_ips(self, key: str) -> tuple[str, ...]:
        return self.cluster.services[key].cluster_ips

    def load_balancer_ips(self, key: str) -> tuple[str, ...]:
        return self.cluster.services[key].load_balancer_ips

    def node_port(self, key: str, port: int = 80) -> int:
        return next(each.node_port for each in self.cluster.services[key].ports if each.port == port)

    # Packets

    def probe(self, probes: Sequence[Probe], **options: Any) -> list[Answer]:
        """Answers in the order of the probes; ``options`` are those of :meth:`lab.probe.Prober.probe`."""
        return self.prober.probe(probes, **options)

    def reach(
        self, source: str, target: str, port: int = 8080, protocol: str = "TCP", *, family: Family = "ipv4"
    ) -> Answer:
        """One probe; ``target`` is an address or a place."""
        return self.probe([Probe(source, self._address(target, family), port, protocol)])[0]

    def _address(self, target: str, family: Family) -> str:
        known = target in self.nodes or target in self.cluster.pods or target in ("ctl", "ext")
        return self.ip(target, family) if known else target

    def continuous(self, probes: Sequence[Probe], **options: Any) -> Continuous:
        """Attempts without pause until ``stop``; ``options`` are those of :meth:`lab.probe.Prober.continuous`."""
        return self.prober.continuous(probes, **options)

    def flows(self, probes: Sequence[Probe], **options: bool) -> LastingFlows:
        """A download or UDP exchange for each probe until ``stop``; ``options``: :meth:`lab.probe.Prober.flows`."""
        return self.prober.flows(probes, **options)


def unused_id() -> str:
    """An id that no other process of this machine is given."""
    text, number = "", os.getpid()
    while number:
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    count = next(_numbers)
    return f"{text[-4:].rjust(4, '0')}{_DIGITS[count // len(_DIGITS) % len(_DIGITS)]}{_DIGITS[count % len(_DIGITS)]}"


def remove(lab_id: str) -> None:
    """Remove a lab, also one that nobody remembers."""
    _check(lab_id)
    cleanup.remove(lab_id)


def wait_for(condition: Callable[[], bool], what: str, patience: float = 10.0) -> None:
    """Until the condition holds. Raises :class:`lab.netns.LabError` when it does not in ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {patience:g} s in vain for {what}")
        time.sleep(0.02)


def _check(lab_id: str) -> None:
    if not _ID.fullmatch(lab_id):
        raise LabError(f"lab id {lab_id!r}: must be one to six of a-z and 0-9")
    if os.geteuid() != 0:
        raise LabError("a lab needs root")


def _of_family(addresses: Sequence[str], family: Family, whose: str) -> str:
    for address in addresses:
        if family_of(address) == family:
            return address
    raise LabError(f"{whose} has no {family} address")
