# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run keeps of a cluster for the next one: the snapshot, and the versions from which each list can go on.

The file has three lines: the SHA-256 of the two others, a head, the snapshot. Nothing of a file is used that is not
whole, of this cluster, and made by the code that reads it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .. import state_directory, whole_file
from ..model import problem, snapshot
from ..model.snapshot import Snapshot, SnapshotFormatError
from . import gather, project

FORMAT = "npm.netpol/objects"
VERSION = 1


class KeptError(ValueError):
    """There is nothing that a run could go on from. Says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """``versions``: of each resource (by its plural) that can go on, the version that the snapshot has it at."""

    snapshot: Snapshot
    versions: Mapping[str, str]


def file_of(directory: Path, uid: str) -> Path:
    """Where a cluster's state is, below the directory for the states of all. Raises :class:`KeptError`."""
    if not state_directory.is_name(uid):
        raise KeptError(f"the UID of the namespace {gather.IDENTITY_NAMESPACE} is not one: {uid[:100]!r}")
    return state_directory.objects(directory, uid)


def read(path: Path, uid: str) -> Kept:
    """What was kept of the cluster ``uid``. Raises :class:`KeptError`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise KeptError(f"nothing is kept of this cluster yet: {path} is not there") from error
    except OSError as error:
        raise KeptError(f"what is kept cannot be read: {path}: {error.strerror}") from error
    digest, _newline, rest = content.partition(b"\n")
    if digest != hashlib.sha256(rest).hexdigest().encode():
        raise KeptError(f"what is kept is damaged: {path} has another digest than it says")
    head, _newline, text = rest.partition(b"\n")
    try:
        return _decoded(json.loads(head), text, path, uid)
    except (SnapshotFormatError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, KeptError):
            raise
        raise KeptError(f"what is kept is damaged: {path}: {error}") from error


def write(path: Path, content: bytes, versions: Mapping[str, str], uid: str) -> None:
    """Keep a snapshot (its JSON form, as bytes) of the cluster ``uid``. Raises :class:`OSError`."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "projection": projection(),
        "cluster": uid,
        "resource_versions": dict(versions),
    }
    rest = b"\n".join((json.dumps(head, sort_keys=True).encode(), content))
    whole_file.write(path, b"\n".join((hashlib.sha256(rest).hexdigest().encode(), rest)))


@cache
def projection() -> str:
    """Names the code that makes our objects out of the API's.

    Objects that other code made may differ from what a list would give now; so may those of another Python, whose
    spelling of addresses is ours.
    """
    digest = hashlib.sha256(sys.version.encode())
    for module in (problem, snapshot, project, gather):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _decoded(head: Mapping[str, Any], text: bytes, path: Path, uid: str) -> Kept:
    if head["format"] != FORMAT or head["version"] != VERSION or head["projection"] != projection():
        raise KeptError(f"what is kept is from another version of the collection, or of Python: {path}")
    kept = Kept(snapshot.load(text.decode()), dict(head["resource_versions"]))
    # Another run's snapshot under these versions would hide for good what lies between the two.
    of_snapshot = kept.snapshot.cluster.resource_versions
    if any(of_snapshot.get(plural) != version for plural, version in kept.versions.items()):
        raise KeptError(f"what is kept is damaged: {path} has another snapshot than it says")
    if head["cluster"] != uid or kept.snapshot.cluster.uid != uid:
        raise KeptError(f"what is kept is of another cluster: {path}")
    return kept
