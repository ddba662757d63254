# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run directory: what compile leaves on the controller for the nodes of the same run.

::

    run.json        which snapshot, and which nodes are left out and why
    sets.restore    the sets of all nodes, each once
    nodes/NODE      one node, in JSON: its two tables, where in sets.restore its sets are, the id of all that, and which
                    machine the node is

A large cluster's large sets, once for each node, would be a hundred times all else; and files take longer to make than
to fill, so that neither a set nor a part of a node has one of its own. ``run.json`` is written last and removed first:
a directory that has one is whole.

A run enforces from a directory of its own, which no other run writes. What people look at later is a copy.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .netfilter.render import Rendered, RenderedSet

FORMAT = "npm.netpol/run"
VERSION = 3

_RUN = "run.json"
_NODES = "nodes"
_SETS = "sets.restore"

# Of a set: its name, its first byte, and how many it has.
_Place = tuple[str, int, int]


class SpoolError(Exception):
    """A run directory can't be written, or isn't one: the message names the path and the reason."""


class Exclusion(StrEnum):
    """Why a node of the inventory gets nothing."""

    WINDOWS = "windows"
    VIRTUAL = "virtual"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Excluded:
    """A node of the inventory that has no files in this run, and the reason in words."""

    kind: Exclusion
    reason: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Which machine a node's name stands for, and which start of it: see :class:`.model.snapshot.Node`.

    Empty where the snapshot doesn't say.
    """

    uid: str = ""
    boot_id: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What every node of a run shares. ``snapshot`` is the snapshot's id, ``cluster`` the UID of its kube-system."""

    cluster: str
    resource_version: int
    snapshot: str
    excluded: Mapping[str, Excluded] = field(default_factory=dict)


class RunWriter:
    """Fills a run directory: one :meth:`add` for each node, then :meth:`finish`.

    Raises :class:`SpoolError` when the directory can't be written, or holds something other than a run.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._places: dict[str, _Place] = {}
        self._size = 0
        try:
            _make_place(directory)
            _remove_earlier_run(directory)
            (directory / _NODES).mkdir(mode=0o700)
            _write(directory / _SETS, "")
        except OSError as error:
            raise _cannot("write", error, directory) from error

    def add(self, node: str, rendered: Rendered, identity: Identity = Identity()) -> None:
        path = _node_file(self.directory, node)
        try:
            self._add_sets(rendered.sets)
            data = {
                "identity": asdict(identity),
                "target": rendered.id,
                "sets": [self._places[each.name] for each in rendered.sets],
                "iptables": rendered.iptables,
                "ip6tables": rendered.ip6tables,
            }
            _write(path, json.dumps(data) + "\n")
        except OSError as error:
            raise _cannot("write", error, path) from error

    def _add_sets(self, rendered: Iterable[RenderedSet]) -> None:
        """Write those that no node before had."""
        new = [each for each in rendered if each.name not in self._places]
        if not new:
            return
        with (self.directory / _SETS).open("ab") as file:
            for each in new:
                length = file.write(each.text.encode())
                self._places[each.name] = each.name, self._size, length
                self._size += length

    def finish(self, run: Run) -> None:
        data = {"format": FORMAT, "version": VERSION, **asdict(run)}
        new = self.directory / f"{_RUN}.new"
        try:
            _write(new, json.dumps(data, sort_keys=True, indent=1) + "\n")
            new.replace(self.directory / _RUN)
        except OSError as error:
            raise _cannot("write", error, new) from error


def copy(run: Path, directory: Path) -> None:
    """Put the finished run in ``run`` at ``directory``, in the place of an earlier one.

    Of two that copy to the same directory, the second waits for the first. Raises :class:`SpoolError` when the
    directory can't be written, or holds something other than a run.
    """
    try:
        _make_place(directory)
        with _open(directory / _SETS) as lock:
            # It ends with the process at the latest.
            fcntl.flock(lock, fcntl.LOCK_EX)
            _remove_earlier_run(directory)
            (directory / _NODES).mkdir(mode=0o700)
            for path in sorted((run / _NODES).iterdir()):
                shutil.copy(path, directory / _NODES)
            shutil.copyfile(run / _SETS, directory / _SETS)
            new = directory / f"{_RUN}.new"
            shutil.copy(run / _RUN, new)
            new.replace(directory / _RUN)
    except OSError as error:
        raise SpoolError(f"what was compiled cannot be copied to {directory}: {error.strerror or error}") from error


def read_run(directory: Path) -> Run:
    """Raises :class:`SpoolError` when ``directory`` is not a whole run of a version that this code reads."""
    path = directory / _RUN
    try:
        data = json.loads(_read(path))
    except ValueError as error:
        raise SpoolError(f"{path}: not JSON: {error}") from error
    if not isinstance(data, dict) or (data.get("format"), data.get("version")) != (FORMAT, VERSION):
        raise SpoolError(f"{path}: not a {FORMAT} of version {VERSION}")
    try:
        return Run(
            cluster=data["cluster"],
            resource_version=data["resource_version"],
            snapshot=data["snapshot"],
            excluded={
                node: Excluded(Exclusion(each["kind"]), each["reason"]) for node, each in data["excluded"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpoolError(f"{path}: damaged: {error!r}") from error


def has_node(directory: Path, node: str) -> bool:
    """Whether the run has something to enforce on ``node``."""
    return _node_file(directory, node).is_file()


def read_target(directory: Path, node: str) -> str:
    """The id of what is rendered for ``node`` (a SHA-256 in hex). Raises :class:`SpoolError`."""
    return _read_node(directory, node).target


def read_identity(directory: Path, node: str) -> Identity:
    """Raises :class:`SpoolError`."""
    return _read_node(directory, node).identity


def read_rendered(directory: Path, node: str) -> Rendered:
    """Raises :class:`SpoolError`, also when it is not what the node's ``target`` names."""
    found = _read_node(directory, node)
    rendered = Rendered(_read_sets(directory / _SETS, found.places), found.iptables, found.ip6tables)
    if rendered.id != found.target:
        raise SpoolError(f"{_node_file(directory, node)}: this or sets.restore changed after it was rendered")
    return rendered


