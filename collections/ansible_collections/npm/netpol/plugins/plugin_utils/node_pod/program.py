# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs on the node for each command: a constant program, and the form in which it is told what to do.

The program's text stands in the request to the API, which servers log: it never differs. The command, its input and
the word that its end is known by come on standard input:

    <word> <bytes of the command> <1 when input follows, else 0> <PATH>
    <the command>
    <word>
    <bytes of a piece>
    <the piece>
    ... more pieces, and 0 as the end

Each length is a line, and nothing is read past it (``read`` and ``dd`` take exactly what they are to take, in GNU's
form as in BusyBox's, which ``head -c`` does not). So the command's input ends where it is meant to, also over a
protocol that cannot say so. If the stream ends before that, the command is killed before its input ends: what was
cut never acts as something shorter.

Both outputs end with the word, a blank, three digits and a line feed: the word is random, so no output can hold it,
and the digits are the command's exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

# The first line of the standard output: the program runs on the node, and nothing of the command was asked for yet.
READY = b"npm.netpol: ready\n"

# In the image's shell. With hostPID, hostNetwork and hostIPC the pod has the node's PID, network, IPC and UTS
# namespaces already; where no nsenter is at hand (the image's, else the node's), the node's root is enough to be there,
# except that mounts made there are the pod's own.
_ENTER = (
    'root=/proc/1/root; enter="nsenter -t 1 -m -u -i -n -p -- /bin/sh -c"; '
    'if command -v nsenter >/dev/null 2>&1; then exec $enter "$1"; fi; '
    "if chroot $root /bin/sh -c 'command -v nsenter' >/dev/null 2>&1; then "
    'exec chroot $root $enter "$1"; fi; '
    'exec chroot $root /bin/sh -c "$1"'
)

# In the node's shell: dash, bash, BusyBox's ash. Everything that it starts is in one process group, which nothing
# else is in: the container runtime gives each exec a session. The end is written where the command ran and not after
# its input, which may still be waiting. What the shell itself says of a command that was killed is no output of it.
_RUN = (
    "umask 022; cd /; "
    "pass() { [ $(($1 * $2)) = 0 ] || dd bs=$1 count=$2 iflag=fullblock 2>/dev/null; }; "
    'feed() { while read -r size; do [ "$size" = 0 ] && exit; '
    "pass 65536 $((size / 65536)) && pass $((size % 65536)) 1 || exit; done; kill -9 0; }; "
    'work() { exec 3>&2 2>/dev/null; (exec env -i PATH="$PATH" HOME="$HOME" USER=root LOGNAME=root SHELL=/bin/sh '
    '/bin/sh -c "${command%.}" 2>&3 3>&-); code=$?; '
    "printf '%s %03d\\n' \"$word\" $code; printf '%s %03d\\n' \"$word\" $code >&3; }; "
    "echo npm.netpol: ready; "
    "read -r word size input path || exit 70; PATH=$path; "
    'command=$(pass "$size" 1; echo .); read -r end && [ "$end" = "$word" ] || exit 70; '
    "HOME=~root; cd ~root 2>/dev/null || HOME=/; "
    'if [ "$input" = 1 ]; then feed | work; else work </dev/null; fi'
)

ARGV = ("sh", "-c", _ENTER, "npm.netpol", _RUN)

# A piece of input: small enough to be held in memory, large enough for few processes on the node.
_PIECE = 1 << 20
# What goes into one message: as much as kubectl puts into one.
_MESSAGE = 1 << 15


def request(word: str, command: str, path: str, *, with_input: bool) -> bytes:
    """What the program reads first."""
    text = command.encode("utf-8", "surrogateescape")
    return f"{word} {len(text)} {with_input:d} {path}\n".encode() + text + f"{word}\n".encode()


class Feed:
    """A command's input as the program reads it, in messages to be sent one after another."""

    def __init__(self, data: Iterable[bytes]) -> None:
        self._data = data
        self._stopped = False

    def stop(self) -> None:
        """End with the piece that was begun: the command has ended, and wants no more."""
        self._stopped = True

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            if self._stopped:
                break
            yield from _framed(piece)
        yield b"0\n"

    def _pieces(self) -> Iterator[bytes]:
        for block in self._data:
            yield from _cut(block, _PIECE)


def piece(data: bytes) -> Iterator[bytes]:
    """A small part of a command's input that goes before the rest, in messages; none for no data."""
    return _framed(data) if data else iter(())


def _framed(data: bytes) -> Iterator[bytes]:
    return _cut(f"{len(data)}\n".encode() + data, _MESSAGE)


def messages(text: bytes) -> Iterator[bytes]:
    """A longer text in messages."""
    return _cut(text, _MESSAGE)


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


class Output:
    """One of the two outputs: passed on as it comes, up to the word that ends it. ``code`` is then the exit code."""

    def __init__(self, word: str, write: Callable[[bytes], object]) -> None:
        self._word = word.encode()
        self._write = write
        self._held = b""
        self.code: int | None = None

    def feed(self, data: bytes) -> None:
        """Raises :class:`ValueError` for a word without a code. What follows the end is some other process's."""
        if self.code is not None:
            return
        self._held += data
        at = self._held.find(self._word)
        certain = at if at >= 0 else max(0, len(self._held) - len(self._word) + 1)
        if certain:
            self._write(self._held[:certain])
            self._held = self._held[certain:]
        if at >= 0 and len(self._held) >= len(self._word) + _CODE:
            digits = self._held[len(self._word) : len(self._word) + _CODE]
            if not (digits[:1] == b" " and digits[1:4].isdigit() and digits[4:] == b"\n"):
                raise ValueError(f"its end is damaged: {digits!r}")
            self.code = int(digits)


# A blank, three digits, a line feed.
_CODE = 5
