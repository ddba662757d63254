# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Helper pods without Ansible, in the lab's controller: ``python -m bench.helper_pods NODE...`` makes one on each node.

All at once; prints how many seconds it took until the last of them ran, and their names. They stay.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import manifest, pod_state
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.pod_state import Phase

SETTINGS = manifest.Settings()
_RUN = "bench"
_LOOK_AGAIN_SECONDS = 0.05


def start(nodes: Sequence[str]) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{SETTINGS.namespace}/pods"
    names = {node: manifest.name(_RUN, node, SETTINGS, 1) for node in nodes}
    ours = [("labelSelector", f"{manifest.RUN_LABEL}={_RUN}")]
    with ApiClient(lambda: auth.connect({}, os.environ)) as client:
        begun = time.monotonic()
        for node, name in names.items():
            client.create(path, manifest.pod(name, node, _RUN, SETTINGS))
        while not all(pod_state.of(pod).phase is Phase.RUNNING for pod in client.get(path, ours)["items"]):
            time.sleep(_LOOK_AGAIN_SECONDS)
        return {"seconds": time.monotonic() - begun, "pods": names}


if __name__ == "__main__":
    print(json.dumps(start(sys.argv[1:])))
