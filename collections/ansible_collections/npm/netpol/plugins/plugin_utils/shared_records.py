# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The records of all nodes in one text, which runs of several controllers share: see :mod:`node_records` for one's own.

Before its visits a run puts a mark of its own in the place of their nodes' records, and after them, records in the
place of its marks. A run that dies leaves marks, which are no records. Runs over different nodes only pass each other's
entries on.

A dead run's mark looks like that of a slow one. So it costs a node two visits: the next run takes it away and leaves no
record, and the one after that leaves one.

Two runs at one node can't wait for each other, as they have no lock in common. The second finds the first one's mark
and makes the node *contested*: neither leaves a record then, since nobody knows who was at the node last. Should a
third one come when the first has ended and the second has not, the node mostly refuses one of the two as older; if the
second dies there, a record of the third may stay untrue until a run with npm_scope all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

FORMAT = "npm.netpol/nodes"
VERSION = 1
# What the store in the cluster calls it.
BLOB = "nodes"

_CONTESTED = "contested"


@dataclass(frozen=True, slots=True)
class SharedRecords:
    """``records``: of each node that is known, the content of its record. ``marks``: of each node, who is at it."""

    records: Mapping[str, str] = field(default_factory=dict)
    marks: Mapping[str, str] = field(default_factory=dict)

    def begun(self, visits: Set[str], mark: str) -> SharedRecords:
        """With these nodes in the hands of the run that has this ``mark``."""
        new = {node: mark if self.marks.get(node, mark) == mark else _CONTESTED for node in visits}
        return SharedRecords(_without(self.records, visits), {**self.marks, **new})

    def ended(self, visits: Set[str], mark: str, records: Mapping[str, str]) -> SharedRecords:
        """With ``records`` of those of these nodes that nobody else has visited meanwhile, and none of the others."""
        own = {node: records[node] for node in visits if self.marks.get(node) == mark and node in records}
        return SharedRecords({**_without(self.records, visits), **own}, _without(self.marks, visits))

    @property
    def content(self) -> bytes | None:
        """None where nothing is known."""
        if not self.records and not self.marks:
            return None
        data = {"format": FORMAT, "version": VERSION, "marks": self.marks, "records": self.records}
        return json.dumps(data, sort_keys=True).encode()

    @classmethod
    def of(cls, content: bytes | None) -> SharedRecords:
        """Nothing is known where the content can't be read or is of another version."""
        try:
            data = json.loads(content or b"{}")
            if (data.get("format"), data.get("version")) != (FORMAT, VERSION):
                return cls()
            return cls(_texts(data["records"]), _texts(data["marks"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()


def _without(entries: Mapping[str, str], nodes: Set[str]) -> dict[str, str]:
    return {node: text for node, text in entries.items() if node not in nodes}


def _texts(entries: Any) -> dict[str, str]:
    """Raises :class:`TypeError` for anything else."""
    if not all(isinstance(text, str) for text in entries.values()):
        raise TypeError
    return dict(entries)
