# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Attempts without pause, each recorded: the proof that no packet was judged wrongly for one moment.

A new attempt begins every ``interval`` whether or not those before have ended: a denied one takes its whole timeout,
and a gap of a millisecond must still meet the first packet of some attempt.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from .connections import attempt
from .sockets import Target


class _Watch:
    def __init__(self, targets: Sequence[Target], interval: float, timeout: float) -> None:
        self.records: list[list[Any]] = []
        self._timeout = timeout
        self._attempts: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._pacers = [
            loop.create_task(self._pace(number, target, interval, number * interval / len(targets)))
            for number, target in enumerate(targets)
        ]

    async def _pace(self, number: int, target: Target, interval: float, offset: float) -> None:
        loop = asyncio.get_running_loop()
        due = time.monotonic() + offset
        while True:
            await asyncio.sleep(due - time.monotonic())
            task = loop.create_task(self._record(number, target))
            self._attempts.add(task)
            task.add_done_callback(self._attempts.discard)
            # A loop that is late does not catch up in a burst.
            due = max(due + interval, time.monotonic())

    async def _record(self, number: int, target: Target) -> None:
        outcome = await attempt(target, self._timeout)
        self.records.append([number, *outcome.to_json()])

    async def stop(self) -> list[list[Any]]:
        """Begin no more, let those that run end, and return all by their start."""
        for pacer in self._pacers:
            pacer.cancel()
        await asyncio.gather(*self._pacers, return_exceptions=True)
        if self._attempts:
            await asyncio.wait(self._attempts)
        return sorted(self.records, key=lambda record: (record[5], record[0]))


class Watches:
    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._running: dict[int, _Watch] = {}

    def start(self, targets: Sequence[Target], interval: float, timeout: float) -> int:
        number = next(self._numbers)
        self._running[number] = _Watch(targets, interval, timeout)
        return number

    async def stop(self, number: int) -> list[list[Any]]:
        """Raises KeyError when there is none of the number."""
        return await self._running.pop(number).stop()
