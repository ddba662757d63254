# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Containers of the lab as plain processes: they leave nothing behind, and one that is lost takes no other with it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab.kubelet import container
from lab.kubelet.container import Container, ContainerError, ContainerSpec

SLEEP = ContainerSpec(command=("sleep", "100"), environment={"PATH": "/usr/bin:/bin"})


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_of_containers() -> None:
    Container(SLEEP).close()
    before = descriptors()
    for _ in range(5):
        Container(SLEEP).close()
    assert descriptors() == before


def test_the_end_of_the_process_that_forks_them_is_not_that_of_all() -> None:
    first = Container(SLEEP)
    parent = container._parent
    assert parent is not None
    parent._process.kill()
    parent._process.wait()
    assert first.main.poll() is None
    second = Container(SLEEP)
    assert second.main.poll() is None
    for each in (first, second):
        each.close()


def test_a_container_that_cannot_be_forked_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BlockingIOError(os.strerror(11))

    monkeypatch.setattr(container._ParentOfInits, "fork", refuse)
    with pytest.raises(ContainerError, match="Resource temporarily unavailable"):
        Container(SLEEP)
