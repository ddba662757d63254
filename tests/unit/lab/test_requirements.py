# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Packet tests are skipped only where they may be, and the reason names what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import requirements, tools
from lab.netns import LabError


def test_the_reasons_name_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "_WHERE", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    not_root, lacking = requirements.unmet()
    assert not_root == "not root"
    assert {"ipset", "sshd", "sudo", "ip6tables-legacy"} <= set(lacking.removeprefix("this machine lacks ").split(", "))


def test_a_node_is_not_made_of_half_its_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools, "_WHERE", str(tmp_path))
    with pytest.raises(LabError, match="this machine has no sh,"):
        tools.populate(tmp_path, "nft")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, False), ({"CI": "false"}, False), ({"CI": "true"}, True), ({"NPM_REQUIRE_PACKETS": "1"}, True)],
)
def test_where_packets_are_required(environment: dict[str, str], expected: bool) -> None:
    assert requirements.required(environment) == expected
