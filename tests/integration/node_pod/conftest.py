# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab whose nodes are reached through its API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.node_pod.reach import Reach
from lab.lab import Lab


@pytest.fixture
def reach(lab: Lab, tmp_path: Path) -> Iterator[Reach]:
    """The shared lab, by helper pods."""
    made = Reach(lab, tmp_path)
    yield made
    lab.api.settings(minor=35, kubelet={"images": {}, "start_delay": 0.05})
    lab.api.clear_faults()
    assert made.is_clear()
