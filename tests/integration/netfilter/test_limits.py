# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Full disks, kernels that lack a set type, and more of everything than the defaults have room for."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterable, Iterator

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import NotConvergedError
from integration.netfilter import faults
from integration.netfilter.changes import BACK, NEW, OLD, OLD_RULES, OLD_SETS, WEB, find_verdicts
from integration.netfilter.network import WORLD, Flow, Network
from integration.netfilter.node import Node
from integration.netfilter.rulesets import INGRESS, chain_name, converge, set_name, settle, wanted

PAGE = 4096


def addresses(count: int, start: int = 0) -> list[str]:
    return [f"10.{100 + n // 65536}.{n // 256 % 256}.{n % 256}" for n in range(start, start + count)]


def resize(each: Node, directory: str, size: int) -> None:
    each.run("mount", "-o", f"remount,size={size}", directory)


def set_type(each: Node, base: str) -> list[str]:
    return next(line.split() for line in each.sets().splitlines() if line.startswith(f"create {base}-"))


def test_a_full_disk_stops_before_anything_is_written(wired: Network) -> None:
    """At every size of the temporary directory: either all goes well, or the old rules stand and the error says why."""
    verdicts = find_verdicts(wired)
    each = wired.node
    outcomes = []
    before = each.everything()
    for pages in range(2, 50, 4):
        resize(each, "/tmp", pages * PAGE)  # noqa: S108 - the node's own
        try:
            outcomes.append("converged" if converge(each, NEW).changed else "no change")
        except NotConvergedError as error:
            outcomes.append(
                "no room" if "no room" in str(error) else "cut" if "no whole reply" in str(error) else str(error)
            )
            verdicts.hold(wired.passing(), f"{pages} pages")
            if outcomes[-1] == "cut":
                assert "No space left" in each.last.stderr or "no room" in each.last.stderr
        assert each.leftovers() == []
        resize(each, "/tmp", 1 << 30)  # noqa: S108 - the node's own
        if each.everything() != before:
            settle(each, NEW)
            assert wired.passing() == verdicts.new
            settle(each, OLD, allow_older=True)
            before = each.everything()
    assert set(outcomes) == {"converged", "no room", "cut"}, outcomes
    assert outcomes[-1] == "converged"
    assert outcomes == sorted(outcomes, key=lambda outcome: outcome == "converged")


def test_no_room_for_the_record_is_an_error_before_anything_is_written(fresh: Node) -> None:
    settle(fresh, OLD)
    before = fresh.everything()
    record = fresh.path("/run/npm-netpol/applied").read_text()
    fresh.run("mount", "-t", "tmpfs", "-o", f"size={PAGE}", "tmpfs", "/run/npm-netpol")
    fresh.path("/run/npm-netpol/applied").write_text(record)
    with pytest.raises(NotConvergedError, match="cannot write /run/npm-netpol/applied"):
        converge(fresh, NEW)
    assert fresh.everything() == before
    assert fresh.path("/run/npm-netpol/applied").read_text() == record
    fresh.run("umount", "/run/npm-netpol")
    settle(fresh, NEW)


def test_a_kernel_without_a_set_type_says_which_line(fresh: Node) -> None:
    """Nothing but the program's answer can be made to look like such a kernel's: it is ipset's own wording."""
    settle(fresh, OLD)
    before = fresh.everything()
    refuse = """
case "$*" in *restore*) ;; *) exec "$real" "$@" ;; esac
number=$(grep -n 'hash:net' | head -n 1)
echo "ipset v7.17: Error in line ${number%%:*}: Kernel error received: set type not supported" >&2
exit 1
"""
    target = wanted({**OLD_RULES, (INGRESS, BACK): [(80, "net-new")]}, {**OLD_SETS, "net-new": ("10.0.8.0/24",)})
    with fresh.wrapped("ipset", refuse), pytest.raises(NotConvergedError) as caught:
        converge(fresh, target)
    assert "set type not supported" in str(caught.value)
    assert f"[line 1: create {set_name('net-new')}-a hash:net family inet maxelem 65536]" in str(caught.value)
    assert fresh.everything() == before


@contextlib.contextmanager
def being_listed(each: Node, name: str) -> Iterator[None]:
    """Somebody lists the set, and does not get on: the kernel lets nobody destroy or swap it meanwhile."""
    lister = subprocess.Popen(each.inside("ipset", "save", name), stdout=subprocess.PIPE)
    assert lister.stdout is not None
    try:
        # More than a pipe has room for is still to come.
        assert lister.stdout.readline().startswith(b"create ")
        yield
        assert lister.poll() is None, "the set was not large enough to keep the one who lists it"
    finally:
        lister.kill()
        lister.communicate()


MANY_RULES = {(INGRESS, WEB): [(80, "many")]}


def test_more_members_than_a_set_has_room_for(fresh: Node) -> None:
    """Past the default of 65536 a larger twin takes the set's place; it never shrinks again."""
    name = set_name("many")
    settle(fresh, wanted(MANY_RULES, {"many": addresses(65_000)}))
    assert "65536" in set_type(fresh, name)
    first = set_type(fresh, name)[1]
    saved = fresh.save(fresh.default_variant)
    grown = settle(fresh, wanted(MANY_RULES, {"many": addresses(70_000, start=100)}))
    assert grown.counts.members == 70_000
    second = set_type(fresh, name)[1]
    assert second != first
    assert "131072" in set_type(fresh, name)
    assert fresh.save(fresh.default_variant) == saved.replace(first, second)
    settle(fresh, wanted(MANY_RULES, {"many": addresses(10)}))
    assert "131072" in set_type(fresh, name)
    assert fresh.sets().count("add ") == 10
    assert fresh.sets().count("create ") == 1


