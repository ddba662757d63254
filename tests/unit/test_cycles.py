# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The search for reference cycles is stopped, and goes on afterwards."""

from __future__ import annotations

import gc

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils import cycles


def test_cycles_are_searched_for_again_afterwards() -> None:
    def fail() -> None:
        with cycles.unsearched():
            assert not gc.isenabled()
            raise LookupError

    assert gc.isenabled()
    with pytest.raises(LookupError):
        fail()
    assert gc.isenabled()
