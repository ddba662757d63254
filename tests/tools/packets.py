# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A pytest plugin for ``./dev test``: which tests need packets, and that they ran (``-p tools.packets``).

Tests of real packets skip themselves where they can't run, which is right on a laptop and wrong where somebody relies
on the result: with CI=true or NPM_REQUIRE_PACKETS=1 a packet test that is skipped fails.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from .places import ROOT

_PACKET_FOLDERS = (ROOT / "tests/integration", ROOT / "tests/conformance")


def required() -> bool:
    """Whether a skipped packet test is a failure."""
    return os.environ.get("CI") == "true" or os.environ.get("NPM_REQUIRE_PACKETS") == "1"


def _in_packet_folder(path: Path) -> bool:
    return any(folder in path.parents for folder in _PACKET_FOLDERS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in the packet folders has the marker ``root``, whether its author thought of it or not."""
    for item in items:
        if _in_packet_folder(item.path):
            item.add_marker("root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a packet test's skip into a failure where packets are required. An expected failure stays one."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and required() and item.get_closest_marker("root"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself."""
    report = yield
    if report.skipped and required() and _in_packet_folder(collector.path):
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: packet tests are required here, but this one was skipped: {reason}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave the counts for the summary of ./dev test, in the file that NPM_TEST_COUNTS names."""
    file = os.environ.get("NPM_TEST_COUNTS")
    if file:
        kinds = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        counts = {kind: len(terminalreporter.stats.get(kind, [])) for kind in kinds}
        Path(file).write_text(", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "no tests")
