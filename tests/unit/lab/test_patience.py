# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Silence is time in which an answer could have been seen."""

from __future__ import annotations

import asyncio
import time

import pytest
from lab.patience import patience


def test_silence_ends_after_its_time() -> None:
    async def wait() -> None:
        async with patience(0.05):
            await asyncio.Event().wait()

    start = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(wait())
    assert time.monotonic() - start >= 0.05


def test_time_in_which_the_loop_was_held_up_does_not_count() -> None:
    """An exchange of several turns, each after a hold-up longer than the whole timeout."""

    async def exchange() -> str:
        async with patience(0.05):
            for _ in range(5):
                time.sleep(0.06)
                await asyncio.sleep(0)
        return "answered"

    async def plain() -> None:
        async with asyncio.timeout(0.05):
            for _ in range(5):
                time.sleep(0.06)
                await asyncio.sleep(0)

    assert asyncio.run(exchange()) == "answered"
    with pytest.raises(TimeoutError):
        asyncio.run(plain())


def test_an_answer_in_time_leaves_no_timer_behind() -> None:
    async def quick() -> bool:
        async with patience(0.02):
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        return True

    assert asyncio.run(quick())
