# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asking the lab's agent for packets: single probes, attempts without pause, flows that last."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from .netns import LabError

TIMEOUT = 0.4
_ANSWER_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Probe:
    """From a place (a pod's key, a node's name, ``ext``, ``ctl``) to an address. Protocol: TCP, UDP, SCTP, ICMP or IP
    (then ``port`` is the IP protocol's number).

    ``from_address`` binds the source; empty: the kernel's choice. ``forged``: it is somebody else's, who would get the
    answer, so that a datagram (UDP) that arrives is the answer. ``payload``: so many bytes more, of a TCP download or
    of a UDP datagram or an echo, which may then need fragments.
    """

    source: str
    address: str
    port: int = 8080
    protocol: str = "TCP"
    from_address: str = ""
    forged: bool = False
    payload: int = 0

    def __str__(self) -> str:
        at = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.source} -> {at}:{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Answer:
    """``ok``: ``server`` (a pod's key, ``ext``) answered, and saw ``source`` as the client's address.

    Else ``reason``: timeout (confirmed by a second try), refused, reset, unreachable, prohibited, silent (connected,
    but no word). ``start`` and ``end`` are in seconds of the monotonic clock. ``retransmits``: packets that TCP lost.
    """

    ok: bool
    server: str
    source: str
    reason: str
    start: float
    end: float
    retransmits: int

    def __str__(self) -> str:
        return f"{self.server} saw {self.source}" if self.ok else self.reason


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of :meth:`Prober.continuous`."""

    probe: Probe
    answer: Answer

    @property
    def clean(self) -> bool:
        """It went well, and not only because TCP sent a lost packet again."""
        return self.answer.ok and not self.answer.retransmits


@dataclass(frozen=True, slots=True)
class FlowReport:
    """``received``: bytes of a download, datagrams of a UDP exchange (of ``sent``). ``longest_silence`` in seconds."""

    probe: Probe
    received: int
    sent: int
    longest_silence: float
    error: str

    @property
    def lost(self) -> int:
        """Datagrams without an answer; the last one or two may still have been under way."""
        return self.sent - self.received if self.probe.protocol == "UDP" else 0


class Prober:
    """A client of the agent, with a connection for each call. ``namespace`` gives the network namespace of a place."""

    def __init__(self, agent: Path, namespace: Callable[[str], str]) -> None:
        self._agent = agent
        self._namespace = namespace

    def probe(self, probes: Sequence[Probe], *, timeout: float = TIMEOUT, tries: int = 2) -> list[Answer]:
        """Answers in the order of the probes. Silence is believed only after ``tries`` tries of ``timeout`` seconds."""
        with _Conversation(self._agent) as agent:
            found = agent.ask(op="probe", probes=self._fields(probes), timeout=timeout, tries=tries)
        return [Answer(*fields) for fields in found]

    def continuous(self, probes: Sequence[Probe], *, interval: float = 0.02, timeout: float = 0.9) -> Continuous:
        """Begin attempts for every probe each ``interval`` seconds until ``stop``."""
        return Continuous(_Conversation(self._agent), probes, self._fields(probes), interval, timeout)

    def flows(self, probes: Sequence[Probe], *, answered: bool = True) -> LastingFlows:
        """Begin a flow for each probe; returns when each has had data. Raises LabError when one gets none.

        ``answered`` False: UDP that is sent without pause whether or not anything comes back.
        """
        return LastingFlows(_Conversation(self._agent), probes, self._fields(probes), answered=answered)

    def serve(self, name: str, place: str, ips: Sequence[str], ports: Sequence[tuple[int, str]]) -> None:
        with _Conversation(self._agent) as agent:
            agent.ask(op="serve", name=name, namespace=self._namespace(place), ips=list(ips), ports=list(ports))

    def withdraw(self, name: str) -> None:
        with _Conversation(self._agent) as agent:
            agent.ask(op="withdraw", name=name)

    def _fields(self, probes: Sequence[Probe]) -> list[list[Any]]:
        known = {place: self._namespace(place) for place in {probe.source for probe in probes}}
        return [
            [known[each.source], each.address, each.port, each.protocol, each.from_address, each.forged, each.payload]
            for each in probes
        ]


class _Conversation:
    def __init__(self, agent: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_PATIENCE)
        try:
            self._socket.connect(str(agent))
        except OSError as error:
            self._socket.close()
            raise LabError(f"the lab's agent does not answer: {error}") from error
        self._answers = self._socket.makefile("rb")

    def ask(self, **request: Any) -> Any:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._answers.readline()
        if not line:
            raise LabError(f"the lab's agent ended during {request['op']}")
        answer = json.loads(line)
        if "error" in answer:
            raise LabError(f"the lab's agent: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Continuous:
    """Attempts that go on. ``stop`` ends them and returns every one, by its start; ``with`` stops too."""

    def __init__(
        self,
        agent: _Conversation,
        probes: Sequence[Probe],
        fields: list[list[Any]],
        interval: float,
        timeout: float,
    ) -> None:
        self._agent = agent
        self._probes = list(probes)
        self._id = agent.ask(op="watch", probes=fields, interval=interval, timeout=timeout)
        self.attempts: list[Attempt] = []
        self._stopped = False

    def stop(self) -> list[Attempt]:
        if not self._stopped:
            self._stopped = True
            found = self._agent.ask(op="unwatch", id=self._id)
            self._agent.close()
            self.attempts = [Attempt(self._probes[number], Answer(*fields)) for number, *fields in found]
        return self.attempts

    def of(self, probe: Probe) -> Iterator[Attempt]:
        """Those of one probe, after ``stop``."""
        return (each for each in self.attempts if each.probe == probe)

    def __enter__(self) -> Continuous:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


class LastingFlows:
    """Flows that go on. ``stop`` ends them and reports on each; ``with`` stops too."""

    def __init__(
        self, agent: _Conversation, probes: Sequence[Probe], fields: list[list[Any]], *, answered: bool
    ) -> None:
        self._agent = agent
        self._probes = list(probes)
        try:
            self._id = agent.ask(op="flow", probes=fields, answered=answered)
        except LabError:
            agent.close()
            raise
        self.reports: list[FlowReport] = []

    def go_on(self) -> list[bool]:
        """Of each, whether it still gets data: more than was under way."""
        found: list[bool] = self._agent.ask(op="goes_on", id=self._id)
        return found

    def stop(self) -> list[FlowReport]:
        if not self.reports:
            found = self._agent.ask(op="unflow", id=self._id)
            self._agent.close()
            self.reports = [FlowReport(probe, **each) for probe, each in zip(self._probes, found, strict=True)]
        return self.reports

    def __enter__(self) -> LastingFlows:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
