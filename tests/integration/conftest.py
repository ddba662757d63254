# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Labs for integration tests: one that modules share, and a factory for special ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab import requirements
from lab.lab import Lab, unused_id
from lab.spec import LabSpec, small

MakeLab = Callable[..., Lab]


@pytest.fixture(scope="session")
def packets() -> None:
    """Skips what needs network namespaces where there are none; an error where they are required."""
    if not (reasons := requirements.unmet()):
        return
    if requirements.required(os.environ):
        pytest.fail(f"packets are required: {'; '.join(reasons)}")
    pytest.skip("; ".join(reasons))


@pytest.fixture(scope="session")
def shared_lab_spec() -> LabSpec:
    return small()


@pytest.fixture(scope="session")
def _shared_lab(packets: None, shared_lab_spec: LabSpec) -> Iterator[Lab]:
    with Lab.up(unused_id(), shared_lab_spec) as lab:
        yield lab


@pytest.fixture
def lab(_shared_lab: Lab, shared_lab_spec: LabSpec) -> Iterator[Lab]:
    """The small lab (two nodes, dual stack, nft), shared by all and reset after each test."""
    yield _shared_lab
    _shared_lab.reset(shared_lab_spec)


@pytest.fixture
def make_lab(packets: None) -> Iterator[MakeLab]:
    """``make_lab(spec, api=…)``: a lab of one's own; all go at the end of the test."""
    made: list[Lab] = []

    def make(spec: LabSpec, **options: Any) -> Lab:
        made.append(Lab.up(unused_id(), spec, **options))
        return made[-1]

    yield make
    for each in reversed(made):
        each.down()
