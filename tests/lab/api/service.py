# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API itself: a request and an identity in, an answer out; knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import discovery, errors, paging
from .identities import Attributes, Identity
from .paging import ListOptions
from .records import Object, Record
from .requests import Answer, Request
from .resources import Resource
from .store import Store
from .watching import Watch

_HEALTH = {("healthz",), ("livez",), ("readyz",)}
PUBLIC = _HEALTH | {("version",)}


@dataclass(frozen=True, slots=True)
class Call:
    """A request with what surrounds it.

    ``wanted``: whether a stream is to go on. ``stale_version``: what lists with resourceVersion 0 are served from.
    """

    request: Request
    identity: Identity
    wanted: Callable[[], bool]
    stale_version: int | None = None


@dataclass(frozen=True, slots=True)
class Service:
    store: Store
    bookmark_seconds: float

    def answer(self, call: Call) -> Answer:
        """ApiError when the request fails."""
        request = call.request
        target = request.target
        if target.group is None:
            return self._about(request)
        if (target.group, target.plural) == (discovery.REVIEWS_GROUP, "selfsubjectaccessreviews"):
            return _review(request, call.identity)
        resource = self.store.catalog.find(target.group, target.version, target.plural)
        self._require_known_place(request, resource)
        call.identity.require(request.attributes())
        operations = {
            "list": self._list,
            "watch": self._watch,
            "get": self._get,
            "create": self._create,
            "update": self._replace,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }
        needs_name = request.verb in {"update", "patch"}
        misplaced = (needs_name and not target.name) or (request.verb == "create" and target.name)
        if request.verb not in operations or misplaced or (request.verb == "delete" and target.subresource):
            raise _not_allowed()
        return operations[request.verb](call, resource)

    def _about(self, request: Request) -> Answer:
        if request.method != "GET":
            raise _not_allowed()
        if request.target.segments in _HEALTH:
            return Answer(200, b"ok", {"Content-Type": "text/plain; charset=utf-8"})
        document = discovery.document_at(self.store.catalog, request.target.segments)
        if document is None:
            raise errors.no_such_path()
        return Answer.of(200, document)

    def _require_known_place(self, request: Request, resource: Resource) -> None:
        subresource = request.target.subresource
        if subresource and not (subresource == "status" and resource.status):
            raise errors.no_such_path()
        if request.target.namespace and not resource.namespaced:
            raise errors.no_such_path()

    def _list(self, call: Call, resource: Resource) -> Answer:
        options = ListOptions.parse(resource, call.request.query)
        page = paging.page_of(self.store, resource, call.request.target.namespace, options, call.stale_version)
        return Answer(200, page.encode(resource))

    def _watch(self, call: Call, resource: Resource) -> Answer:
        options = ListOptions.parse(resource, call.request.query)
        if options.initial_events is not None and options.match != "NotOlderThan":
            raise errors.bad_request('sendInitialEvents needs resourceVersionMatch "NotOlderThan"')
        watch = Watch(self.store, resource, call.request.target.namespace, options, self.bookmark_seconds, call.wanted)
        return Answer(200, lines=watch.lines())

    def _get(self, call: Call, resource: Resource) -> Answer:
        target = call.request.target
        return Answer(200, self.store.get(resource.plural, target.name, target.namespace).encoded(resource))

    def _create(self, call: Call, resource: Resource) -> Answer:
        record = self.store.create(_document(call.request, resource), dry_run=_is_dry_run(call.request))
        return Answer(201, record.encoded(resource))

    def _replace(self, call: Call, resource: Resource) -> Answer:
        request = call.request
        document = _document(request, resource)
        if document["metadata"].get("name") != request.target.name:
            raise errors.bad_request("the name of the object does not match the name on the URL")
        record = self.store.replace(document, subresource=request.target.subresource, dry_run=_is_dry_run(request))
        return Answer(200, record.encoded(resource))

    def _patch(self, call: Call, resource: Resource) -> Answer:
        request = call.request
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

    def _delete(self, call: Call, resource: Resource) -> Answer:
        request, target = call.request, call.request.target
        options = request.json() if request.body else {}
        preconditions = options.get("preconditions") if isinstance(options, dict) else None
        if _is_dry_run(request):
            record = self.store.get(resource.plural, target.name, target.namespace)
        else:
            record = self.store.delete(resource.plural, target.name, target.namespace, preconditions=preconditions)
        metadata = record.document(resource)["metadata"]
        if metadata.get("finalizers"):
            return Answer(200, record.encoded(resource))
        return Answer.of(200, errors.success(resource.group, resource.plural, metadata["name"], metadata["uid"]))

    def _delete_collection(self, call: Call, resource: Resource) -> Answer:
        options = ListOptions.parse(resource, call.request.query)
        page = paging.page_of(self.store, resource, call.request.target.namespace, options)
        if not _is_dry_run(call.request):
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


def _not_allowed() -> errors.ApiError:
    return errors.ApiError(405, "the server does not allow this method on the requested resource")


def _is_dry_run(request: Request) -> bool:
    return request.query.get("dryRun") == "All"


def _review(request: Request, identity: Identity) -> Answer:
    """A SelfSubjectAccessReview: may I do this? (``kubectl auth can-i``)"""
    if request.method != "POST" or request.target.name:
        raise _not_allowed()
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
