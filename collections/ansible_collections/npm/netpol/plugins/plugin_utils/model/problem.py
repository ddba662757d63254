# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A problem: one object of the cluster, one field of it, what is wrong and what we did about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something a person should look at.

    ``field`` is a path as the Kubernetes API prints it (``spec.ingress[0].ports[1].endPort``), or empty
    when the whole object is meant. ``effect`` says what enforcement does about it.
    """

    kind: str
    namespace: str
    name: str
    field: str
    message: str
    effect: str = ""

    @property
    def object(self) -> str:
        """``NetworkPolicy shop/allow-web``, or ``Node worker-1`` for an object without a namespace."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def __str__(self) -> str:
        where = f"{self.object}: {self.field}" if self.field else self.object
        return f"{where}: {self.message}" + (f" ({self.effect})" if self.effect else "")

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Problem:
        return cls(**data)
