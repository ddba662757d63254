# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The visits of one run: which nodes it goes to, as far as the store in the cluster knows, and what they leave there.

Between beginning and end the records are files in a directory of the run's own, where its visits remove and write them.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from . import whole_file
from .cluster.configmaps import ConfigMapStore, StoreError
from .node_records import Record, Records
from .shared_records import BLOB, SharedRecords

_FILE = "visits.json"


@dataclass(frozen=True, slots=True)
class Visits:
    """``nodes``: those that are visited. ``cluster``: whose they are; "" where they are to hold nothing.

    ``marked``: the store says that they are visited. ``doubtful``: it may still have records of them, which the visits
    make untrue.
    """

    cluster: str
    mark: str
    nodes: tuple[str, ...]
    marked: bool
    doubtful: bool


def begin(
    store: ConfigMapStore, directory: Path, cluster: str, wanted: Mapping[str, Record | None], *, check_mode: bool
) -> tuple[Visits, list[str]]:
    """Take the records of the nodes that are visited out of the store, and the others into ``directory``.

    ``wanted``: of each node of the run the record with which it is left out; None for one that is visited whatever is
    known. Returns warnings too. Raises :class:`OSError` where ``directory`` can't be written.
    """
    mark = secrets.token_hex(16)
    found = SharedRecords()
    visited = set(wanted)
    warnings: list[str] = []
    marked, doubtful = not check_mode, False

    def change() -> bytes | None:
        nonlocal found, visited
        found = _read(store, warnings)
        visited = {node for node, record in wanted.items() if not (record and _is_held(record, found))}
        return found.begun(visited, mark).content

    try:
        if check_mode:
            change()
        else:
            store.change(BLOB, change)
    except StoreError as error:
        marked = False
        doubtful = not check_mode and (not visited.isdisjoint(found.records) if store.known else error.passing)
        doubtful = doubtful and not _is_emptied(store)
        warnings.append(f"the next run with npm_scope changed visits the nodes that this one visits: {error}")
    if directory.exists():
        shutil.rmtree(directory)
    records = Records(directory)
    for node, record in wanted.items():
        if record and node not in visited:
            records.take_over(record)
    visits = Visits(cluster, mark, tuple(sorted(visited)), marked, doubtful)
    whole_file.write(directory / _FILE, json.dumps(asdict(visits)).encode())
    return visits, warnings


def end(store: ConfigMapStore, directory: Path) -> list[str]:
    """Put the records that the visits have left into the store; returns warnings.

    Raises :class:`StoreError` where records that are no longer true may be there.
    """
    try:
        told = json.loads((directory / _FILE).read_bytes())
    except FileNotFoundError:
        return []
    visits = Visits(**told)
    if not visits.nodes or not (visits.marked or visits.doubtful):
        return []
    warnings: list[str] = []
    records, nodes = Records(directory), set(visits.nodes)
    left = {node: content for node in nodes if (content := records.content_of(visits.cluster, node))}
    try:
        store.change(BLOB, lambda: _read(store, warnings).ended(nodes, visits.mark, left).content)
    except StoreError as error:
        if visits.doubtful:
            raise
        warnings.append(f"the next run with npm_scope changed visits the nodes that this one has visited: {error}")
    return warnings


def _is_emptied(store: ConfigMapStore) -> bool:
    """Whether nothing is known of any node any more: that takes no room, which may be what there was not."""
    try:
        store.change(BLOB, lambda: None)
    except StoreError:
        return False
    return True


def _is_held(record: Record, found: SharedRecords) -> bool:
    return record.names_a_machine and found.records.get(record.node) == record.content.decode()


def _read(store: ConfigMapStore, warnings: list[str]) -> SharedRecords:
    """Nothing where what the store has is not whole. Raises :class:`StoreError` where nobody can tell."""
    try:
        return SharedRecords.of(store.read(BLOB))
    except StoreError as error:
        if not store.known:
            raise
        warnings[:] = [f"what is known of the nodes was not used, and they are visited: {error}"]
        return SharedRecords()
