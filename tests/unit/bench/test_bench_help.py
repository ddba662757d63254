# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ``./dev bench --help`` says: for people, and a line about each benchmark."""

from __future__ import annotations

import pytest
from bench import __main__ as command


def test_the_help_has_a_line_about_each_benchmark_and_no_markup(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--help"])
    with pytest.raises(SystemExit, match="0"):
        command.main()
    text = capsys.readouterr().out
    assert "`" not in text
    lines = dict(line.split(maxsplit=1) for line in text.partition("benchmarks:\n")[2].splitlines())
    assert lines.keys() - {"Times"} == command.BENCHMARKS.keys()
    assert all(" min" in lines[name] or "hour" in lines[name] for name in command.BENCHMARKS)
