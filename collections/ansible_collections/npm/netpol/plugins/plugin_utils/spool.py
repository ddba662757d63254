# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The run directory: what compile leaves on the controller for the nodes of the same run.

::

    run.json                            which snapshot, and which nodes are left out and why
    sets/SET.restore                    one set, for all nodes that have it
    nodes/NODE/sets                     the names of its sets, one a line, in the order in which they are restored
    nodes/NODE/ruleset.json             model.ruleset, without the members of the sets
    nodes/NODE/iptables.restore
    nodes/NODE/ip6tables.restore
    nodes/NODE/target                   one line: the id of what is rendered
    nodes/NODE/identity.json            which machine the node is, and which start of it

A large cluster's large sets, once for each node, would be a hundred times all else. ``run.json`` is written last and
removed first: a directory that has one is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from .model import ruleset as rulesets
from .model.ruleset import Ruleset
from .netfilter.render import Rendered, RenderedSet

FORMAT = "npm.netpol/run"
VERSION = 2

_RUN = "run.json"
_NODES = "nodes"
_SETS = "sets"
_RULESET = "ruleset.json"
_TARGET = "target"
_IDENTITY = "identity.json"
_TABLES = {"iptables": "iptables.restore", "ip6tables": "ip6tables.restore"}


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
        self._written: set[str] = set()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _remove_earlier_run(directory)
            for each in (_NODES, _SETS):
                (directory / each).mkdir(mode=0o700)
        except OSError as error:
            raise _cannot("write", error, directory) from error

    def add(self, ruleset: Ruleset, rendered: Rendered, identity: Identity = Identity()) -> None:
        node = _node_directory(self.directory, ruleset.node)
        try:
            node.mkdir(mode=0o700)
            for each in rendered.sets:
                if each.name not in self._written:
                    _write(_set_file(self.directory, each.name), each.text)
                    self._written.add(each.name)
            _write(node / _SETS, "".join(f"{each.name}\n" for each in rendered.sets))
            _write(node / _RULESET, rulesets.dump(rulesets.without_members(ruleset)) + "\n")
            for attribute, name in _TABLES.items():
                _write(node / name, getattr(rendered, attribute))
            _write(node / _TARGET, rendered.id + "\n")
            _write(node / _IDENTITY, json.dumps(asdict(identity), sort_keys=True) + "\n")
        except OSError as error:
            raise _cannot("write", error, node) from error

    def finish(self, run: Run) -> None:
        data = {"format": FORMAT, "version": VERSION, **asdict(run)}
        new = self.directory / f"{_RUN}.new"
        try:
            _write(new, json.dumps(data, sort_keys=True, indent=1) + "\n")
            new.replace(self.directory / _RUN)
        except OSError as error:
            raise _cannot("write", error, new) from error


def read_run(directory: Path) -> Run:
    """Raises :class:`SpoolError` when ``directory`` is not a whole run of a version that this code reads."""
    path = directory / _RUN
    data = _read_json(path)
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
    return (_node_directory(directory, node) / _TARGET).is_file()


def read_target(directory: Path, node: str) -> str:
    """The id of what is rendered for ``node`` (a SHA-256 in hex). Raises :class:`SpoolError`."""
    return _read(_node_directory(directory, node) / _TARGET).strip()


def read_identity(directory: Path, node: str) -> Identity:
    """Raises :class:`SpoolError`."""
    path = _node_directory(directory, node) / _IDENTITY
    data = _read_json(path)
    try:
        return Identity(**data)
    except TypeError as error:
        raise SpoolError(f"{path}: damaged: {error!r}") from error


def read_rendered(directory: Path, node: str) -> Rendered:
    """Raises :class:`SpoolError`, also when the files are not what ``target`` names."""
    path = _node_directory(directory, node)
    names = _read(path / _SETS).splitlines()
    rendered = Rendered(
        sets=tuple(_read_set(directory, name) for name in names),
        **{attribute: _read(path / name) for attribute, name in _TABLES.items()},
    )
    if rendered.id != read_target(directory, node):
        raise SpoolError(f"{path}: the restore files changed after they were rendered")
    return rendered


def read_ruleset(directory: Path, node: str) -> Ruleset:
    """What a node is to enforce; its sets have no members here. Raises :class:`SpoolError`."""
    path = _node_directory(directory, node) / _RULESET
    try:
        return rulesets.load(_read(path))
    except rulesets.RulesetFormatError as error:
        raise SpoolError(f"{path}: {error}") from error


def _node_directory(directory: Path, node: str) -> Path:
    if node in ("", ".", "..") or "/" in node or "\0" in node:
        raise SpoolError(f"{node!r} is no name of a node")
    return directory / _NODES / node


def _read_set(directory: Path, name: str) -> RenderedSet:
    text = _read(_set_file(directory, name))
    return RenderedSet(name, lambda: text)


def _set_file(directory: Path, name: str) -> Path:
    if "/" in name or "\0" in name:
        raise SpoolError(f"{name!r} is no name of a set")
    return directory / _SETS / f"{name}.restore"


def _remove_earlier_run(directory: Path) -> None:
    ours = {_RUN, f"{_RUN}.new", _NODES, _SETS}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in ours)
    if foreign:
        raise SpoolError(f"{directory}: holds {foreign[0]}, which is no part of a run; give a directory of its own")
    (directory / _RUN).unlink(missing_ok=True)
    (directory / f"{_RUN}.new").unlink(missing_ok=True)
    for each in (_NODES, _SETS):
        if (directory / each).exists():
            shutil.rmtree(directory / each)


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except ValueError as error:
        raise SpoolError(f"{path}: not JSON: {error}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise _cannot("read", error, path) from error


def _cannot(do: str, error: OSError, path: Path) -> SpoolError:
    return SpoolError(f"cannot {do} {error.filename or path}: {error.strerror or error}")
