# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The connection by itself, without a playbook: ``python drive.py VARIABLES STEP...``, in the lab's controller.

VARIABLES is JSON, a STEP is JSON too: ``["exec", COMMAND]``, ``["put", FROM, TO]``, ``["fetch", FROM, TO]`` or
``["send", COMMAND, FILE]`` (the file is its input). Prints JSON: what each step returned, and how many KiB of memory
the process had at most before and after.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import connection_loader, init_plugin_loader


def main(variables: dict[str, Any], steps: list[list[str]]) -> dict[str, Any]:
    init_plugin_loader()
    connection = connection_loader.get("npm.netpol.node_pod", PlayContext(), "/dev/null")
    connection.set_options(var_options=variables)
    if steps[0][0] != "send":
        # So that what the first command takes is not counted.
        connection.exec_command("true")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = [step(connection, *each) for each in steps]
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.close()
    return {"results": results, "before": before, "after": after}


def step(connection: Any, what: str, *arguments: str) -> Any:
    try:
        if what in ("exec", "send"):
            command, *files = arguments
            data = Path(files[0]).read_bytes() if files else None
            code, out, err = connection.exec_command(command, in_data=data)
            return [code, out.decode(errors="backslashreplace"), err.decode(errors="backslashreplace")]
        {"put": connection.put_file, "fetch": connection.fetch_file}[what](*arguments)
    except AnsibleError as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]), [json.loads(each) for each in sys.argv[2:]])))
