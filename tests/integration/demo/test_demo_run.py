# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo as people start it: it passes, ends with one word, leaves nothing, and fails where something is wrong."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab import netns
from lab.cleanup import DIRECTORY
from lab.demo.cluster import ROOT, lab_spec
from lab.demo.report import Report
from lab.demo.walk import Walk
from lab.lab import Lab, remove

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("packets")]

STEPS = 7
# One look in each step, and a second one in step 6 at the damage.
TABLES = STEPS + 1


def run_demo(lab_id: str, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "tests"),
        "HOME": str(home),
        "ANSIBLE_HOME": str(home / "ansible"),
    }
    command = [sys.executable, "-m", "lab.demo", "--id", lab_id, *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300, cwd=home)


def left_of(lab_id: str) -> list[str]:
    """Namespaces and files of the lab, and processes that name it on their command line."""
    names = netns.existing(netns.prefix(lab_id))
    files = [str(path) for path in DIRECTORY.glob(f"{lab_id}*")]
    return names + files + [line for line in command_lines() if f"{DIRECTORY}/{lab_id}/" in line]


def command_lines() -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return lines


@pytest.fixture
def lab_id():
    """Unlike that of any other test run of this machine."""
    return f"d{os.getpid() % 16**5:05x}"


@pytest.fixture(
    params=[
        pytest.param(("nft", "dual", "ssh")),
        pytest.param(("nft", "dual", "node_pod")),
        pytest.param(("nft", "ipv4", "ssh"), marks=pytest.mark.full),
        pytest.param(("nft", "ipv6", "ssh"), marks=pytest.mark.full),
    ],
    ids="-".join,
)
def kind(request):
    return request.param


def test_the_demo_passes_and_leaves_nothing_behind(kind, lab_id, tmp_path):
    variant, families, connection = kind
    done = run_demo(lab_id, tmp_path, "--variant", variant, "--families", families, "--connection", connection)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS"), done.stdout
    assert [f"Step {step}" in done.stdout for step in range(1, STEPS + 1)] == [True] * STEPS
    assert len(re.findall(r"(\d+) of \1 paths are as expected", done.stdout)) == TABLES
    assert "FAIL" not in done.stdout
    assert done.stderr == ""
    assert left_of(lab_id) == []


def test_with_keep_and_legacy_iptables_the_lab_stays_and_the_demo_says_how_to_go_on(lab_id, tmp_path):
    try:
        done = run_demo(lab_id, tmp_path, "--keep", "--variant", "legacy")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"./dev lab --id {lab_id} down" in done.stdout
        assert Lab.attach(lab_id).reach("default/busybox-0", "default/src-ip-internal").ok
    finally:
        remove(lab_id)
    assert left_of(lab_id) == []


def test_the_demo_fails_where_connections_are_not_as_expected(lab_id):
    """Somebody else's rule drops what the demo expects to pass."""
    out = io.StringIO()
    report = Report(out)
    with Lab.up(lab_id, lab_spec(families=("ipv4",))) as lab:
        for node in lab.nodes.values():
            node.run("iptables -A FORWARD -p tcp --dport 8080 -j DROP")
        Walk(lab, report).no_policy()
    assert report.faults == 1, out.getvalue()
    assert "<-- IPv4: timeout" in out.getvalue()
    assert left_of(lab_id) == []
