# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What goes over the wire: cut streams, hang-ups, a script sent twice, and states that move meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter import converge as engine
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import NotConvergedError
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.exchange import CUT_STREAM, END
from integration.netfilter.changes import NEW, OLD
from integration.netfilter.network import PODS
from integration.netfilter.node import Node, node
from integration.netfilter.rulesets import INGRESS, SCRIPTS, converge, settle, wanted

PATIENCE = 30.0
# The first start that writes waits to be told to go on.
STOP_ONCE = """
case "$* $(ls /run/stopped 2>/dev/null)" in
*/run/stopped) ;;
*restore*) : >/run/stopped; read -r _ </run/go ;;
esac
exec "$real" "$@"
"""


@pytest.fixture
def made(shell: str) -> Iterator[Node]:
    with node(posix_shell=shell) as each:
        settle(each, OLD)
        yield each


@pytest.fixture
def plain() -> Iterator[Node]:
    with node() as each:
        settle(each, OLD)
        yield each


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


def converge_through(exchange: engine.Exchange, target: engine.Wanted | None = NEW, **options: object) -> engine.Result:
    return engine.converge(exchange, SCRIPTS, target, engine.Options(**options))  # type: ignore[arg-type]


def requests(each: Node, target: engine.Wanted) -> list[bytes]:
    """What is sent to the node on its way to the target; the last request is not carried out."""
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        return each.exchange(data) if len(sent) < 2 else ""

    with pytest.raises(NotConvergedError, match="no whole reply"):
        converge_through(exchange, target)
    return sent


def many_members() -> engine.Wanted:
    members = [f"10.{a}.{b}.{c * 7 % 256}" for a in range(2) for b in range(64) for c in range(64)]
    return wanted({(INGRESS, PODS[0]): [(80, "many")]}, {"many": members}, version=2)


def test_a_cut_stream_never_acts(made: Node) -> None:
    apply = requests(made, many_members())[-1]
    header = apply.index(b"\n") + 1
    size = len(str(len(apply) - header))
    cuts = {0, 1, size - 1, size, size + 1, size + 32, header - 2, header - 1, header, header + 1, header + 10}
    cuts |= {*range(1024, len(apply), 1024), len(apply) - 8, len(apply) - 1}
    assert len(apply) > 8 * 1024
    before = made.everything()
    for cut in sorted(cuts):
        assert END not in made.exchange(apply[:cut]), cut
        assert made.last.status != 0, cut
        assert made.leftovers() == [], cut
    assert made.last.status == CUT_STREAM
    assert "did not arrive whole" in made.last.stderr
    assert made.everything() == before


