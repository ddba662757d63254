# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The line that says what machine figures are from."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.release import __version__ as ansible_core
from bench.results import describe, machine

SAID = {"iptables": "iptables v1.8.9 (nf_tables)", "ipset": "ipset v7.17, protocol version: 7"}


def test_it_needs_no_activated_virtual_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for program, words in SAID.items():
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{words}'\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert f"ansible-core {ansible_core}, iptables 1.8.9, ipset 7.17, load before " in describe(machine())
