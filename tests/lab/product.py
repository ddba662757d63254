# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The product's steps in this process, for tests that converge too often to start a playbook each time.

The same code as in a run: only the way to the API and to the nodes is shorter (a Unix socket, nsenter).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import partial

from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.gather import Gathering
from ansible_collections.npm.netpol.plugins.plugin_utils.model.snapshot import Snapshot
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import exchange, render, script
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import Options, Result, Wanted, converge
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler, Settings
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader

from .lab import Lab

_RESOURCES = {
    "Namespace": "namespaces",
    "Pod": "pods",
    "Node": "nodes",
    "Service": "services",
    "NetworkPolicy": "networkpolicies",
}

# Stands in for the resourceVersion, which the lab's own client does not tell: each snapshot is newer than the last.
_AGES = itertools.count(1)


def _same(rendered: render.Rendered) -> render.Rendered:
    return rendered


class Product:
    """Snapshot, compile, render and converge for the nodes of one lab."""

    def __init__(self, lab: Lab, settings: Settings | None = None, options: Options | None = None) -> None:
        self._lab = lab
        self._settings = settings or Settings()
        self._options = options or Options()
        self._renderer = render.Renderer(render.environment(loader()))
        self._scripts = script.environment(loader())

    def snapshot(self) -> Snapshot:
        gathering = Gathering()
        for kind, resource in _RESOURCES.items():
            for raw in self._lab.api.list(resource):
                gathering.add(kind, raw)
        return gathering.snapshot({"pods": str(next(_AGES))})

    def converge(self, nodes: Iterable[str] = ()) -> dict[str, Result]:
        """Bring the nodes (default: all) to what the API says now, one after the other."""
        snapshot = self.snapshot()
        compiler = Compiler(snapshot, self._settings)
        results = {}
        for node in nodes or self._lab.nodes:
            rendered = self._renderer.render(compiler.ruleset(node))
            cluster = snapshot.cluster
            wanted = Wanted(rendered.id, cluster.uid, cluster.version, snapshot.id, partial(_same, rendered))
            results[node] = self._converge(node, wanted)
        return results

    def remove(self) -> dict[str, Result]:
        """Remove everything of ours from all nodes."""
        return {node: self._converge(node, None) for node in self._lab.nodes}

    def _converge(self, node: str, wanted: Wanted | None) -> Result:
        def send(data: bytes) -> str:
            return self._lab.nodes[node].run(exchange.RECEIVER, input=data).stdout

        return converge(send, self._scripts, wanted, self._options)