def test_a_changed_byte_never_acts(plain: Node) -> None:
    apply = requests(plain, NEW)[-1]
    before = plain.everything()
    for position in (len(apply) // 2, len(apply) - 1):
        damaged = apply[:position] + bytes([apply[position] ^ 1]) + apply[position + 1 :]
        assert END not in plain.exchange(damaged)
        assert plain.last.status == CUT_STREAM
    assert plain.everything() == before


def test_what_follows_the_frame_is_left_alone(plain: Node) -> None:
    """The end of the stream is never waited for: some connections cannot signal it."""
    check = requests(plain, NEW)[0]
    process = plain.start()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(check)
    process.stdin.flush()
    output = b""
    while END.encode() not in output:
        part = process.stdout.read1(4096)
        assert part, "the script ended without a reply"
        output += part
    assert process.wait(PATIENCE) == 0
    process.communicate()


def test_a_hang_up_before_all_has_arrived_leaves_nothing(made: Node) -> None:
    apply = requests(made, NEW)[-1]
    before = made.everything()
    process = made.start()
    assert process.stdin is not None
    process.stdin.write(apply[: len(apply) // 2])
    process.stdin.flush()
    until(lambda: any(made.path("/tmp").glob("*/in")), "the receiver's file")  # noqa: S108 - the node's own
    os.killpg(process.pid, signal.SIGHUP)
    stdout, _ = process.communicate()
    assert stdout == b""
    until(lambda: made.leftovers() == [], "the receiver's directory goes")
    assert made.everything() == before


@pytest.mark.parametrize("how", ["HUP", "TERM", "INT", "PIPE"])
def test_a_hang_up_while_it_writes_does_not_end_it_half_way(made: Node, how: str) -> None:
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        return made.exchange(data) if len(sent) < 2 else interrupted(data)

    def interrupted(data: bytes) -> str:
        process = made.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data)
        process.stdin.close()
        until(made.path("/run/stopped").exists, "the script comes to its first write")
        if how == "PIPE":
            process.stdout.close()
        else:
            os.killpg(process.pid, getattr(signal, f"SIG{how}"))
        made.path("/run/go").write_text("go\n")
        output = b"" if how == "PIPE" else process.stdout.read()
        process.wait(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()
        process.stdout.close()
        return output.decode()

    made.run("mkfifo", "/run/go")
    with made.wrapped("ipset", STOP_ONCE):
        if how == "PIPE":
            with pytest.raises(NotConvergedError, match="no whole reply"):
                converge_through(exchange)
        else:
            assert converge_through(exchange).changed
    again = converge(made, NEW)
    assert again.in_sync
    assert made.leftovers() == []


def test_a_script_that_is_sent_twice_is_a_success(plain: Node) -> None:
    """As ssh does on its own when a connection breaks after the script has run."""
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        if len(sent) == 2:
            plain.exchange(data)
        return plain.exchange(data)

    result = converge_through(exchange)
    assert result.changed
    assert converge(plain, NEW).in_sync


def test_a_state_that_moves_before_it_is_applied_is_read_again(plain: Node) -> None:
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        if len(sent) == 2:
            plain.restore("nft", "-I NPM-FORWARD 1 -j ACCEPT")
        return plain.exchange(data)

    assert converge_through(exchange).exchanges == 4
    assert converge(plain, NEW).in_sync


def test_a_state_that_never_rests_is_an_error(plain: Node) -> None:
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        plain.restore("nft", f"-I NPM-FORWARD 1 -s 192.0.2.{len(sent)} -j ACCEPT")
        return plain.exchange(data)

    with pytest.raises(NotConvergedError, match="another program keeps changing them") as caught:
        converge_through(exchange)
    assert not caught.value.result.changed
    settle(plain, NEW)


def hold_lock(each: Node) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        each.inside("flock", "/run/npm-netpol/lock", "sh", "-c", "echo held; cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_lock_that_is_held_too_long_is_a_clear_error(plain: Node) -> None:
    before = plain.everything()
    holder = hold_lock(plain)
    try:
        with pytest.raises(NotConvergedError, match=r"another run has held the lock .* for 1 s") as caught:
            converge(plain, NEW, lock_timeout=1)
    finally:
        holder.communicate()
    assert not caught.value.result.changed
    assert plain.everything() == before
    assert plain.leftovers() == []


def test_what_is_remembered_stays_while_another_job_is_at_work(plain: Node) -> None:
    """It may be about to write a record of its own: ours must not be written over it."""
    settle(plain, NEW)
    record = plain.path("/run/npm-netpol/applied")
    before = record.read_text()
    holder = hold_lock(plain)
    try:
        assert converge(plain, replace(NEW, version=NEW.version + 1)).in_sync
        assert record.read_text() == before
    finally:
        holder.communicate("")
    assert converge(plain, replace(NEW, version=NEW.version + 1)).in_sync
    assert f"version={NEW.version + 1}\n" in record.read_text()


NEWER_RECORD_DURING_THE_FIRST_READING = """
if [ ! -e /run/read ]; then
    : >/run/read
    printf 'cluster=%s\\nversion=999\\n' cluster-1 >/run/npm-netpol/applied
fi
exec "$real" "$@"
"""


def test_a_newer_record_that_appears_while_ours_is_read_is_not_overwritten(plain: Node) -> None:
    """What is judged and what apply makes sure of are one reading."""
    settle(plain, OLD)
    with (
        plain.wrapped("ipset", NEWER_RECORD_DURING_THE_FIRST_READING),
        pytest.raises(NotConvergedError, match="newer snapshot"),
    ):
        converge(plain, NEW)
    assert "version=999" in plain.path("/run/npm-netpol/applied").read_text()


def test_a_lock_is_waited_for(plain: Node) -> None:
    holder = hold_lock(plain)
    sent: list[bytes] = []

    def exchange(data: bytes) -> str:
        sent.append(data)
        if len(sent) < 2:
            return plain.exchange(data)
        process = plain.start()
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        until(lambda: waits_for(plain, "/run/npm-netpol/lock"), "the script waits for the lock")
        holder.communicate()
        return process.communicate()[0].decode()

    assert converge_through(exchange).changed
    assert converge(plain, NEW).in_sync


def waits_for(each: Node, path: str) -> bool:
    inode = f":{each.path(path).stat().st_ino} "
    return any(" -> " in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_two_runs_at_once_leave_the_node_whole(plain: Node) -> None:
    """They meet between reading and applying: the second is told that the state has moved, and reads again."""
    others = [OLD, NEW]
    results = []

    def exchange(data: bytes) -> str:
        if others and exchanges[0] == 1:
            results.append(converge(plain, others.pop(), allow_older=True))
        exchanges[0] += 1
        return plain.exchange(data)

    exchanges = [0]
    mine = converge_through(exchange, many_members(), allow_older=True)
    assert mine.exchanges == 4
    assert results[0].changed
    assert converge(plain, many_members()).in_sync


def test_many_runs_at_once_end_with_one_of_their_targets(plain: Node) -> None:
    targets = [wanted({(INGRESS, PODS[0]): [(80, "one")]}, {"one": [f"10.1.1.{n}"]}, version=5) for n in range(3)]
    with ThreadPoolExecutor(len(targets)) as pool:
        list(pool.map(lambda target: converge(plain, target), targets))
    assert sum(converge(plain, each, check_mode=True).in_sync for each in targets) == 1
