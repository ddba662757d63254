# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small cluster in which things happen at random."""

from __future__ import annotations

import random
from typing import Any

from small_cluster import namespace, pod, policy


class Churn:
    """Random changes of a cluster: what comes, changes, goes, comes again, or cannot be understood."""

    def __init__(self, store: Any, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)  # noqa: S311 (a test's dice)
        self._namespaces = ["shop", "kube-system"]

    def round(self) -> None:
        steps = (self.pod, self.pod, self.gone, self.again, self.policy, self.service, self.node, self.namespaces)
        for _step in range(self._random.randrange(12)):
            self._random.choice(steps)()

    def pod(self) -> None:
        changed = pod(self._name("web"), self._namespace(), f"10.0.{self._random.randrange(9)}.1")
        damage = self._random.randrange(8)
        if damage == 0:
            changed["metadata"]["labels"] = ["app"]
        elif damage == 1:
            changed["status"]["podIPs"] = [{"ip": "10.0"}, {"ip": 7}]
        elif damage == 2:
            changed["spec"] = "none"
        self._store.load([changed])

    def gone(self) -> None:
        self._delete("pods", "networkpolicies", "services")

    def again(self) -> None:
        """The same name, another object."""
        name, place = self._name("web"), self._namespace()
        for address in ("10.5.0.1", "10.5.0.2"):
            self._store.load([pod(name, place, address)])
            self._store.delete("pods", name, place)
        if self._random.random() < 0.5:
            self._store.load([pod(name, place, "10.5.0.3")])

    def policy(self) -> None:
        changed = policy(self._name("policy"), self._namespace())
        changed["spec"] = self._random.choice([changed["spec"], "deny", {"podSelector": {"matchLabels": {"a": "ü"}}}])
        changed["metadata"]["annotations"] = self._random.choice([{}, {"netpol.npm/a": "b"}, {"netpol.npm/a": 3}])
        self._store.load([changed])

    def service(self) -> None:
        spec = {"type": self._random.choice(["NodePort", "ClusterIP", 4])}
        metadata = {"name": self._name("service"), "namespace": self._namespace()}
        self._store.load([{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}])

    def node(self) -> None:
        addresses = [{"type": "InternalIP", "address": self._random.choice(["10.240.0.4", "nowhere"])}]
        labels = self._random.choice([{}, {"zone": "1"}, {"zone": 1}])
        metadata = {"name": self._name("aks"), "labels": labels}
        self._store.load(
            [{"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": {"addresses": addresses}}]
        )

    def namespaces(self) -> None:
        """One comes, is labelled anew (unusably at times), or goes with all that is in it."""
        name = self._name("place")
        if name in self._namespaces and self._random.random() < 0.6:
            self._namespaces.remove(name)
            self._store.delete("namespaces", name)
            return
        changed = namespace(name, tier=self._random.choice("abc"))
        if self._random.random() < 0.3:
            changed["metadata"]["labels"] = {"kubernetes.io/metadata.name": self._random.choice(["liar", 5])}
        self._store.load([changed])
        if name not in self._namespaces:
            self._namespaces.append(name)

    def _delete(self, *plurals: str) -> None:
        plural = self._random.choice(plurals)
        _version, there = self._store.listing(self._store.catalog.by_plural(plural))
        if there.ordered:
            space, _slash, name = self._random.choice(there.ordered).key.partition("/")
            self._store.delete(plural, name, space)

    def _name(self, stem: str) -> str:
        return f"{stem}-{self._random.randrange(6)}"

    def _namespace(self) -> str:
        return self._random.choice(self._namespaces)