def _node_file(directory: Path, node: str) -> Path:
    if node in ("", ".", "..") or "/" in node or "\0" in node:
        raise SpoolError(f"{node!r} is no name of a node")
    return directory / _NODES / node


@dataclass(frozen=True, slots=True)
class _Node:
    identity: Identity
    target: str
    places: tuple[_Place, ...]
    iptables: str
    ip6tables: str


def _read_node(directory: Path, node: str) -> _Node:
    path = _node_file(directory, node)
    try:
        data = json.loads(_read(path))
        places = tuple((str(name), int(first), int(length)) for name, first, length in data["sets"])
        identity, texts = Identity(**data["identity"]), (str(data["iptables"]), str(data["ip6tables"]))
        return _Node(identity, str(data["target"]), places, *texts)
    except (KeyError, TypeError, ValueError) as error:
        raise SpoolError(f"{path}: damaged: {error!r}") from error


def _read_sets(path: Path, places: Iterable[_Place]) -> tuple[RenderedSet, ...]:
    found = []
    try:
        with path.open("rb") as file:
            for name, first, length in places:
                file.seek(first)
                # A part of a character, where the file is damaged, makes another text, and so another id.
                text = file.read(length).decode(errors="replace")
                found.append(RenderedSet(name, partial(str, text)))
    except OSError as error:
        raise _cannot("read", error, path) from error
    return tuple(found)


def _make_place(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    ours = {_RUN, f"{_RUN}.new", _SETS, _NODES}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise SpoolError(f"{directory}: holds {foreign[0]}, which is no part of a run; give a directory of its own")


def _remove_earlier_run(directory: Path) -> None:
    """All but the sets, which are written over: another run may wait for the lock on their file."""
    for name in (_RUN, f"{_RUN}.new"):
        (directory / name).unlink(missing_ok=True)
    if (directory / _NODES).exists():
        shutil.rmtree(directory / _NODES)


def _write(path: Path, text: str) -> None:
    with _open(path) as file:
        file.truncate()
        file.write(text.encode())


def _open(path: Path) -> BinaryIO:
    """To write, with what is in it; for its owner alone where it is new."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _cannot("read", error, path) from error


def _cannot(do: str, error: OSError, path: Path) -> SpoolError:
    return SpoolError(f"cannot {do} {error.filename or path}: {error.strerror or error}")