def test_a_set_that_is_full_and_being_listed_is_changed_all_the_same(wired: Network) -> None:
    """And rules and members switch in one instant: until then, packets pass as before."""
    each = wired.node
    name = set_name("many")
    flows = [Flow(source, WEB, 80) for source in WORLD[:3]]
    settle(each, wanted(MANY_RULES, {"many": [*WORLD[:2], *addresses(40_000)]}))
    new = wanted(MANY_RULES, {"many": [*WORLD[1:3], *addresses(40_000, start=40_000)]})
    with being_listed(each, set_type(each, name)[1]):
        switch = f"iptables-{each.default_variant}-restore"
        with faults.injected(each, [switch], at=1, action=faults.END_BEFORE), pytest.raises(NotConvergedError):
            converge(each, new)
        assert wired.passing(flows) == set(flows[:2])
        assert converge(each, new).changed
        assert wired.passing(flows) == set(flows[1:])


def test_a_set_that_cannot_be_dropped_is_named(fresh: Node) -> None:
    """The rules can't switch, and somebody lists what was built for them; the next run takes it away."""
    settle(fresh, wanted(MANY_RULES, {"many": addresses(40_000)}))
    new = wanted(MANY_RULES, {"many": addresses(40_000, start=40_000)})
    twin = f"{set_name('many')}-b"
    fresh.run("mkfifo", "/run/listing", "/run/end")
    # The lock is the script's own.
    fail = f"""
ipset save {twin} 9>&- | {{ read -r first && echo "$first" >/run/listing && read -r end </run/end; }} 9>&- &
read -r first </run/listing
{faults.FAIL}
"""
    switch = f"iptables-{fresh.default_variant}-restore"
    with fresh.wrapped(switch, fail), pytest.raises(NotConvergedError) as caught:
        converge(fresh, new)
    fresh.run("sh", "-c", "echo >/run/end")
    assert f"Not all could be taken back: the set {twin} stays: " in str(caught.value)
    settle(fresh, new)
    assert fresh.sets().count("create ") == 1


@pytest.mark.full
def test_a_set_of_150000_members_and_2000_sets(fresh: Node) -> None:
    rules = {(INGRESS, WEB): [(80, "many")]}
    assert settle(fresh, wanted(rules, {"many": addresses(150_000)})).counts.members == 150_000
    sets = {f"set-{number}": addresses(75, start=number * 10) for number in range(2000)}
    rules = {(INGRESS, f"10.200.{n // 250}.{n % 250}"): [(80, f"set-{n}")] for n in range(2000)}
    counts = settle(fresh, wanted(rules, sets)).counts
    assert (counts.sets, counts.members) == (2000, 150_000)
    settle(fresh, None)
    assert fresh.sets() == ""


def counters(each: Node, chain: str) -> list[str]:
    saved = each.run(f"iptables-{each.default_variant}-save", "-c", "-t", "filter").splitlines()
    return [line.split("]")[0] for line in saved if f" -A {chain} " in f" {line} " or f"] -A {chain} " in line]


def names(lines: Iterable[str]) -> set[str]:
    return {line.split()[1] for line in lines if line.startswith("create ")}


def test_only_what_changes_is_written(wired: Network) -> None:
    """A chain that stays as it is keeps its counters and its sets, while another changes rules and members at once."""
    each = wired.node
    kept, changed = chain_name(INGRESS, WEB), chain_name(INGRESS, BACK)
    sets = {"clients": WORLD[:1], "moving": WORLD[:2]}
    settle(each, wanted({(INGRESS, WEB): [(80, "clients")], (INGRESS, BACK): [(80, "moving")]}, sets))
    wired.passing([Flow(source, pod, 80) for source in WORLD[:3] for pod in (WEB, BACK)])
    before = counters(each, kept)
    assert [line for line in before if not line.startswith("[0:0")], "packets have been counted"
    before_sets = names(each.sets().splitlines())
    settle(
        each,
        wanted(
            {(INGRESS, WEB): [(80, "clients")], (INGRESS, BACK): [(81, "moving")]},
            {**sets, "moving": WORLD[1:3]},
        ),
    )
    assert counters(each, kept) == before
    assert all(line.startswith("[0:0") for line in counters(each, changed))
    after_sets = names(each.sets().splitlines())
    assert {name for name in before_sets if name.startswith(set_name("clients"))} <= after_sets
    assert not {name for name in before_sets if name.startswith(set_name("moving"))} & after_sets, "the twin took over"


def test_a_change_of_members_alone_writes_no_rule(wired: Network) -> None:
    each = wired.node
    rules = {(INGRESS, WEB): [(80, "clients")]}
    settle(each, wanted(rules, {"clients": WORLD[:1]}))
    before = each.save(each.default_variant)
    with each.logged("ipset", *(name for name in each.programs if name.endswith("-restore"))) as log:
        assert converge(each, wanted(rules, {"clients": WORLD[1:2]})).changed
    assert [line for line in log.read_text().splitlines() if "restore" in line] == ["ipset -exist restore"] * 2
    assert each.save(each.default_variant) == before
