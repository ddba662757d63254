# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the processes of one run share, and that they do."""

from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.run import Helper, Run, digest_of


def _ask(temporary: Path) -> tuple[str, bool]:
    run = Run(temporary)
    return run.id, run.is_first("reaper-1")


def test_all_processes_of_a_run_are_one_run_and_one_is_first(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        answers = pool.map(_ask, [tmp_path] * 64)
    assert len({run for run, _ in answers}) == 1
    assert [first for _, first in answers].count(True) == 1


def test_two_runs_are_two(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert Run(tmp_path / "one").id != Run(tmp_path / "two").id


def test_what_one_notes_another_reads(tmp_path: Path) -> None:
    helper = Helper("npm-node-1", 2, 12.5)
    assert Run(tmp_path).helper("key") is None
    Run(tmp_path).note("key", helper)
    assert Run(tmp_path).helper("key") == helper
    Run(tmp_path).note("key", Helper("npm-node-1", 2, 0.0, doubtful=True))
    assert Run(tmp_path).helper("key") == Helper("npm-node-1", 2, 0.0, doubtful=True)


def test_nobody_else_can_look(tmp_path: Path) -> None:
    Run(tmp_path)
    (directory,) = tmp_path.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_digest_tells_nothing() -> None:
    assert digest_of("https://cluster", {"b": 1, "a": 2}) == digest_of("https://cluster", {"a": 2, "b": 1})
    assert digest_of("s3cret") != digest_of("other")
    assert "s3cret" not in digest_of("s3cret")
