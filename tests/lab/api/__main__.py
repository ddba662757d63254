# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""``python -m lab.api``: the API server as a command. README.md describes options and files."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import yaml

from lab.kubelet.pods import Kubelets

from .identities import Identity
from .records import Object
from .resources import Catalog
from .server import ApiServer
from .store import Store


def main() -> None:
    options = _parser().parse_args()
    server = ApiServer(
        state_dir=options.state_dir,
        bind=options.bind,
        port=options.port,
        tls=options.tls,
        hosts=options.host,
        identities=options.token,
        store=Store(Catalog(options.serve), validate=not options.no_validate),
        bookmark_seconds=options.bookmark_seconds,
    )
    if options.nodes:
        server.run_pods(Kubelets(server.store, lambda name: _node_pid(options.nodes, name)))
    elif options.run_pods:
        server.run_pods(Kubelets(server.store))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    for path in options.load:
        server.store.load(_objects(path))
    with server:
        print(server.url, flush=True)
        if options.until_stdin_closes:
            threading.Thread(target=_read_to_end, args=(ended,), daemon=True).start()
        ended.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab.api", description="A Kubernetes API server for tests.")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--bind", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=0, help="default: any that is free")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--host", action="append", default=[], help="one more name or address of the certificate")
    parser.add_argument("--token", action="append", default=[], type=_identity, metavar="NAME=TOKEN")
    parser.add_argument("--load", action="append", default=[], type=Path, metavar="FILE", help="YAML or JSON objects")
    parser.add_argument("--serve", action="append", default=[], metavar="RESOURCE", help="an optional resource")
    parser.add_argument("--no-validate", action="store_true", help="store objects as they are")
    parser.add_argument("--bookmark-seconds", type=float, default=5.0)
    runs = parser.add_mutually_exclusive_group()
    runs.add_argument("--nodes", type=Path, metavar="DIR", help="run pods in the lab's nodes (NAME/pid is below it)")
    runs.add_argument("--run-pods", action="store_true", help="run pods as plain processes of this machine")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when standard input does")
    return parser


def _node_pid(nodes: Path, name: str) -> int:
    return int((nodes / name / "pid").read_text())


def _identity(text: str) -> Identity:
    name, separator, token = text.partition("=")
    if not (name and separator and token):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TOKEN")
    return Identity(name, token)


def _objects(path: Path) -> Iterator[Object]:
    """Every object of a file; a List's items one by one."""
    with path.open(encoding="utf-8") as file:
        for document in yaml.safe_load_all(file):
            if document and "items" in document:
                yield from document["items"]
            elif document:
                yield document


def _read_to_end(ended: threading.Event) -> None:
    for _ in sys.stdin.buffer:
        pass
    ended.set()


if __name__ == "__main__":
    main()
