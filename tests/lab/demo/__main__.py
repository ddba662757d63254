# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The command line of the demo: ``python -m lab.demo``."""

from __future__ import annotations

import argparse
import sys
from typing import get_args

from lab.access import Connection, inventories, prepare
from lab.lab import Lab
from lab.netns import LabError

from .cluster import lab_spec
from .report import Report
from .walk import Walk

_FAMILIES = {"ipv4": ("ipv4",), "ipv6": ("ipv6",), "dual": ("ipv4", "ipv6")}


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns the exit code: 0 all was as expected, 1 something was not, 2 it could not be run."""
    options = _parser().parse_args(arguments)
    report = Report(sys.stdout)
    try:
        demo(options, report)
    except LabError as error:
        report.note(f"\n{error}\n")
        print(f"FAIL: the demo ended early, after {report.elapsed:.0f} s")
        return 2
    except KeyboardInterrupt:
        print("\nstopped")
        return 130
    if report.faults:
        print(f"\nFAIL: {report.faults} things were not as expected, in {report.elapsed:.0f} s")
        return 1
    print(f"\nPASS: everything was as expected, in {report.elapsed:.0f} s")
    return 0


def demo(options: argparse.Namespace, report: Report) -> None:
    report.heading("The lab")
    spec = lab_spec(options.variant, _FAMILIES[options.families])
    lab = Lab.up(options.id, spec, keep=options.keep, progress=report.action)
    try:
        _describe(lab, report)
        prepare(lab, options.connection)
        Walk(lab, report, options.connection).all_steps()
    finally:
        report.done()
        if options.keep:
            report.heading("The lab stays up")
            report.note(_how_to_look_around(lab, options.connection))
        else:
            report.heading("The end")
            report.action("remove the lab")
            lab.down()
            report.done()


def _describe(lab: Lab, report: Report) -> None:
    """Where the pods run, and where the Services lead."""
    report.note("")
    report.table(
        [
            ("pod", "labels", "node", "addresses"),
            *(
                (pod.name, ",".join(f"{key}={value}" for key, value in pod.labels.items()), pod.node, " ".join(pod.ips))
                for pod in lab.cluster.pods.values()
            ),
        ]
    )
    report.table(
        [
            ("service", "externalTrafficPolicy", "ClusterIP", "balancer"),
            *(
                (each.name, each.external_traffic_policy, " ".join(each.cluster_ips), " ".join(each.load_balancer_ips))
                for each in lab.cluster.services.values()
            ),
        ]
    )
    report.note(f"\nThe outside client is {' '.join(lab.ips('ext'))}.")


def _how_to_look_around(lab: Lab, connection: Connection) -> str:
    return f"""\
./dev lab --id {lab.id} status
./dev lab --id {lab.id} shell default/busybox-0
./dev lab --id {lab.id} exec -- ansible-playbook playbooks/enforce.yml {" ".join(inventories(lab, connection))} --diff
./dev lab --id {lab.id} down"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev demo", description="The walk-through on a lab; takes about a minute.")
    parser.add_argument("--keep", action="store_true", help="leave the lab up to look around")
    parser.add_argument(
        "--connection",
        choices=get_args(Connection),
        default="ssh",
        help="how the nodes are reached: ssh, or the Kubernetes API alone (npm.netpol.node_pod)",
    )
    parser.add_argument("--variant", choices=("nft", "legacy"), default="nft", help="iptables on the nodes")
    parser.add_argument("--families", choices=sorted(_FAMILIES), default="dual", help="address families of the cluster")
    parser.add_argument("--id", default="demo", help="name of the lab: one to six of a-z and 0-9")
    return parser


if __name__ == "__main__":
    sys.exit(main())
