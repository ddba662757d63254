# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What rules cost packets: a new TCP connection's time, an established one's throughput, beside no rules and peers'."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Ruleset
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import render, script
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import Options, Wanted, converge
from ansible_collections.npm.netpol.plugins.plugin_utils.policy.compile import Compiler
from ansible_collections.npm.netpol.plugins.plugin_utils.templates import loader

from .layouts import Layout, azure_npm, kube_router
from .policies import NODE, local_address, policies, snapshot
from .results import Row, Table
from .routers import Router, one_processor

POLICIES = (1, 100, 1000, 10_000)
LOCAL_PODS = (1, 30, 250)
VARIANTS = ("nft", "legacy")
BARE, NONE, OURS, AZURE, ROUTER = "no rules", "no policies", "npm.netpol", "Azure NPM's", "kube-router's"
PEERS = {AZURE: azure_npm, ROUTER: kube_router}
COMPARED = (BARE, OURS, *PEERS)
# More take the peers minutes to load: only with ``full``, and for one number of pods.
MOST_OF_PEERS = 1000
_PODS_OF_FULL = 30
_ROUNDS, _CONNECTIONS = 60, 20
_POINT = ("iptables", "policies", "local pods")
_WARM = f"{OURS}, one pod x"
CONNECTIONS = (*_POINT, f"{NONE} µs", *(f"{name} x" for name in COMPARED), _WARM)
THROUGHPUT = (*_POINT, f"{NONE} Gbit/s", *(f"{name} x" for name in COMPARED))
SIZES = (*_POINT, *(f"{name} {what}" for name in (OURS, *PEERS) for what in ("rules", "sets")))


def run(*, full: bool = False) -> list[Table]:
    """``full``: the peers also with the most policies."""
    rows: list[tuple[Row, Row, Row]] = []
    for count in POLICIES:
        for local in LOCAL_PODS:
            with_peers = count <= MOST_OF_PEERS or (full and local == _PODS_OF_FULL)
            rows += points(count, local, with_peers=with_peers)
    connections, throughput, sizes = zip(*rows, strict=True)
    factors = f"the other columns are factors of a node with {NONE}"
    return [
        Table(
            "connections", f"CPU time until a new TCP connection is established; {factors}.", CONNECTIONS, connections
        ),
        Table("throughput", f"An established TCP connection, a second of CPU time; {factors}.", THROUGHPUT, throughput),
        Table("sizes", "What the node holds for it.", SIZES, sizes),
    ]


def points(count: int, local: int, *, with_peers: bool) -> Iterator[tuple[Row, Row, Row]]:
    """For each variant of iptables: how quick, how much, how large."""
    made = policies(count, local)
    ours = Compiler(snapshot(made)).ruleset(NODE)
    theirs = {name: layout(made) for name, layout in PEERS.items()}
    choose = random.Random(1)  # noqa: S311 - which pods are asked
    targets = [local_address(choose.randrange(local)) for _ in range(_CONNECTIONS)]
    for variant in VARIANTS:
        point: dict[str, Any] = dict(zip(_POINT, (variant, count, local), strict=True))
        with _routers(variant, ours, theirs if with_peers else {}) as routers, contextlib.ExitStack() as stack:
            held = _sizes(routers[OURS], theirs)
            stack.enter_context(one_processor())
            times = _in_turn({name: partial(each.connect, targets) for name, each in routers.items()})
            warm = _in_turn({name: partial(routers[name].connect, targets[:1] * _CONNECTIONS) for name in (NONE, OURS)})
            streams = {n: stack.enter_context(each.established(targets[0])) for n, each in routers.items()}
            speeds = _in_turn(streams)
        quickest = {name: min(each) for name, each in times.items()}
        fastest = {name: max(each) for name, each in speeds.items()}
        of_one_pod = {_WARM: round(min(warm[OURS]) / min(warm[NONE]), 2)}
        yield point | _compared("µs", quickest) | of_one_pod, point | _compared("Gbit/s", fastest), point | held


@contextlib.contextmanager
def _routers(variant: str, ours: Ruleset, theirs: Mapping[str, Layout]) -> Iterator[dict[str, Router]]:
    """One node for each layout, side by side."""
    with contextlib.ExitStack() as stack:
        routers = {}
        for name in (BARE, NONE, OURS, *theirs):
            routers[name] = Router(variant, tracked=name != BARE)
            stack.callback(routers[name].close)
        enforce(routers[OURS], ours)
        for name, layout in theirs.items():
            routers[name].node.run("ipset", "restore", data=layout.ipset)
            routers[name].node.run(f"iptables-{variant}-restore", "--noflush", data=layout.iptables)
        yield routers


def enforce(router: Router, ruleset: Ruleset) -> None:
    rendered = render.render(ruleset, render.environment(loader()))
    wanted = Wanted(rendered.id, "bench", 1, "bench", lambda: rendered)
    converge(router.node.exchange, script.environment(loader()), wanted, Options())


def _in_turn(measures: Mapping[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Each one's figures of all rounds; they take turns, so that what disturbs one disturbs all."""
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(_ROUNDS)]
    return {name: [each[name] for each in rounds] for name in measures}


def _compared(unit: str, best: Mapping[str, float]) -> dict[str, Any]:
    factors = {f"{name} x": round(best[name] / best[NONE], 2) if name in best else "" for name in COMPARED}
    return {f"{NONE} {unit}": round(best[NONE], 1), **factors}


def _sizes(ours: Router, theirs: Mapping[str, Layout]) -> dict[str, Any]:
    counts = {OURS: ours.counts(), **{name: (layout.rules, layout.sets) for name, layout in theirs.items()}}
    return {
        f"{name} {what}": n for name, both in counts.items() for what, n in zip(("rules", "sets"), both, strict=True)
    }
