# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the Molecule scenario does to the demo's lab beside running playbooks: ``python -m lab.demo.scenario``.

``up`` builds the lab and leaves it up, ``apply`` puts the demo's policies into its API, ``look`` tries every path with
all of them in force, ``down`` removes the lab.
"""

from __future__ import annotations

import argparse
import sys

from lab.lab import Lab, remove
from lab.netns import LabError

from .cluster import lab_spec, manifests
from .paths import Situation
from .report import Report
from .sights import look, rows


def up(lab_id: str, report: Report) -> None:
    Lab.up(lab_id, lab_spec(), keep=True, progress=report.action)
    report.done()


def apply(lab_id: str, report: Report) -> None:
    lab = Lab.attach(lab_id)
    for policy in manifests("policies"):
        report.action(f"apply the policy {policy['metadata']['name']}")
        lab.apply(policy)
    report.done()


def show(lab_id: str, report: Report) -> None:
    lab = Lab.attach(lab_id)
    sights = look(lab, Situation.SOURCE_ALLOWED)
    report.table(rows(lab, sights, Situation.SOURCE_ALLOWED))
    report.check(not any(sight.strange for sight in sights), "every path is as expected")


def down(lab_id: str, _report: Report) -> None:
    remove(lab_id)


def main() -> int:
    """Run one of the four. Returns the exit code: 1 when it could not be done or a path was not as expected."""
    steps = {"up": up, "apply": apply, "look": show, "down": down}
    parser = argparse.ArgumentParser(prog="python -m lab.demo.scenario", description=__doc__)
    parser.add_argument("step", choices=steps)
    parser.add_argument("--id", required=True, help="name of the lab: one to six of a-z and 0-9")
    options = parser.parse_args()
    report = Report(sys.stdout)
    try:
        steps[options.step](options.id, report)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
