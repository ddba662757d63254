# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's one process with sockets everywhere: answers on the pods' ports, and opens connections from any place.

A socket stays in the network namespace in which it was made, so one event loop serves all of them. It takes requests
as lines of JSON over a unix socket (``lab.probe`` is the client): one request, one line of answer, any number at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from . import connections, netns
from .answering import Answering
from .flows import Flows
from .sockets import Target
from .watching import Watches

_AT_ONCE = 400
Request = dict[str, Any]
_LONGEST_REQUEST = 1 << 28


class Agent:
    def __init__(self) -> None:
        self.answering = Answering()
        self.watches = Watches()
        self.flows = Flows()
        self._operations: dict[str, Callable[[Request], Awaitable[Any]]] = {
            "serve": self._serve,
            "withdraw": self._withdraw,
            "probe": self._probe,
            "watch": self._watch,
            "unwatch": self._unwatch,
            "flow": self._flow,
            "goes_on": self._goes_on,
            "unflow": self._unflow,
        }

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes. What it started and did not end, ends with it."""
        started: list[tuple[Watches | Flows, int]] = []
        try:
            while line := await reader.readline():
                request: Request = json.loads(line)
                try:
                    answer = {"result": await self._operations[request["op"]](request)}
                except OSError as error:
                    answer = {"error": f"{request['op']}: {error.strerror or error}"}
                except (ValueError, KeyError) as error:
                    answer = {"error": f"{request.get('op')}: {error!r}"}
                kinds: dict[str, Watches | Flows] = {"watch": self.watches, "flow": self.flows}
                kind = kinds.get(request["op"])
                if kind is not None and "result" in answer:
                    started.append((kind, answer["result"]))
                writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                await writer.drain()
        except ConnectionError:
            return
        finally:
            for kind, number in started:
                # Most have been stopped by their owner.
                with contextlib.suppress(KeyError):
                    await kind.stop(number)
            writer.close()

    async def _serve(self, request: Request) -> None:
        self.answering.serve(request["name"], request["namespace"], request["ips"], request["ports"])

    async def _withdraw(self, request: Request) -> None:
        self.answering.withdraw(request["name"])

    async def _probe(self, request: Request) -> list[list[Any]]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(fields: list[Any]) -> list[Any]:
            target = Target(*fields)
            async with gate:
                for _ in range(request["tries"]):
                    outcome = await connections.attempt(target, request["timeout"])
                    if outcome.reason not in connections.SILENCE:
                        break
            return outcome.to_json()

        return await asyncio.gather(*(one(fields) for fields in request["probes"]))

    async def _watch(self, request: Request) -> int:
        targets = [Target(*fields) for fields in request["probes"]]
        return self.watches.start(targets, request["interval"], request["timeout"])

    async def _unwatch(self, request: Request) -> list[list[Any]]:
        return await self.watches.stop(request["id"])

    async def _flow(self, request: Request) -> int:
        targets = [Target(*fields) for fields in request["probes"]]
        return await self.flows.start(targets, answered=request["answered"])

    async def _goes_on(self, request: Request) -> list[bool]:
        return await self.flows.go_on(request["id"])

    async def _unflow(self, request: Request) -> list[dict[str, Any]]:
        return await self.flows.stop(request["id"])


async def _main(socket_path: str) -> None:
    agent = Agent()
    server = await asyncio.start_unix_server(agent.converse, socket_path, limit=_LONGEST_REQUEST)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)
    # Its home is the controller's namespace: there the lab finds and ends it.
    with netns.entered(sys.argv[2]):
        asyncio.run(_main(sys.argv[1]))
