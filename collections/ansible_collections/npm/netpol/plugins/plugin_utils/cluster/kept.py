# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run keeps of a cluster for the next one: the snapshot, and the versions from which each list can go on.

It is a text of three lines: the SHA-256 of the two others, a head, the snapshot. Nothing of one is used that is not
whole, of this cluster, and made by the code that reads it. It is a file; a copy of it may be in the cluster, from where
it comes to a controller that has another file or none.
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

from .. import state_directory
from ..model import problem, snapshot
from ..model.snapshot import Snapshot, SnapshotFormatError
from . import gather
from .configmaps import ConfigMapStore
from .gather import Newest

FORMAT = "npm.netpol/objects"
VERSION = 2
# What the store in the cluster calls it.
BLOB = "objects"


class KeptError(ValueError):
    """There is nothing that a run could go on from. Says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """``versions``: of each resource (by its plural) that can go on, the version that the snapshot has it at.

    ``newest``: of each kind, where that is known, the object that was changed last.
    """

    snapshot: Snapshot
    versions: Mapping[str, str]
    newest: Mapping[str, Newest]


def require_identity(uid: str) -> None:
    """Raises :class:`KeptError` for a UID that tells no cluster from others."""
    if not state_directory.is_name(uid):
        raise KeptError(f"the UID of the namespace {gather.IDENTITY_NAMESPACE} is not one: {uid[:100]!r}")


def read(path: Path, uid: str) -> Kept:
    """What was kept of the cluster ``uid``. Raises :class:`KeptError`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise KeptError(f"nothing is kept of this cluster yet: {path} is not there") from error
    except OSError as error:
        raise KeptError(f"what is kept cannot be read: {path}: {error.strerror}") from error
    return decode(content, uid, str(path))


def read_shared(store: ConfigMapStore, path: Path | None, uid: str) -> Kept:
    """What the store has of the cluster ``uid``: from the file, where that is the same, or where the store has none.

    Raises :class:`StoreError`, :class:`KeptError`.
    """
    digest = store.digest(BLOB)
    if path and (not digest or digest == _digest_of(path)):
        return read(path, uid)
    if not digest:
        raise KeptError(f"nothing is kept of this cluster yet: the ConfigMap {store.place} has no state of it")
    return decode(store.read(BLOB) or b"", uid, f"the ConfigMap {store.place}")


def decode(content: bytes, uid: str, where: str) -> Kept:
    """What :func:`encode` has made, of the cluster ``uid``. Raises :class:`KeptError`, with ``where`` it is from."""
    digest, _newline, rest = content.partition(b"\n")
    if digest != hashlib.sha256(rest).hexdigest().encode():
        raise KeptError(f"what is kept is damaged: {where} has another digest than it says")
    head, _newline, text = rest.partition(b"\n")
    try:
        return _decoded(json.loads(head), text, where, uid)
    except (SnapshotFormatError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, KeptError):
            raise
        raise KeptError(f"what is kept is damaged: {where}: {error}") from error


def encode(content: bytes, versions: Mapping[str, str], uid: str, newest: Mapping[str, Newest]) -> bytes:
    """A snapshot (its JSON form, as bytes) of the cluster ``uid``, to be kept."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "projection": projection(),
        "cluster": uid,
        "resource_versions": dict(versions),
        "newest": dict(newest),
    }
    rest = b"\n".join((json.dumps(head, sort_keys=True).encode(), content))
    return b"\n".join((hashlib.sha256(rest).hexdigest().encode(), rest))


@cache
def projection() -> str:
    """Names the code that makes our objects out of the API's, and that follows their changes.

    Objects that other code made may differ from what a list would give now; so may those of another Python, whose
    spelling of addresses is ours.
    """
    digest = hashlib.sha256(sys.version.encode())
    made = (Path(str(module.__file__)) for module in (problem, snapshot))
    for path in (*sorted(Path(__file__).parent.glob("*.py")), *made):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _decoded(head: Mapping[str, Any], text: bytes, where: str, uid: str) -> Kept:
    if head["format"] != FORMAT or head["version"] != VERSION or head["projection"] != projection():
        raise KeptError(f"what is kept is from another version of the collection, or of Python: {where}")
    newest = {kind: Newest(*each) for kind, each in head["newest"].items()}
    kept = Kept(snapshot.load(text.decode()), dict(head["resource_versions"]), newest)
    # Another run's snapshot under these versions would hide for good what lies between the two.
    of_snapshot = kept.snapshot.cluster.resource_versions
    if any(of_snapshot.get(plural) != version for plural, version in kept.versions.items()):
        raise KeptError(f"what is kept is damaged: {where} has another snapshot than it says")
    if head["cluster"] != uid or kept.snapshot.cluster.uid != uid:
        raise KeptError(f"what is kept is of another cluster: {where}")
    return kept
