# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A timeout that counts only time in which the event loop was free to see an answer.

On a machine that is short of CPU the loop is late by more than a probe waits. Such lateness would turn an answer that
lies in the socket into silence, that is: a wrong "denied".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

# Each takes at least one turn of the loop, which is more turns than a whole exchange needs, client and server together.
_TICKS = 16


@contextlib.asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """Raises TimeoutError after ``seconds`` of a loop that keeps up; later when it does not."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:

        async def count_down() -> None:
            for _ in range(_TICKS):
                await asyncio.sleep(seconds / _TICKS)
            limit.reschedule(loop.time())

        clock = loop.create_task(count_down())
        try:
            yield
        finally:
            clock.cancel()
