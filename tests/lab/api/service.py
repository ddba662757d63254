# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API itself: a request and an identity in, an answer out; knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import discovery, errors, paging, watching
from .identities import Attributes, Identity
from .paging import ListOptions
from .records import Object, Record
from .requests import Answer, Request
from .resources import Resource
from .store import Store

_HEALTH = {("healthz",), ("livez",), ("readyz",)}
PUBLIC = _HEALTH | {("version",)}


@dataclass(frozen=True, slots=True)
class Service:
    store: Store
    bookmark_seconds: float

    def answer(
        self,
        request: Request,
        identity: Identity,
        *,
        wanted: Callable[[], bool],
        stale_version: int | None = None,
    ) -> Answer:
        """ApiError when the request fails.

        ``wanted``: whether a stream is to go on. ``stale_version``: what lists with resourceVersion 0 are served from.
        """
        target = request.target
        if target.group is None:
            return self._about(request)
        if (target.group, target.plural) == (discovery.REVIEWS_GROUP, "selfsubjectaccessreviews"):
            return _review(request, identity)
        resource = self.store.catalog.find(target.group, target.version, target.plural)
        self._require_known_subresource(resource, target.subresource)
        identity.require(request.attributes())
        if target.namespace and not resource.namespaced:
            raise errors.no_such_path()
        match request.verb:
            case "list":
                options = ListOptions.parse(resource, request.query)
                page = paging.page_of(self.store, resource, target.namespace, options, stale_version)
                return Answer(200, page.encode(resource))
            case "watch":
                return self._watch(request, resource, wanted)
            case "get":
                record = self.store.get(resource.plural, target.name, target.namespace)
                return Answer(200, record.encoded(resource))
            case "create" if not target.name:
                record = self.store.create(_document(request, resource), dry_run=_is_dry_run(request))
                return Answer(201, record.encoded(resource))
            case "update" if target.name:
                return self._replace(request, resource)
            case "patch" if target.name:
                return self._patch(request, resource)
            case "delete" if not target.subresource:
                return self._delete(request, resource)
            case "deletecollection":
                return self._delete_collection(request, resource)
            case _:
                raise errors.ApiError(405, "the server does not allow this method on the requested resource")

    def _about(self, request: Request) -> Answer:
        if request.method != "GET":
            raise errors.ApiError(405, "the server does not allow this method on the requested resource")
        if request.target.segments in _HEALTH:
            return Answer(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})
        document = discovery.document_at(self.store.catalog, request.target.segments)
        if document is None:
            raise errors.no_such_path()
        return Answer.of(200, document)

    def _require_known_subresource(self, resource: Resource, subresource: str) -> None:
        if subresource and not (subresource == "status" and resource.status):
            raise errors.no_such_path()

    def _watch(self, request: Request, resource: Resource, wanted: Callable[[], bool]) -> Answer:
        options = ListOptions.parse(resource, request.query)
        if options.initial_events is not None and options.match != "NotOlderThan":
            raise errors.bad_request('sendInitialEvents needs resourceVersionMatch "NotOlderThan"')
        lines = watching.events(
            self.store,
            resource,
            request.target.namespace,
            options,
            bookmark_seconds=self.bookmark_seconds,
            wanted=wanted,
        )
        return Answer(200, lines=lines)

    def _replace(self, request: Request, resource: Resource) -> Answer:
        document = _document(request, resource)
        if document["metadata"].get("name") != request.target.name:
            raise errors.bad_request("the name of the object does not match the name on the URL")
        record = self.store.replace(document, subresource=request.target.subresource, dry_run=_is_dry_run(request))
        return Answer(200, record.encoded(resource))

    def _patch(self, request: Request, resource: Resource) -> Answer:
        record = self.store.patch(
            resource.plural,
            request.target.name,
            request.json(),
            request.target.namespace,
            content_type=request.content_type,
            subresource=request.target.subresource,
            dry_run=_is_dry_run(request),
        )
        return Answer(200, record.encoded(resource))

    def _delete(self, request: Request, resource: Resource) -> Answer:
        if _is_dry_run(request):
            record = self.store.get(resource.plural, request.target.name, request.target.namespace)
        else:
            options = request.json() if request.body else {}
            preconditions = options.get("preconditions") if isinstance(options, dict) else None
            record = self.store.delete(
                resource.plural, request.target.name, request.target.namespace, preconditions=preconditions
            )
        metadata = record.document(resource)["metadata"]
        if metadata.get("finalizers"):
            return Answer(200, record.encoded(resource))
        return Answer.of(200, errors.success(resource.group, resource.plural, metadata["name"], metadata["uid"]))

    def _delete_collection(self, request: Request, resource: Resource) -> Answer:
        options = ListOptions.parse(resource, request.query)
        page = paging.page_of(self.store, resource, request.target.namespace, options)
        if not _is_dry_run(request):
            for record in page.records:
                self._delete_listed(resource, record)
        return Answer(200, page.encode(resource))

    def _delete_listed(self, resource: Resource, record: Record) -> None:
        namespace, _, name = record.key.rpartition("/")
        try:
            self.store.delete(resource.plural, name, namespace)
        except errors.ApiError as error:
            if error.code != 404:  # someone else was quicker
                raise


def _document(request: Request, resource: Resource) -> Object:
    """The object of the body, in the namespace of the path. ApiError 400 when the two contradict each other."""
    document = request.document()
    for field, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if document.get(field, expected) != expected:
            raise errors.bad_request(f"{field} is {document[field]!r}, but the path is {expected}'s")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        raise errors.bad_request("metadata is not an object")
    namespace = request.target.namespace
    if namespace and metadata.get("namespace", namespace) != namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if resource.namespaced:
        metadata = metadata | {"namespace": namespace or metadata.get("namespace") or "default"}
    if request.method == "POST":
        metadata = {name: value for name, value in metadata.items() if name not in {"resourceVersion", "uid"}}
    return document | {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}


def _is_dry_run(request: Request) -> bool:
    return request.query.get("dryRun") == "All"


def _review(request: Request, identity: Identity) -> Answer:
    """A SelfSubjectAccessReview: may I do this? (``kubectl auth can-i``)"""
    if request.method != "POST" or request.target.name:
        raise errors.ApiError(405, "the server does not allow this method on the requested resource")
    review: dict[str, Any] = request.document()
    asked = (review.get("spec") or {}).get("resourceAttributes") or {}
    what = asked.get("resource", "")
    wanted = Attributes(
        asked.get("verb", ""),
        asked.get("group", ""),
        f"{what}/{asked['subresource']}" if asked.get("subresource") else what,
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    return Answer.of(201, review | {"status": {"allowed": identity.may(wanted)}})
