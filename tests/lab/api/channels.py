# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The subprotocols of exec over WebSocket: which is spoken, how a message names its channel, what ends a command."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V5 = "v5.channel.k8s.io"
# What kubelets speak themselves; v5 is spoken by the API server, which translates it for them.
_KUBELETS = ("", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io")


@dataclass(frozen=True, slots=True)
class Protocol:
    """A subprotocol by its name; "" where the client asks for none."""

    name: str

    @classmethod
    def negotiated(cls, offered: Sequence[str], *, v5: bool) -> Protocol | None:
        """What a server answers to these offers; None: it refuses. ``v5``: whether it has that."""
        if v5 and V5 in offered:
            return cls(V5)
        return next((cls(name) for name in offered or [""] if name in _KUBELETS), None)

    @property
    def closes_channels(self) -> bool:
        """Whether a client can say that a channel has come to its end."""
        return self.name == V5

    @property
    def is_text(self) -> bool:
        return "base64" in self.name

    def encode(self, channel: int, data: bytes) -> bytes | str:
        if self.is_text:
            return f"{channel}{base64.b64encode(data).decode()}"
        return bytes([channel]) + data

    def status(self, document: dict[str, Any]) -> bytes:
        """What is said on the error channel; before v4 a success is silence."""
        if self.name in {"", "channel.k8s.io", "base64.channel.k8s.io"}:
            return str(document.get("message", "")).encode()
        return json.dumps({"metadata": {}, **document}, separators=(",", ":")).encode()


SUCCESS = {"status": "Success"}


def decoded(text: str) -> bytes:
    """The data of a message of the base64 protocols, after its channel."""
    return base64.b64decode(text)


def exit_status(protocol: Protocol, argv: Sequence[str], code: int) -> dict[str, Any]:
    if code == 0:
        return SUCCESS
    # The API server has only the code; a kubelet passes on what the runtime says.
    why = f"error executing command [{' '.join(argv)}], exit code {code}"
    if protocol.name == V5:
        why = f"command terminated with exit code {code}"
    return {
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {why}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def internal_error(protocol: Protocol, why: str) -> dict[str, Any]:
    """A command that could not begin."""
    message = f"error executing command in container: failed to exec in container: {why}"
    if protocol.name == V5:
        # The kubelet's Status, which the API server passes on.
        message = f"Internal error occurred: {message}"
    return internal_failure(message)


def internal_failure(message: str) -> dict[str, Any]:
    return {
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }
