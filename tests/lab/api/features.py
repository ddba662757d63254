# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What depends on the version of Kubernetes that the server passes for, and can be changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Features:
    """``ping_seconds``: how often exec sends a WebSocket ping (a real server never does; others on the way do)."""

    minor: int = 35
    ping_seconds: float = 5.0

    @property
    def exec_v5(self) -> bool:
        """Whether exec over WebSocket speaks v5.channel.k8s.io."""
        return self.minor >= 30

    @property
    def exec_needs_create(self) -> bool:
        """Whether exec over WebSocket, a GET, needs the right to create pods/exec too."""
        return self.minor >= 35

    def version(self) -> dict[str, Any]:
        return {
            "major": "1",
            "minor": str(self.minor),
            "gitVersion": f"v1.{self.minor}.0+lab",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "2026-01-01T00:00:00Z",
            "goVersion": "none",
            "compiler": "none",
            "platform": "linux/amd64",
        }
