# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a connection's options to a node that commands can be run on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from ..cluster import auth
from ..cluster.client import ApiClient
from . import reaper
from .channels import Patience
from .errors import NodePodError
from .helper import HelperPod
from .manifest import Settings
from .node import Limits, Node
from .run import Run, digest_of

_LEAST: Mapping[str, float] = {
    "deadline": 60,
    "start_timeout": 1,
    "api_timeout": 1,
    "api_retries": 0,
    "ping": 1,
    "silence": 2,
}


def connect(
    options: Mapping[str, Any],
    kubernetes: Mapping[str, Any],
    node: str,
    *,
    temporary: Path,
    main_process: int,
    tell: Callable[[str], None],
) -> tuple[ApiClient, Node]:
    """A client to be closed, and the node. ``kubernetes`` says which API and as whom (``cluster.options``).

    ``temporary`` is the directory of the run, ``main_process`` the one that ends when the run does. Asks the API
    nothing. Raises :class:`NodePodError` for an option that cannot be, and ``AuthError``.
    """
    for name, least in _LEAST.items():
        if options[name] < least:
            raise NodePodError(f"{name} is {options[name]}: the least is {least:g}")
    settings = Settings(
        **{each.name: options[each.name] for each in fields(Settings) if each.name != "pull_secrets"},
        pull_secrets=tuple(options["pull_secrets"]),
    )
    run = Run(temporary)
    client = ApiClient(
        partial(auth.connect, kubernetes, os.environ),
        retries=options["api_retries"],
        timeout=options["api_timeout"],
        tell=tell,
    )
    if run.is_first(f"reaper-{digest_of(client.connection.host, settings.namespace)}"):
        reaper.start(kubernetes, settings.namespace, run.id, main_process)
    helper = HelperPod(client, run, node, settings, options["start_timeout"], tell)
    limits = Limits(
        path=options["path"],
        retries=options["api_retries"],
        timeout=options["api_timeout"],
        patience=Patience(options["ping"], options["silence"]),
    )
    return client, Node(client, helper, limits, tell)
