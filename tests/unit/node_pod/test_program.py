# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The program that runs on the node, under the shells and tools that nodes have: exact, binary safe, safe to cut."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod import program

WORD = "0123456789abcdef0123456789abcdef"
ALL_BYTES = bytes(range(256)) * 3
SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "ash"]}


@dataclass(frozen=True, slots=True)
class Ended:
    out: bytes
    err: bytes
    code: int | None


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    if shutil.which(SHELLS[request.param][0]) is None:
        pytest.skip(f"this machine has no {request.param}")
    return SHELLS[request.param]


@pytest.fixture
def path(shell: list[str], tmp_path: Path) -> str:
    """PATH on the node: BusyBox's own tools with BusyBox's shell."""
    if shell[0] != "busybox":
        return "/usr/bin:/bin"
    busybox = shutil.which("busybox") or ""
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (tmp_path / name).symlink_to(busybox)
    return str(tmp_path)


def run(shell: list[str], path: str, command: str, data: Iterable[bytes] | None = None) -> Ended:
    sent = program.request(WORD, command, path, with_input=data is not None)
    if data is not None:
        sent += b"".join(program.Feed(data))
    return ended(start(shell), sent)


def start(shell: list[str]) -> subprocess.Popen[bytes]:
    # The runtime of a container starts every exec in a session of its own, and with the image's environment.
    return subprocess.Popen(
        [*shell, "-c", program.ARGV[-1]],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "KUBERNETES_SERVICE_HOST": "10.0.0.1"},
        start_new_session=True,
    )


def ended(process: subprocess.Popen[bytes], sent: bytes) -> Ended:
    """What the two outputs hold, read as the connection reads them: a few bytes at a time."""
    stdout, stderr = process.communicate(sent, timeout=60)
    out, err = bytearray(), bytearray()
    one, other = program.Output(WORD, out.extend), program.Output(WORD, err.extend)
    assert stdout.startswith(program.READY)
    for output, text in ((one, stdout[len(program.READY) :]), (other, stderr)):
        for start_ in range(0, len(text), 7):
            output.feed(text[start_ : start_ + 7])
    assert one.code == other.code
    return Ended(bytes(out), bytes(err), one.code)


def test_outputs_and_exit_code_are_exact(shell: list[str], path: str) -> None:
    assert run(shell, path, "printf 'a\\nb'; printf c >&2; exit 3") == Ended(b"a\nb", b"c", 3)
    assert run(shell, path, "true") == Ended(b"", b"", 0)
    assert run(shell, path, "kill -9 $$") == Ended(b"", b"", 128 + signal.SIGKILL)
    assert run(shell, path, "cat; kill -15 $$", [b"in"]) == Ended(b"in", b"", 128 + signal.SIGTERM)
    assert run(shell, path, "no-such-program").code == 127


def test_input_is_exact_and_ends(shell: list[str], path: str) -> None:
    assert run(shell, path, "cat; exit 4", [ALL_BYTES, b"", b"\n\n"]) == Ended(ALL_BYTES + b"\n\n", b"", 4)
    assert run(shell, path, "cat", []) == Ended(b"", b"", 0)
    assert run(shell, path, "cat") == Ended(b"", b"", 0)


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 3 * (1 << 20) + 11])
def test_input_of_any_size(shell: list[str], path: str, size: int) -> None:
    data = (ALL_BYTES * (size // len(ALL_BYTES) + 1))[:size]
    digest = hashlib.sha256(data).hexdigest()
    assert run(shell, path, "sha256sum", [data]).out.split() == [digest.encode(), b"-"]


def test_a_command_may_leave_its_input_alone(shell: list[str], path: str) -> None:
    assert run(shell, path, "exec <&-; exit 5", [b"x" * (4 << 20)]).code == 5
    assert run(shell, path, "read -r line; echo $line", [b"one\n", b"two\n" * (1 << 20)]).out == b"one\n"


def test_a_command_of_any_text(shell: list[str], path: str) -> None:
    assert run(shell, path, "printf %s 'ä\n$(x) \"q\" \\\\ %s'\n\n").out == 'ä\n$(x) "q" \\\\ %s'.encode()
    assert run(shell, path, f"printf %s '{'y' * 100_000}'").out == b"y" * 100_000


def test_nothing_of_the_pod_is_in_the_environment(shell: list[str], path: str) -> None:
    names = {line.partition(b"=")[0] for line in run(shell, path, "env").out.splitlines()}
    assert names - {b"PWD", b"SHLVL", b"_"} == {b"HOME", b"LOGNAME", b"PATH", b"SHELL", b"USER"}
    assert run(shell, path, 'printf "%s %s\\n" "$PATH" "$HOME"; pwd; umask').out.split() == [
        path.encode(), b"/root", b"/root", b"0022",
    ]  # fmt: skip


def test_processes_that_stay_do_not_hold_the_end_back(shell: list[str], path: str) -> None:
    process = start(shell)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(program.request(WORD, "sleep 60 & echo started", path, with_input=False))
    process.stdin.flush()
    output = program.Output(WORD, lambda data: None)
    while output.code is None:
        output.feed(os.read(process.stdout.fileno(), 4096))
    assert output.code == 0
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("cut", [1, 30, 45, 60, 100, 70_000, 65_536 + 90])
def test_a_stream_that_is_cut_never_ends_the_input_of_a_command(
    shell: list[str], path: str, cut: int, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    command = f"cat >{tmp_path}/copy; echo all >{mark}"
    whole = program.request(WORD, command, path, with_input=True) + b"".join(program.Feed([b"z" * 100_000]))
    process = start(shell)
    stdout, stderr = process.communicate(whole[:cut], timeout=60)
    assert WORD.encode() not in stdout + stderr
    assert not mark.exists()
    assert process.returncode in (70, -signal.SIGKILL)


def test_what_is_in_the_request_to_the_api_is_short() -> None:
    """Proxies refuse long request lines, mostly from 8 KiB."""
    assert len(urlencode([("command", each) for each in program.ARGV])) < 4096


def test_a_stopped_feed_ends_with_its_piece() -> None:
    feed = program.Feed([b"a" * (3 << 20)])
    messages = iter(feed)
    first = next(messages)
    feed.stop()
    rest = b"".join(messages)
    assert (first + rest) == b"1048576\n" + b"a" * (1 << 20) + b"0\n"


def test_a_damaged_end_is_no_end() -> None:
    output = program.Output(WORD, lambda data: None)
    with pytest.raises(ValueError, match="its end is damaged"):
        output.feed(f"x{WORD} 00\n\n".encode())


def test_what_follows_the_end_is_not_the_commands() -> None:
    seen = bytearray()
    output = program.Output(WORD, seen.extend)
    output.feed(b"mine" + WORD[:9].encode() + b"\0")
    output.feed(f"{WORD} 000\nother".encode())
    output.feed(b"more")
    assert (bytes(seen), output.code) == (b"mine" + WORD[:9].encode() + b"\0", 0)
