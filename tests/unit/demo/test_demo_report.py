# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the demo says of answers: each kind of surprise is a fault, marked in the table, and decides the exit code."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from lab.cluster import Cluster
from lab.demo import __main__ as command
from lab.demo.cluster import lab_spec
from lab.demo.paths import PATHS, Situation
from lab.demo.report import Report
from lab.demo.sights import destination, look, rows
from lab.lab import Lab
from lab.netns import LabError
from lab.probe import Answer

SILENCE = Answer(ok=False, server="", source="", reason="timeout", start=0, end=1, retransmits=0)


class Scripted(Lab):
    """A lab that is not up: it answers every probe as expected, and those of ``changed`` otherwise."""

    def __init__(self, situation, families=("ipv4", "ipv6")):
        super().__init__("unit", Cluster.of(lab_spec(families=families)))
        self.situation = situation
        self.changed = {}

    def probe(self, probes):
        return [self._answer(probe) for probe in probes]

    def _answer(self, probe):
        for path in PATHS:
            for family in self.cluster.families:
                if path.client == probe.source and destination(self, path, family) == (probe.address, probe.port):
                    return self.changed.get((path, family)) or self.usual(path, family)
        raise AssertionError(f"nobody asked for {probe}")

    def usual(self, path, family):
        if self.situation not in path.reaches:
            return SILENCE
        seen = self.ip(path.client if path.source == "own" else next(iter(self.nodes)), family)
        return Answer(ok=True, server=path.server, source=seen, reason="", start=0, end=1, retransmits=0)


@pytest.mark.parametrize("situation", Situation)
@pytest.mark.parametrize("families", [("ipv4",), ("ipv6",), ("ipv4", "ipv6")])
def test_nothing_is_strange_when_all_is_as_expected(situation, families):
    lab = Scripted(situation, families)
    assert [sight.strange for sight in look(lab, situation)] == [""] * len(PATHS)


def surprises(lab):
    """By what it should say: an answer that is not as expected, for a path that is reached and one that is not."""
    open_path = next(path for path in PATHS if lab.situation in path.reaches and path.by != "pod")
    closed_path = next(path for path in PATHS if lab.situation not in path.reaches)
    usual = lab.usual(open_path, "ipv6")
    return [
        (open_path, SILENCE, "IPv6: timeout"),
        (open_path, replace(usual, server="default/other"), "IPv6: default/other answers"),
        (open_path, replace(usual, source="2001:db8::7"), "IPv6: the client is seen as 2001:db8::7"),
        (closed_path, replace(usual, server=closed_path.server), f"IPv6: {closed_path.server} answers"),
        (closed_path, replace(SILENCE, reason="refused"), "IPv6: refused, not silence"),
    ]


@pytest.mark.parametrize("number", range(5))
def test_a_surprise_is_named_and_marked_in_its_line_alone(number):
    lab = Scripted(Situation.SOURCE_ALLOWED)
    path, answer, words = surprises(lab)[number]
    lab.changed = {(path, "ipv6"): answer}
    sights = look(lab, lab.situation)
    assert [sight.path for sight in sights if sight.strange] == [path]
    assert [sight.strange for sight in sights if sight.strange] == [words]
    marked = [row for row in rows(lab, sights, lab.situation) if row[-1]]
    assert [row[-1] for row in marked] == [f"<-- {words}"]


def test_the_table_has_a_line_for_each_path_and_says_what_was_seen():
    lab = Scripted(Situation.DENY_ALL)
    heading, *lines = rows(lab, look(lab, lab.situation), lab.situation)
    assert heading[-4:] == ("expected", "seen IPv4", "seen IPv6", "")
    assert len(lines) == len(PATHS)
    assert lines[0] == (
        "outside", "-", "go-webapp", "vmss000001", "public", "203.0.113.10:80", "a node", "no", "no", "no", "",
    )  # fmt: skip


def test_the_report_counts_what_does_not_hold_and_shows_it():
    out = io.StringIO()
    report = Report(out)
    report.action("look")
    report.check(True, "this holds", "unseen")
    report.check(False, "this does not", "seen instead")
    assert report.faults == 1
    assert "ok   this holds\n" in out.getvalue()
    assert "FAIL this does not\n        seen instead\n" in out.getvalue()
    assert "unseen" not in out.getvalue()


def refuse(_options, _report):
    raise LabError("a lab needs root")


@pytest.mark.parametrize(
    ("play", "code", "last"),
    [
        (lambda _options, _report: None, 0, "PASS"),
        (lambda _options, report: report.check(False, "claim"), 1, "FAIL: 1 "),
        (refuse, 2, "FAIL: the demo ended early"),
    ],
)
def test_the_exit_code_and_the_last_line_say_how_it_went(monkeypatch, capsys, play, code, last):
    monkeypatch.setattr(command, "demo", play)
    assert command.main([]) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)
