# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The visits of one run: which nodes it may go to, as the store in the cluster knows them, and what they leave there.

Between beginning and end the records are files in a directory of the run's own. There each node's task decides whether
it visits, and there a visit removes and writes the record. It is no harm if more nodes are expected to be visited.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import whole_file
from .cluster.configmaps import ConfigMapStore, DamagedError, StoreError
from .node_records import Record, Records
from .shared_records import BLOB, SharedRecords

_FILE = "visits.json"


@dataclass(frozen=True, slots=True)
class Visits:
    """``nodes``: those that are expected to be visited. ``cluster``: whose; "" where they are to hold nothing.

    ``left_out``: of each other node, the digest of its record. ``marked``: the store says which nodes are visited.
    ``doubtful``: it doesn't, and so may have records of them that the visits make untrue: from before, or from another
    run meanwhile.
    """

    cluster: str
    mark: str
    nodes: tuple[str, ...]
    left_out: Mapping[str, str]
    marked: bool
    doubtful: bool


def begin(
    store: ConfigMapStore, directory: Path, cluster: str, wanted: Mapping[str, Record | None], *, check_mode: bool
) -> tuple[Visits, list[str]]:
    """Take all records into ``directory``, and out of the store those of the nodes that are visited.

    ``wanted``: of each node of the run the record with which it is left out; None for one that is visited whatever is
    known. Returns warnings too. Raises :class:`OSError` where ``directory`` can't be written.
    """
    mark = secrets.token_hex(16)
    found = SharedRecords()
    visited = set(wanted)
    warnings: list[str] = []
    marked, doubtful, complete = not check_mode, False, False

    def change() -> bytes | None:
        nonlocal found, visited, complete
        complete = False
        # Of an earlier try.
        warnings.clear()
        found = _read(store, warnings)
        complete = not warnings
        visited = {node for node, record in wanted.items() if not (record and _is_held(record, found))}
        return found.begun(visited, mark).content

    try:
        if check_mode:
            change()
        else:
            store.change(BLOB, change)
    except StoreError as error:
        marked = False
        complete = complete and store.known
        held = not visited.isdisjoint(found.records)
        doubtful = not check_mode and (held or not error.foreign)
        stay = doubtful and (held or not complete) and not (complete and _is_emptied(store))
        warnings.append(
            f"the next run with npm_scope changed may leave out nodes that this one visits, unless this one comes to "
            f"its end: {error}"
            if stay
            else f"the next run with npm_scope changed visits the nodes that this one visits: {error}"
        )
    if directory.exists():
        shutil.rmtree(directory)
    records = Records(directory)
    for node in wanted.keys() & found.records.keys():
        records.take_over(cluster, node, found.records[node])
    left_out = {node: _digest(found.records[node]) for node in wanted.keys() - visited}
    visits = Visits(cluster, mark, tuple(sorted(visited)), left_out, marked, doubtful)
    whole_file.write(directory / _FILE, json.dumps(asdict(visits)).encode())
    return visits, warnings


def end(store: ConfigMapStore, directory: Path) -> list[str]:
    """Put the records that the visits have left into the store; returns warnings.

    A play's own variables may have had visits that the beginning knew nothing of: with another scope or other options,
    or to nodes of other names. What the store knows of those goes.

    Raises :class:`StoreError` where records that are no longer true may be there, :class:`OSError` where nobody can
    tell which nodes were visited.
    """
    try:
        told = json.loads((directory / _FILE).read_bytes())
    except FileNotFoundError:
        return []
    visits = Visits(**told)
    records = Records(directory)
    left = {node: records.content_of(visits.cluster, node) for node in (*visits.nodes, *visits.left_out)}
    unexpected = {node for node, digest in visits.left_out.items() if _digest(left[node]) != digest}
    unexpected |= {node for node in records.visited() if node not in left}
    nodes = {*visits.nodes, *unexpected}
    if not nodes or not (visits.marked or visits.doubtful or unexpected):
        return []
    left = {node: content for node, content in left.items() if content}
    warnings: list[str] = []
    try:
        store.change(BLOB, lambda: _read(store, warnings).ended(nodes, visits.mark, left).content)
    except StoreError as error:
        if visits.doubtful or unexpected:
            raise
        warnings.append(f"the next two runs with npm_scope changed visit the nodes that this one has visited: {error}")
    return warnings


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _is_emptied(store: ConfigMapStore) -> bool:
    """Whether nothing is known of any node any more: that takes no room, which may be what there was not.

    Never where another run has marks: without them a third would leave a record of a node that the other still changes.
    """
    content: bytes | None = None

    def change() -> bytes | None:
        nonlocal content
        content = store.read(BLOB)
        if not SharedRecords.of(content).marks:
            content = None
        return content

    try:
        store.change(BLOB, change)
    except StoreError:
        return False
    return content is None


def _is_held(record: Record, found: SharedRecords) -> bool:
    return record.names_a_machine and found.records.get(record.node) == record.content.decode()


def _read(store: ConfigMapStore, warnings: list[str]) -> SharedRecords:
    """Nothing where what the store has is not whole. Raises :class:`StoreError` where it can't be read."""
    try:
        return SharedRecords.of(store.read(BLOB))
    except DamagedError as error:
        warnings[:] = [f"what is known of the nodes was not used, and they are visited: {error}"]
        return SharedRecords()
