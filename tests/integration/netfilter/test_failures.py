# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever fails, and wherever the script ends: no packet passes that both old and new rules deny, and the next run
brings the node to the new ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import NotConvergedError
from integration.netfilter import faults
from integration.netfilter.changes import NEW, OLD, Verdicts, find_verdicts, go_back
from integration.netfilter.network import Network, network
from integration.netfilter.node import VARIANTS, Node, node
from integration.netfilter.rulesets import converge, settle

# All other changes of sets are "ipset -exist restore".
TIDY_UP = "ipset restore"


@pytest.fixture(scope="module", params=VARIANTS)
def place(request: pytest.FixtureRequest) -> Iterator[tuple[Network, Verdicts]]:
    """A node that enforces OLD, and each test leaves it so."""
    with node(default_variant=request.param) as made, network(made) as wires:
        yield wires, find_verdicts(wires)


def starts(each: Node, names: Iterable[str], only: str = "") -> list[str]:
    """The starts of these programs while the node goes from OLD to NEW."""
    with faults.injected(each, names, only=only) as log:
        converge(each, NEW)
    return log.read_text().splitlines()


def write_starts(wires: Network) -> list[str]:
    found = starts(wires.node, faults.WRITERS, faults.ONLY_WRITES)
    go_back(wires)
    return found


def meet(wires: Network, verdicts: Verdicts, at: int, action: str) -> NotConvergedError:
    """The fault happens on the way from OLD to NEW; then the packets are judged and the next run heals."""
    with (
        faults.injected(wires.node, faults.WRITERS, at=at, action=action, only=faults.ONLY_WRITES),
        pytest.raises(NotConvergedError) as caught,
    ):
        converge(wires.node, NEW)
    where = f"write {at}, {action}"
    verdicts.hold(wires.passing(), where)
    assert converge(wires.node, NEW).exchanges == 2
    assert wires.passing() == verdicts.new, where
    assert settle(wires.node, NEW).in_sync
    return caught.value


def test_the_script_ends_between_two_kernel_writes(place: tuple[Network, Verdicts]) -> None:
    wires, verdicts = place
    for number, _ in enumerate(write_starts(wires), 1):
        for action in (faults.END_BEFORE, faults.END_AFTER):
            error = meet(wires, verdicts, number, action)
            assert "the node sent no whole reply" in str(error)
            go_back(wires)


def test_the_script_ends_within_a_list_of_set_changes(place: tuple[Network, Verdicts]) -> None:
    wires, verdicts = place
    for number, start in enumerate(write_starts(wires), 1):
        for lines in (1, 4) if start.startswith("ipset") else ():
            meet(wires, verdicts, number, faults.end_within(lines))
            go_back(wires)


def test_a_kernel_write_fails(place: tuple[Network, Verdicts]) -> None:
    wires, verdicts = place
    for number, start in enumerate(write_starts(wires), 1):
        partly = [faults.fail_within(3)] if start.startswith("ipset") else []
        for action in (faults.FAIL, *partly):
            if start.strip() == TIDY_UP:
                with faults.injected(wires.node, faults.WRITERS, at=number, action=action, only=faults.ONLY_WRITES):
                    assert converge(wires.node, NEW).changed
                assert settle(wires.node, NEW).in_sync, "what failed for all sets at once is done for each"
                go_back(wires)
                continue
            error = meet(wires, verdicts, number, action)
            assert "injected failure" in str(error)
            assert str(error).startswith("step 'IPv")
            go_back(wires)


def test_what_fails_before_the_rules_switch_is_taken_back(place: tuple[Network, Verdicts]) -> None:
    wires, verdicts = place
    before = sorted(wires.node.sets().splitlines())
    for number, start in enumerate(write_starts(wires), 1):
        if not start.startswith("ip6tables") and number in (1, 2):
            with (
                faults.injected(wires.node, faults.WRITERS, at=number, action=faults.FAIL, only=faults.ONLY_WRITES),
                pytest.raises(NotConvergedError),
            ):
                converge(wires.node, NEW)
            version_4 = [line for line in wires.node.sets().splitlines() if " npm-4-" in line]
            assert [line.split(" hashsize")[0] for line in version_4] == [
                line.split(" hashsize")[0] for line in before if " npm-4-" in line
            ], start
            seen = {flow for flow in wires.passing() if ":" not in flow.source}
            assert seen == {flow for flow in verdicts.old if ":" not in flow.source}
            # The other family is not held up.
            assert {flow for flow in wires.passing() if ":" in flow.source} == {
                flow for flow in verdicts.new if ":" in flow.source
            }
            settle(wires.node, NEW)
            go_back(wires)


def fail_at(wires: Network, verdicts: Verdicts, names: list[str], number: int) -> None:
    """The start of this number fails: the run says so or has done its work all the same."""
    error = ""
    with faults.injected(wires.node, names, at=number, action=faults.FAIL) as log:
        try:
            converge(wires.node, NEW)
        except NotConvergedError as caught:
            error = str(caught)
    where = f"start {number}: {log.read_text().splitlines()[number - 1]}: {error or 'no error'}"
    passing = wires.passing()
    verdicts.hold(passing, where)
    assert error or passing == verdicts.new, where
    settle(wires.node, NEW)
    assert wires.passing() == verdicts.new, where
    go_back(wires)


def all_programs(wires: Network) -> tuple[list[str], list[str]]:
    """The names of all programs of the node but the shell, and their starts on the way from OLD to NEW."""
    names = [name for name in wires.node.programs if name != "sh"]
    found = starts(wires.node, names)
    go_back(wires)
    return names, found


@pytest.mark.parametrize("place", ["nft"], indirect=True)
def test_each_program_fails_once(place: tuple[Network, Verdicts]) -> None:
    """The last start of each: that is in the script that writes."""
    wires, verdicts = place
    names, found = all_programs(wires)
    last = {start.split()[0]: number for number, start in enumerate(found, 1)}
    assert {"ipset", "cat", "sed", "sort", "sha256sum", "gzip", "base64", "flock", "mv", "rm"} <= last.keys()
    for number in last.values():
        fail_at(wires, verdicts, names, number)


@pytest.mark.full
@pytest.mark.parametrize("part", range(8))
def test_every_start_of_a_program_fails_once(place: tuple[Network, Verdicts], part: int) -> None:
    wires, verdicts = place
    names, found = all_programs(wires)
    for number in range(1 + part, len(found) + 1, 8):
        fail_at(wires, verdicts, names, number)


def test_the_old_rules_stand_where_nothing_was_written(place: tuple[Network, Verdicts]) -> None:
    wires, verdicts = place
    assert wires.passing() == verdicts.old
    assert converge(wires.node, OLD, allow_older=True).in_sync
