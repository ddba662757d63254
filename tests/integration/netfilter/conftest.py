# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything here needs root and the real programs; the fixtures are nodes of every kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration.netfilter.network import Network, network
from integration.netfilter.node import SHELLS, VARIANTS, Node, node

_PROGRAMS = ("ip", "ipset", "nsenter", "unshare", *(f"iptables-{variant}-save" for variant in VARIANTS))
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0 or missing:
                item.add_marker(pytest.mark.skip(reason=f"needs root and the programs {missing or _PROGRAMS}"))


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def fresh(variant: str) -> Iterator[Node]:
    """A node whose iptables is of the variant, with nothing in its kernel."""
    with node(default_variant=variant) as made:
        yield made


@pytest.fixture
def wired(fresh: Node) -> Iterator[Network]:
    """Such a node between pods and the world."""
    with network(fresh) as made:
        yield made
