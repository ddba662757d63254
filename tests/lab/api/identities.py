# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may do what: bearer tokens, and rules as a ClusterRole has them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from . import errors

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do; ``resource`` with its subresource: ``nodes/status``."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a role; ``*`` stands for all. ``namespace``: the only one where it holds; "": it holds everywhere."""

    verbs: tuple[str, ...]
    resources: tuple[str, ...]
    groups: tuple[str, ...] = ("*",)
    names: tuple[str, ...] = ()
    namespace: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rule:
        return cls(
            tuple(data.get("verbs") or ()),
            tuple(data.get("resources") or ()),
            tuple(data.get("apiGroups") or ()),
            tuple(data.get("resourceNames") or ()),
            data.get("namespace", ""),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "verbs": list(self.verbs),
            "resources": list(self.resources),
            "apiGroups": list(self.groups),
            "resourceNames": list(self.names),
            "namespace": self.namespace,
        }

    def allows(self, wanted: Attributes) -> bool:
        return (
            self.namespace in {"", wanted.namespace}
            and _covers(self.verbs, wanted.verb)
            and _covers(self.groups, wanted.group)
            and _covers(self.resources, wanted.resource)
            and (not self.names or wanted.name in self.names)
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """``rules`` None: everything is allowed. ``deny``: pairs of verb and resource that are refused all the same."""

    name: str
    token: str = ""
    groups: tuple[str, ...] = ()
    rules: tuple[Rule, ...] | None = None
    deny: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Identity:
        rules = data.get("rules")
        return cls(
            data["name"],
            data.get("token", ""),
            tuple(data.get("groups") or ()),
            None if rules is None else tuple(Rule.from_json(rule) for rule in rules),
            frozenset((verb, resource) for verb, resource in data.get("deny") or ()),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "token": self.token,
            "groups": list(self.groups),
            "rules": None if self.rules is None else [rule.to_json() for rule in self.rules],
            "deny": sorted([verb, resource] for verb, resource in self.deny),
        }

    def may(self, wanted: Attributes) -> bool:
        denied = any(_covers((verb,), wanted.verb) and _covers((what,), wanted.resource) for verb, what in self.deny)
        return not denied and (self.rules is None or any(rule.allows(wanted) for rule in self.rules))

    def require(self, wanted: Attributes) -> None:
        if self.may(wanted):
            return
        plural = wanted.resource.split("/")[0]
        where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
        kind = f"{plural}.{wanted.group}" if wanted.group else plural
        subject = f'{kind} "{wanted.name}"' if wanted.name else kind
        message = (
            f'{subject} is forbidden: User "{self.name}" cannot {wanted.verb} resource "{wanted.resource}" '
            f'in API group "{wanted.group}" {where}'
        )
        details = {"name": wanted.name, "group": wanted.group, "kind": plural}
        raise errors.ApiError(403, message, details={name: value for name, value in details.items() if value})


class Identities:
    """All identities the server knows; safe for threads."""

    def __init__(self, identities: Iterable[Identity] = ()) -> None:
        self._lock = threading.Lock()
        self._by_name = {identity.name: identity for identity in identities}

    def add(self, identity: Identity) -> None:
        """Add it, or replace the one of the same name."""
        with self._lock:
            self._by_name[identity.name] = identity

    def named(self, name: str) -> Identity:
        with self._lock:
            return self._by_name[name]

    def authenticate(self, authorization: str) -> Identity:
        """The identity of an Authorization header. ApiError 401 for none, or for a token that nobody has."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and token:
            with self._lock:
                for identity in self._by_name.values():
                    if identity.token == token:
                        return identity
        raise errors.unauthorized()

    def impersonated(self, by: Identity, user: str) -> Identity:
        """Whom the request is judged as: a name nobody has may do nothing, as a user without any role binding."""
        by.require(Attributes("impersonate", "", "users", name=user))
        with self._lock:
            return self._by_name.get(user, Identity(user, rules=()))


def _covers(allowed: Iterable[str], wanted: str) -> bool:
    return any(each in {"*", wanted} for each in allowed)
