# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading manifests (what ``kubectl get -o yaml`` prints, or what people apply) into a snapshot, without an API."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.problem import Problem
from ..model.snapshot import Snapshot
from . import json_text, project, yaml_text
from .gather import Gathering

SUFFIXES = (".json", ".yaml", ".yml")

_API_VERSIONS: Mapping[str, str] = {
    "Namespace": "v1",
    "Pod": "v1",
    "Node": "v1",
    "Service": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "ClusterNetworkPolicy": "policy.networking.k8s.io/v1alpha2",
}
# Kinds that look like policies to a person and that we do not enforce: nobody may believe that we do.
_OTHER_POLICIES = frozenset(
    {
        "AdminNetworkPolicy",
        "BaselineAdminNetworkPolicy",
        "CiliumClusterwideNetworkPolicy",
        "CiliumNetworkPolicy",
        "ClusterNetworkPolicy",
        "GlobalNetworkPolicy",
        "NetworkPolicy",
    }
)


class ManifestError(ValueError):
    """A file that cannot be read as manifests, named with what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """What the files hold: ``ignored`` counts the objects of kinds that enforcement does not need."""

    snapshot: Snapshot
    ignored: Mapping[str, int]


def read(paths: Iterable[Path]) -> Manifests:
    """Read files, and the YAML and JSON files below directories.

    The order of paths, files and documents changes nothing. A namespace that only appears in objects is assumed,
    with its name label (rule 12), and reported. Raises :class:`ManifestError`.
    """
    gathering = Gathering()
    ignored: Counter[str] = Counter()
    seen: dict[tuple[str, str, str], tuple[bytes, Path]] = {}
    for path in _files(paths):
        for raw in _objects(path, _documents(path)):
            kind = _wanted_kind(path, raw, gathering, ignored)
            if kind and _is_new(kind, raw, path, seen):
                gathering.add(kind, raw)
    for name, kinds in gathering.missing_namespaces().items():
        gathering.assume_namespace(name)
        inhabitants = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        gathering.problems.append(
            Problem(
                "Namespace",
                "",
                name,
                "",
                f"is not in the manifests, though objects in it are ({inhabitants})",
                f"it is assumed to have no label but {project.NAME_LABEL}",
            )
        )
    return Manifests(gathering.snapshot({}), dict(sorted(ignored.items())))


def _files(paths: Iterable[Path]) -> list[Path]:
    found: set[Path] = set()
    for path in paths:
        if path.is_dir():
            below = {each for each in path.rglob("*") if _is_manifest_below(each, path)}
            if not below:
                raise ManifestError(f"{path}: no {', '.join(SUFFIXES)} file is below this directory")
            found |= below
        elif path.exists():
            found.add(path)
        else:
            raise ManifestError(f"{path}: no such file or directory")
    return sorted({each.resolve() for each in found})


def _is_manifest_below(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return path.suffix in SUFFIXES and not hidden and path.is_file()


def _documents(path: Path) -> Iterator[Any]:
    try:
        text = path.read_bytes()
        if path.suffix == ".json":
            yield json_text.read(text)
        else:
            yield from yaml_text.read_all(text)
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path}: {error}") from error


def _objects(path: Path, documents: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """The objects of all documents, with those of lists (``List``, ``PodList``) in their place."""
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
            raise ManifestError(f"{path}: a document is not a Kubernetes object: it has no kind")
        kind: str = document["kind"]
        if not kind.endswith("List") or "items" not in document:
            yield document
            continue
        items = document["items"] or []
        if not isinstance(items, list):
            raise ManifestError(f"{path}: the items of a {kind} are not a list")
        yield from _objects(path, (_with_kind(item, document) for item in items))


def _with_kind(item: Any, parent: Mapping[str, Any]) -> Any:
    """An item as the API lists it: those of a ``PodList`` do not repeat their kind."""
    kind = parent["kind"].removesuffix("List")
    if kind and isinstance(item, dict) and "kind" not in item:
        return {"apiVersion": parent.get("apiVersion"), "kind": kind, **item}
    return item


def _wanted_kind(path: Path, raw: Mapping[str, Any], gathering: Gathering, ignored: Counter[str]) -> str:
    """The object's kind when enforcement needs it; else it is counted, and empty is returned."""
    kind, version = raw["kind"], raw.get("apiVersion")
    if _API_VERSIONS.get(kind) == version:
        return str(kind)
    ignored[f"{version} {kind}"] += 1
    if kind in _OTHER_POLICIES:
        metadata = raw.get("metadata")
        names = metadata if isinstance(metadata, dict) else {}
        gathering.problems.append(
            Problem(
                kind,
                str(names.get("namespace") or ""),
                str(names.get("name") or ""),
                "apiVersion",
                f"{version} is not a policy that this collection knows (in {path.name})",
                "it is not enforced",
            )
        )
    return ""


def _is_new(
    kind: str, raw: Mapping[str, Any], path: Path, seen: dict[tuple[str, str, str], tuple[bytes, Path]]
) -> bool:
    """Whether this object was not read yet; one that is there twice with different contents is refused."""
    try:
        namespace, name = project.identity(kind, raw)
    except project.ObjectError as error:
        raise ManifestError(f"{path}: {error}") from error
    where = f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
    digest = _digest(raw, f"{path}: {where}")
    key = (kind, namespace, name)
    if key not in seen:
        seen[key] = (digest, path)
        return True
    known_digest, known_path = seen[key]
    if known_digest != digest:
        raise ManifestError(f"{where} is in {known_path} and in {path} with different contents: keep one")
    return False


def _digest(raw: Mapping[str, Any], where: str) -> bytes:
    try:
        return hashlib.sha256(json.dumps(raw, sort_keys=True, ensure_ascii=False).encode()).digest()
    except UnicodeEncodeError as error:
        raise ManifestError(f"{where}: holds half of a character (a lone surrogate)") from error
