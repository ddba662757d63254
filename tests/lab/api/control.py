# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The server's own controls under /lab, for tests in other processes: faults, log, identities, bulk loading."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import errors
from .faults import Fault, Faults
from .features import Features
from .identities import Identities, Identity
from .requestlog import RequestLog
from .requests import Answer, Request
from .store import Store

if TYPE_CHECKING:
    from lab.kubelet.pods import Kubelets


@dataclass(frozen=True, slots=True)
class Control:
    store: Store
    faults: Faults
    identities: Identities
    requests: RequestLog
    features: Features
    kubelets: Kubelets | None = None

    def answer(self, request: Request) -> Answer:
        """ApiError 400 for values that aren't understood, 404 for an unknown control."""
        try:
            return Answer.of(200, self._done(request))
        except (KeyError, TypeError, ValueError) as error:
            raise errors.bad_request(f"{request.path}: {error!r}") from error

    def _done(self, request: Request) -> Any:
        match request.method, *request.target.segments[1:]:
            case method, "faults", *number:
                return self._change_faults(method, request, *number)
            case "GET", "requests":
                return [record.to_json() for record in self.requests.all()]
            case "DELETE", "requests":
                self.requests.clear()
            case "POST", "identities":
                self.identities.add(Identity.from_json(request.document()))
            case "POST", "objects":
                documents = (json.loads(line) for line in request.body.splitlines() if line.strip())
                return {"loaded": self.store.load(documents)}
            case "PUT", "settings":
                self._set(request.document())
            case "POST", "evict" if self.kubelets is not None:
                order = request.document()
                self.kubelets.evict(order["namespace"], order["name"], order.get("message", ""))
            case "POST", "compact":
                return {"resourceVersion": str(self.store.compact())}
            case _:
                raise errors.no_such_path()
        return {}

    def _change_faults(self, method: str, request: Request, number: str = "") -> Any:
        match method:
            case "GET":
                return self.faults.to_json()
            case "POST":
                return {"id": self.faults.add(Fault.from_json(request.document()))}
            case "DELETE":
                self.faults.clear(int(number) if number else None)
                return {}
            case _:
                raise errors.ApiError(405, f"{method} is not allowed on faults")

    def _set(self, settings: dict[str, Any]) -> None:
        if unknown := set(settings) - {"validate", "serve", "kubelet", "minor", "ping_seconds"}:
            raise ValueError(f"unknown setting {', '.join(sorted(unknown))}")
        if "serve" in settings:
            self.store.catalog.serve(settings["serve"])
        if "validate" in settings:
            self.store.validate = bool(settings["validate"])
        if "kubelet" in settings:
            if self.kubelets is None:
                raise ValueError("no kubelets run")
            self.kubelets.settings.change(settings["kubelet"])
        self.features.minor = int(settings.get("minor", self.features.minor))
        self.features.ping_seconds = float(settings.get("ping_seconds", self.features.ping_seconds))
