# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""./dev and its tools: what they promise to a person and to a job."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools import lint, matrix
from tools.places import ROOT, environment

_SKIPPED = "import pytest\n\n@pytest.mark.root\n@pytest.mark.skip(reason='no ipset')\ndef test_it(): pass\n"
_SKIPPED_EVERYWHERE = "import pytest\n\n@pytest.mark.skip(reason='of no use here')\ndef test_it(): pass\n"
_EXPECTED_TO_FAIL = "import pytest\n\n@pytest.mark.root\n@pytest.mark.xfail\ndef test_it(): assert False\n"


@pytest.mark.parametrize(
    ("source", "variables", "status"),
    [
        (_SKIPPED, {"CI": "true"}, 1),
        (_SKIPPED, {"CI": "", "NPM_REQUIRE_PACKETS": "1"}, 1),
        (_SKIPPED, {"CI": ""}, 0),
        (_SKIPPED_EVERYWHERE, {"CI": "true"}, 0),
        (_EXPECTED_TO_FAIL, {"CI": "true"}, 0),
    ],
    ids=["in-ci", "by-request", "on-a-laptop", "no-packet-test", "an-expected-failure"],
)
def test_a_skipped_packet_test_fails_where_packets_are_required(
    source: str, variables: dict[str, str], status: int, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tools.packets", "-p", "no:cacheprovider", "-c", "pytest.ini", "."]
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = root\n")
    values = {name: value for name, value in environment().items() if name != "NPM_REQUIRE_PACKETS"}
    done = subprocess.run(command, cwd=tmp_path, env=values | variables, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout
    assert ("packet tests are required here" in done.stdout) == (status == 1)


def test_an_unknown_command_is_refused_and_the_others_are_named() -> None:
    done = subprocess.run([ROOT / "dev", "tset"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "./dev COMMAND" in done.stderr


def test_an_unknown_linter_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint.main(["rufff"]) == 2
    assert "rufff" in capsys.readouterr().out


def test_the_oldest_of_a_range_is_its_lower_bound() -> None:
    assert matrix.lower_bound("kubernetes>=28.1,<38") == "kubernetes==28.1.*"
    with pytest.raises(SystemExit, match="lower bound"):
        matrix.lower_bound("kubernetes")
