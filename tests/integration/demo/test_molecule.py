# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Molecule scenario ``molecule/default``: the whole sequence with the installed Molecule."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab import netns
from lab.demo.cluster import ROOT

pytestmark = [pytest.mark.root, pytest.mark.full, pytest.mark.usefixtures("packets")]

ACTIONS = ("destroy", "syntax", "create", "prepare", "converge", "idempotence", "verify", "cleanup", "destroy")


def test_the_default_scenario_passes_and_leaves_nothing_behind(tmp_path):
    lab_id = f"m{os.getpid() % 16**5:05x}"
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(tmp_path / "molecule"),
        "NPM_LAB": lab_id,
        "NO_COLOR": "1",
    }
    command = [programs / "molecule", "test", "--scenario-name", "default"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    results = re.findall(r"^default (?:>|➜) (\w+): Executed: (\w+)$", said, re.MULTILINE)
    assert results == [(action, "Successful") for action in ACTIONS], said
    assert netns.existing(netns.prefix(lab_id)) == []
