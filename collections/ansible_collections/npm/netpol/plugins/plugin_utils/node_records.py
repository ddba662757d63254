# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the last successful run put on each node, as the controller remembers it: for runs that visit the others only.

A record says too little rather than too much. It goes before a visit begins and comes back when the node holds all that
was wanted, so that whatever ends a visit early leaves none. It goes by the node's name, since one who removes our rules
knows no more of a node; the machine behind the name, and which start of it, are in the record.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

from . import netfilter, state_directory, templates, whole_file
from .model import names

FORMAT = "npm.netpol/node"

ALL = "all"
CHANGED = "changed"
SCOPES = (ALL, CHANGED)

_SECONDS_BETWEEN_TRIES = 0.05


class RecordError(Exception):
    """The node must not be visited now: the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that decides what a node is to hold, and on which start of which machine.

    ``target`` names what is rendered; ``variant`` and what follows are options of the ruleset module, as asked for.
    A template of the user's for a script of the node is left out: it decides how the node gets there.
    """

    cluster: str
    node: str
    uid: str
    boot_id: str
    target: str
    variant: str
    hook: str
    accept: bool
    datapath_check: bool

    @property
    def content(self) -> bytes:
        data = {"format": FORMAT, "code": code(), **asdict(self)}
        return json.dumps(data, sort_keys=True, indent=1).encode() + b"\n"

    @property
    def names_a_machine(self) -> bool:
        """Whether another machine, or another start of it, would have another record."""
        names = state_directory.is_name(self.cluster) and state_directory.is_name(self.node)
        return bool(names and self.uid and self.boot_id)


Remember = Callable[[Record], str]


@cache
def code() -> str:
    """Names the code between what is rendered and what the node then holds: another may make something else of it."""
    digest = hashlib.sha256()
    scripts = (*Path(str(netfilter.__file__)).parent.glob("*.py"), *templates.NODE_SCRIPTS.glob("*.j2"))
    for path in (*sorted(scripts), Path(str(names.__file__))):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class Records:
    """The records below one directory, which need not be there yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def hold(self, record: Record) -> bool:
        """Whether the last run at the node was successful and wanted just this, on this start of this machine.

        A file that can't be read, is damaged or of another version is not equal to any that would be written now.
        """
        try:
            return record.names_a_machine and self._path(record.cluster, record.node).read_bytes() == record.content
        except OSError:
            return False

    def content_of(self, cluster: str, node: str) -> str:
        """The content of a node's record; "" where there is none."""
        try:
            return self._path(cluster, node).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def visited(self) -> list[str]:
        """The nodes of all visits so far, whatever has become of them. Raises :class:`OSError`."""
        return state_directory.locked(self._directory)

    def take_over(self, cluster: str, node: str, content: str) -> None:
        """Have the record that another controller has left of a node. Raises :class:`OSError`."""
        if state_directory.is_name(cluster) and state_directory.is_name(node):
            path = self._path(cluster, node)
            whole_file.make_directory(path.parent)
            path.write_text(content, encoding="utf-8")

    def forget(self, node: str) -> None:
        """Have no record of the node, of whatever cluster. Raises :class:`RecordError`."""
        if state_directory.is_name(node):
            self._forget(node, None)

    @contextmanager
    def visit(self, node: str, cluster: str | None, patience: float) -> Iterator[Remember]:
        """A visit to ``node``: it has no record any more, and no other run that keeps records here is at it meanwhile.

        Of two at once, one could note what it wanted after the other had changed the node. ``cluster``: whose record
        goes; None: every cluster's, where the node may have been another's. Yields what to call with the new record
        once the node holds what it is to hold: it returns a warning, empty when there is none.

        Raises :class:`RecordError` when another run stays for ``patience`` seconds, and when a record can't be removed.
        """
        with ExitStack() as stack:
            obstacle = None
            if state_directory.is_name(node):
                try:
                    stack.enter_context(self._alone(node, patience))
                except OSError as error:
                    obstacle = error
                self._forget(node, cluster)
            yield partial(self._remember, obstacle)

    @contextmanager
    def _alone(self, node: str, patience: float) -> Iterator[None]:
        """Raises :class:`OSError` where there can be no lock, :class:`RecordError` when it is held too long."""
        path = state_directory.lock(self._directory, node)
        whole_file.make_directory(path.parent)
        with path.open("ab") as file:
            deadline = time.monotonic() + patience
            while not _lock(file):
                if time.monotonic() >= deadline:
                    raise RecordError(f"another run has held the lock {path} of the controller for {patience:g} s")
                time.sleep(_SECONDS_BETWEEN_TRIES)
            yield

    def _forget(self, node: str, cluster: str | None) -> None:
        clusters = self._clusters() if cluster is None else [cluster] if state_directory.is_name(cluster) else []
        for path in [self._path(each, node) for each in clusters]:
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise RecordError(
                    f"the record {path} cannot be removed: {error.strerror or error}. The node was not touched, since "
                    "its record would no longer be true"
                ) from error

    def _clusters(self) -> list[str]:
        """Of which there are records. Raises :class:`RecordError` where nobody can tell."""
        try:
            return state_directory.clusters(self._directory)
        except OSError as error:
            raise RecordError(
                f"the records in {self._directory} cannot be read: {error.strerror or error}. The node was not "
                "touched, since its record might no longer be true"
            ) from error

    def _remember(self, obstacle: OSError | None, record: Record) -> str:
        """``obstacle``: why there is no lock, without which there is no record."""
        if not record.names_a_machine:
            return ""
        path = self._path(record.cluster, record.node)
        try:
            if obstacle:
                raise obstacle
            whole_file.write(path, record.content)
        except OSError as error:
            return (
                f"the record {path} cannot be written: {error.strerror or error}. "
                "The next run with npm_scope changed visits this node again"
            )
        return ""

    def _path(self, cluster: str, node: str) -> Path:
        return state_directory.record(self._directory, cluster, node)


def _lock(file: BinaryIO) -> bool:
    """False when somebody else has it. It ends with the process at the latest."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
