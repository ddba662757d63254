# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API itself: a request and an identity in, an answer out; knows nothing of sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import denials, discovery, errors, paging
from .channels import Protocol
from .exec import Exec, ExecOptions
from .faults import Fault
from .features import Features
from .identities import Attributes, Identity
from .paging import ListOptions
from .records import Object, Record
from .requests import Answer, Request
from .resources import Resource
from .store import Store
from .watching import Watch

if TYPE_CHECKING:
    from lab.kubelet.pods import Kubelets

_HEALTH = {("healthz",), ("livez",), ("readyz",)}
PUBLIC = _HEALTH | {("version",)}


@dataclass(frozen=True, slots=True)
class Call:
    """A request with what surrounds it.

    ``wanted``: whether a stream is to go on. ``stale_version``: what lists with resourceVersion 0 are served from.
    ``denial``: admission says no. ``trusted``: the lab itself, whose pods no kubelet runs.
    """

    request: Request
    identity: Identity
    wanted: Callable[[], bool]
    stale_version: int | None = None
    denial: Fault | None = None
    trusted: bool = False


@dataclass(slots=True)
class Service:
    """``kubelets`` None: nothing runs, pods stay as they are written."""

    store: Store
    bookmark_seconds: float
    features: Features
    kubelets: Kubelets | None = None

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
        if request.resource == "pods/exec":
            return self._exec(call, resource)
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
        document = discovery.document_at(self.store.catalog, self.features, request.target.segments)
        if document is None:
            raise errors.no_such_path()
        return Answer.of(200, document)

    def _require_known_place(self, request: Request, resource: Resource) -> None:
        subresource = request.target.subresource
        runs = subresource == "exec" and resource.kind == "Pod" and self.kubelets is not None
        if subresource and not runs and not (subresource == "status" and resource.status):
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
        document = _document(call.request, resource)
        dry_run = _is_dry_run(call.request)
        if resource.kind != "Pod":
            return Answer(201, self.store.create(document, dry_run=dry_run).encoded(resource))
        if call.denial:
            raise denials.by_fault(call.denial, document)
        if self.store.validate:
            denials.require_pod_security(self._namespace_of(document), document)
        runs = self.kubelets is not None and not call.trusted
        if self.kubelets is not None and runs:
            document = self.kubelets.prepared(document)
        record = self.store.create(document, dry_run=dry_run)
        if self.kubelets is not None and runs and not dry_run:
            self.kubelets.take(record)
        return Answer(201, record.encoded(resource))

    def _namespace_of(self, document: Object) -> Object:
        return self.store.document("namespaces", document["metadata"]["namespace"])

    def _exec(self, call: Call, resource: Resource) -> Answer:
        """ApiError where the API server refuses; where a kubelet would, it depends on who speaks to the client."""
        request = call.request
        target = request.target
        if request.method not in {"GET", "POST"}:
            raise _not_allowed()
        websocket = request.asks_for_websocket
        if request.method == "GET" and websocket and self.features.exec_needs_create:
            call.identity.require(Attributes("create", "", request.resource, target.namespace, target.name))
        if call.denial:
            raise denials.by_fault(call.denial, {"metadata": {"name": target.name}})
        pod = self.store.document("pods", target.name, target.namespace)
        options = ExecOptions.of(request)
        container = _container_name(pod, options.container)
        if not websocket:
            raise errors.bad_request("Upgrade request required")
        protocol = Protocol.negotiated(request.websocket_protocols, v5=self.features.exec_v5)
        if protocol is None:
            return Answer(403, b"", {"Content-Type": "text/plain"})
        failure = self._unreachable(pod)
        running = self.kubelets.container(pod, container) if self.kubelets and not failure else None
        if running is None and not protocol.closes_channels:
            if failure:
                raise errors.ApiError(500, f"error dialing backend: {failure}", reason="")
            return Answer(500, f'container not found ("{container}")'.encode(), {"Content-Type": "text/plain"})
        why = f"error sending request: {failure}" if failure else _not_running(container)
        return Answer(101, exec=Exec(options, protocol, running, "" if running else why))

    def _unreachable(self, pod: Object) -> str:
        """Why the API server can't reach the pod's kubelet; "": it can."""
        name = pod["spec"]["nodeName"]
        try:
            status = self.store.document("nodes", name).get("status", {})
        except errors.ApiError:
            return f"dial tcp: lookup {name}: no such host"
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
        addresses = [each["address"] for each in status.get("addresses") or () if each["type"] == "InternalIP"]
        return "" if ready else f"dial tcp {(addresses or [name])[0]}:10250: connect: connection refused"

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
        options = _deletion_options(request)
        if _is_dry_run(request):
            record = self.store.get(resource.plural, target.name, target.namespace)
        else:
            record = self._deleted(resource, target.name, target.namespace, options)
        metadata = record.document(resource)["metadata"]
        if metadata.get("finalizers") or resource.kind == "Pod":
            return Answer(200, record.encoded(resource))
        return Answer.of(200, errors.success(resource.group, resource.plural, metadata["name"], metadata["uid"]))

    def _delete_collection(self, call: Call, resource: Resource) -> Answer:
        options = ListOptions.parse(resource, call.request.query)
        page = paging.page_of(self.store, resource, call.request.target.namespace, options)
        if not _is_dry_run(call.request):
            for record in page.records:
                self._delete_listed(resource, record, _deletion_options(call.request))
        return Answer(200, page.encode(resource))

    def _delete_listed(self, resource: Resource, record: Record, options: Object) -> None:
        namespace, _, name = record.key.rpartition("/")
        try:
            self._deleted(resource, name, namespace, options)
        except errors.ApiError as error:
            if error.code != 404:  # someone else was quicker
                raise

    def _deleted(self, resource: Resource, name: str, namespace: str, options: Object) -> Record:
        """At once, or, for a pod that runs, when its kubelet has ended it."""
        preconditions = options.get("preconditions")
        if resource.kind == "Pod" and (grace := self._grace(self.store.document("pods", name, namespace), options)):
            return self.store.terminate(resource.plural, name, namespace, grace, preconditions=preconditions)
        return self.store.delete(resource.plural, name, namespace, preconditions=preconditions)

    def _has_node(self, name: str | None) -> bool:
        try:
            return bool(name and self.store.document("nodes", name))
        except errors.ApiError:
            return False

    def _grace(self, pod: Object, options: Object) -> int:
        """How many seconds a pod that is deleted still has."""
        spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
        if self.kubelets is None or not self.kubelets.keeps(pod):
            return 0
        # No kubelet ends a pod of a node that is not there; in a cluster the pod garbage collector does.
        if not self._has_node(spec.get("nodeName")) or phase in {"Succeeded", "Failed"}:
            return 0
        return int(options.get("gracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 0)))


def _container_name(pod: Object, asked: str) -> str:
    """ApiError 400 as the API server says it when the pod's container is not clear."""
    name, spec = pod["metadata"]["name"], pod.get("spec") or {}
    known = [each["name"] for each in spec.get("containers") or ()]
    if asked and asked not in known:
        raise errors.bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(known) != 1:
        raise errors.bad_request(
            f"a container name must be specified for pod {name}, choose one of: [{' '.join(known)}]"
        )
    if not spec.get("nodeName"):
        raise errors.bad_request(f"pod {name} does not have a host assigned")
    return asked or known[0]


def _not_running(container: str) -> str:
    return f'unable to upgrade connection: container not found ("{container}")'


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


def _deletion_options(request: Request) -> Object:
    """Of the body, else of the query."""
    options = request.json() if request.body else {}
    options = {name: value for name, value in options.items() if value is not None} if isinstance(options, dict) else {}
    return {name: value for name, value in request.query.items() if name == "gracePeriodSeconds"} | options


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
