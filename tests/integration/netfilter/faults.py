# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Making a node's programs fail, or its script end, at one chosen start of a program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from integration.netfilter.node import TOOLS, VARIANTS, Node

# What writes to the kernel, and how one tells a start that does.
WRITERS = ("ipset", *(f"{tool}-{variant}-restore" for tool in TOOLS for variant in VARIANTS))
ONLY_WRITES = 'case "$name $*" in *restore*) ;; *) exec "$real" "$@" ;; esac'

# What happens instead of the chosen start. The script's whole process group ends, as when the machine stops.
END_BEFORE = "kill -9 0"
END_AFTER = '"$real" "$@"; kill -9 0'
FAIL = 'echo "injected failure" >&2; exit 1'

_COUNT = """
number=$(cat /run/count)
number=$((number + 1))
echo "$number" >/run/count
echo "$name $*" >>/run/starts
"""
_TOOLS_OF_THE_COUNTER = ("cat", "head")


def end_within(lines: int) -> str:
    """The program gets so many lines of its input, then everything ends."""
    return f'head -n {lines} >/run/part; "$real" "$@" </run/part; kill -9 0'


def fail_within(lines: int) -> str:
    """The program gets so many lines of its input, then fails: as ipset does, which keeps what it has done."""
    return f'head -n {lines} >/run/part; "$real" "$@" </run/part; {FAIL}'


@contextlib.contextmanager
def injected(node: Node, names: Iterable[str], *, at: int = 0, action: str = "", only: str = "") -> Iterator[Path]:
    """Starts of the programs are counted from 1, and ``action`` takes the place of number ``at``.

    Gives the file with a line for each start. ``only`` is shell text that sends away what isn't to be counted.
    """
    node.path("/run/count").write_text("0\n")
    starts = node.path("/run/starts")
    starts.write_text("")
    chosen = f'[ "$number" != {at} ] || {{\n{action or ":"}\n}}\n'
    # The counter must not count itself.
    own_path = "PATH=/run/counter\n"
    _own_tools(node)
    with contextlib.ExitStack() as stack:
        for name in names:
            script = f'path=$PATH\n{own_path}{only}\n{_COUNT}\n{chosen}PATH=$path\nexec "$real" "$@"'
            stack.enter_context(node.wrapped(name, script))
        yield starts


def _own_tools(node: Node) -> None:
    directory = node.path("/run/counter")
    directory.mkdir(exist_ok=True)
    for name in _TOOLS_OF_THE_COUNTER:
        with contextlib.suppress(FileExistsError):
            (directory / name).symlink_to(f"/usr/bin/{name}")
