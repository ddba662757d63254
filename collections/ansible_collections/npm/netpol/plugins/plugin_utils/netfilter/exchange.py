# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The form of what goes to a node and comes back: framed by length, verified, binary safe, and never on a command line.

A request is one line ``<bytes> <SHA-256>`` and then that many bytes of gzip: a shell script with its data.
Nothing runs before all of it has arrived and is verified, so that a stream that was cut never acts as a
shorter script. A reply is base64 of gzip between two markers: whatever else a login shell prints is ignored.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

BEGIN = "-----BEGIN NPM.NETPOL REPLY-----"
END = "-----END NPM.NETPOL REPLY-----"

# Started on the node as it stands: constant, because sudo writes command lines to its log. The script takes its place,
# and removes the directory: two shells would each have their own mind about a signal.
RECEIVER = (
    "umask 077; d=; trap 'rm -rf \"$d\"' EXIT; trap 'exit 70' HUP INT TERM; "
    "read -r size sum && d=$(mktemp -d) || exit 70; "
    'head -c "$size" >"$d/in" && printf "%s  %s\\n" "$sum" "$d/in" | sha256sum -c >/dev/null 2>&1 || '
    '{ echo "npm.netpol: the script did not arrive whole, or there is no room for it" >&2; exit 71; }; '
    'gzip -dc <"$d/in" >"$d/script" || exit 72; exec sh "$d/script" "$d"'
)
CUT_STREAM = 71


class ReplyError(ValueError):
    """What came back is no reply of ours."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``values`` are the ``name=value`` lines; ``body`` is what follows (the node's state, when asked for)."""

    values: Mapping[str, str]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def number(self, name: str) -> int:
        value = self[name]
        return int(value) if value.isdigit() else 0

    @property
    def errors(self) -> list[str]:
        """Messages of the failed program, a line each (``error`` may stand several times, joined by newlines)."""
        return self["error"].split("\n") if self["error"] else []


def frame(script: str) -> bytes:
    """The bytes that :data:`RECEIVER` reads from its standard input. Same script, same bytes."""
    data = gzip.compress(script.encode(), compresslevel=6, mtime=0)
    return f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode() + data


def parse_reply(output: str) -> Reply:
    """Read a script's standard output.

    Raises :class:`ReplyError` when there is no whole reply in it.
    """
    _before, begin, rest = output.partition(BEGIN)
    text, end, _after = rest.partition(END)
    if not begin or not end:
        raise ReplyError("the node sent no whole reply")
    try:
        decoded = gzip.decompress(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, OSError, EOFError, zlib.error) as error:
        raise ReplyError(f"the node's reply is damaged: {error}") from error
    head, _empty_line, body = decoded.partition(b"\n\n")
    values: dict[str, str] = {}
    for line in head.decode(errors="backslashreplace").split("\n"):
        name, equals, value = line.partition("=")
        if equals:
            values[name] = f"{values[name]}\n{value}" if name in values else value
    if not values:
        raise ReplyError("the node's reply is empty")
    return Reply(values, body)
