# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab for people: ``python -m lab up|down|status|shell|probe|exec``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import get_args

from . import cleanup, netns
from .cluster import family_of
from .lab import Lab, remove
from .netns import LabError
from .probe import Probe
from .spec import Family, LabSpec, ProxyMode, Variant, small

_FAMILIES: dict[str, tuple[Family, ...]] = {"dual": ("ipv4", "ipv6"), "ipv4": ("ipv4",), "ipv6": ("ipv6",)}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev lab", description="A Kubernetes cluster in network namespaces.")
    parser.add_argument("--id", default="dev", help="which lab; several can be up beside each other (default: dev)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="build the lab; one of the same id goes first")
    up.add_argument("--variant", choices=get_args(Variant), default="nft", help="iptables variant of the nodes")
    up.add_argument("--families", choices=sorted(_FAMILIES), default="dual")
    up.add_argument("--proxy-mode", choices=get_args(ProxyMode), default="iptables")
    up.add_argument("--shell", choices=["dash", "bash", "busybox"], default="dash", help="/bin/sh of the nodes")
    up.add_argument("--no-api", action="store_true", help="without a Kubernetes API")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="remove the lab and everything in it")
    down.add_argument("--all", action="store_true", help="every lab of this machine")
    down.set_defaults(run=_down)

    commands.add_parser("status", help="what is in the lab").set_defaults(run=_status)

    shell = commands.add_parser("shell", help="a shell in a pod, a node, ctl or ext")
    shell.add_argument("place", metavar="POD", help="namespace/name of a pod, a node's name, ctl, ext or fab")
    shell.set_defaults(run=_shell)

    probe = commands.add_parser("probe", help="who reaches whom, as a table")
    probe.add_argument("--port", type=int, default=8080)
    probe.add_argument("--protocol", choices=["TCP", "UDP", "SCTP", "ICMP"], default="TCP")
    probe.set_defaults(run=_probe)

    run = commands.add_parser("exec", help="run a command as the controller: KUBECONFIG and the inventory are set")
    run.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    run.set_defaults(run=_exec)
    return parser


def _up(options: argparse.Namespace) -> None:
    start = time.monotonic()
    spec = _spec(options)
    api = None if options.no_api else ("--tls",)
    lab = Lab.up(options.id, spec, keep=True, api=api, progress=lambda text: print(f"  {text}", flush=True))
    print(f"Lab {lab.id} is up after {time.monotonic() - start:.1f} s. Its files: {lab.directory}")
    print(f"Next: ./dev lab --id {lab.id} status, probe, shell POD, exec -- ansible-playbook playbooks/enforce.yml;")
    print("and down when you are done.")


def _spec(options: argparse.Namespace) -> LabSpec:
    spec = small(options.variant, _FAMILIES[options.families])
    nodes = tuple(replace(node, proxy_mode=options.proxy_mode) for node in spec.nodes)
    return replace(spec, nodes=nodes, shell=options.shell)


def _down(options: argparse.Namespace) -> None:
    for lab_id in cleanup.known() if options.all else [options.id]:
        remove(lab_id)
        print(f"Lab {lab_id} is gone.")


def _status(options: argparse.Namespace) -> None:
    lab = Lab.attach(options.id)
    cluster = lab.cluster
    print(f"Lab {lab.id}: {', '.join(cluster.families)}; files in {lab.directory}")
    processes = netns.processes(netns.existing(netns.prefix(lab.id)))
    print(f"API: {'up' if lab.has_api else 'none'}; {len(processes)} processes\n")
    running = {name: "runs" if node.running else "ENDED" for name, node in lab.nodes.items()}
    _table(
        ["NODE", "STATE", "ADDRESSES", "VARIANT", "KUBE-PROXY"],
        [
            [name, running[name], " ".join(lab.ips(name)), node.variant or "", node.proxy_mode]
            for name, node in cluster.nodes.items()
        ],
    )
    _table(
        ["POD", "NODE", "ADDRESSES", "LABELS", "PHASE"],
        [
            [key, pod.node, " ".join(pod.ips), _labels(pod.labels), _phase(pod.phase, pod.host_network)]
            for key, pod in sorted(cluster.pods.items())
        ],
    )
    _table(
        ["SERVICE", "TYPE", "CLUSTER", "EXTERNAL", "PORTS", "POLICY"],
        [
            [
                key,
                service.type,
                " ".join(service.cluster_ips),
                " ".join(service.load_balancer_ips) or "-",
                " ".join(f"{port.port}:{port.node_port or '-'}/{port.protocol}" for port in service.ports),
                service.external_traffic_policy,
            ]
            for key, service in sorted(cluster.services.items())
        ],
    )


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "-"


def _phase(phase: str, host_network: bool) -> str:
    return f"{phase} (hostNetwork)" if host_network else phase


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    print()


def _shell(options: argparse.Namespace) -> None:
    lab = Lab.attach(options.id)
    command = lab.command(options.place, ["bash" if options.place not in lab.nodes else "/run/lab/bin/bash"])
    print(f"{options.place}: leave with exit")
    sys.stdout.flush()
    os.execvpe(command[0], command, lab.environment())  # noqa: S606 (an argv, no shell)


def _probe(options: argparse.Namespace) -> None:
    lab = Lab.attach(options.id)
    pods = [pod for key, pod in sorted(lab.cluster.pods.items()) if pod.has_network]
    sources = [*(pod.key for pod in pods), *lab.nodes, "ext"]
    for family in lab.cluster.families:
        targets = [(pod.key, ip) for pod in pods for ip in pod.ips if family_of(ip) == family]
        probes = [Probe(source, ip, options.port, options.protocol) for source in sources for _, ip in targets]
        answers = iter(lab.probe(probes))
        print(f"{family}, {options.protocol} port {options.port}: from the left to the top")
        rows = []
        for source in sources:
            cells = [next(answers) for _ in targets]
            rows.append([source, *("yes" if answer.ok else answer.reason for answer in cells)])
        _table(["", *(key for key, _ in targets)], rows)


def _exec(options: argparse.Namespace) -> None:
    lab = Lab.attach(options.id)
    wanted = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not wanted:
        raise LabError("exec: which command?")
    command = lab.command("ctl", wanted)
    os.execvpe(command[0], command, lab.environment())  # noqa: S606 (an argv, no shell)


if __name__ == "__main__":
    sys.exit(main())
