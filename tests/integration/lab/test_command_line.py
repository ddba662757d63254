# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m lab`` as people use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.lab import remove, unused_id

TESTS = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("packets")


@pytest.fixture(scope="module")
def lab_id(packets: None) -> Iterator[str]:
    each = unused_id()
    yield each
    remove(each)


def run(lab_id: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "lab", "--id", lab_id, *arguments]
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, env=environment, check=False, timeout=60
    )


def test_up_look_around_and_down(lab_id: str) -> None:
    up = run(lab_id, "up", "--variant", "legacy", "--families", "ipv4")
    assert up.returncode == 0, up.stderr
    assert f"Lab {lab_id} is up" in up.stdout

    status = run(lab_id, "status").stdout
    assert "shop/web-1" in status
    assert "legacy" in status
    assert "fd00:" not in status

    table = run(lab_id, "probe").stdout.splitlines()
    row = next(line for line in table if line.startswith("ext "))
    assert row.split()[1:] == ["yes"] * 6

    shell = run(lab_id, "shell", "shop/web-1", typed="ip -br -4 address show eth0; exit 3\n")
    assert "10.244.1.4/32" in shell.stdout
    assert shell.returncode == 3

    execute = run(lab_id, "exec", "--", "sh", "-c", 'ls "$KUBECONFIG" "$ANSIBLE_INVENTORY"; exit 4')
    assert (execute.returncode, execute.stderr) == (4, "")

    assert run(lab_id, "down").stdout == f"Lab {lab_id} is gone.\n"
    assert run(lab_id, "down").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["status"], "no lab"), (["shell", "a/b"], "no lab"), (["exec"], "no lab")],
)
def test_what_is_not_there_is_said_in_a_line(arguments: list[str], words: str) -> None:
    done = run(unused_id(), *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("lab: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_place_is_named() -> None:
    each = unused_id()
    try:
        assert run(each, "up", "--no-api").returncode == 0
        assert run(each, "shell", "shop/nobody").stderr == f"lab: no place 'shop/nobody' in lab {each}\n"
    finally:
        remove(each)
