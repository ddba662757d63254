# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each test of the playbooks begins on a cluster without policies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab.lab import Lab


@pytest.fixture
def lab(lab: Lab) -> Iterator[Lab]:
    yield lab
    # Items of a list don't say what they are, and the lab's reset takes them as they come.
    for item in lab.api.list("networkpolicies"):
        lab.api.delete({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **item})
