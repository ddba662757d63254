# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the real programs of several releases print is read as what was rendered: see recorded/README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.ipset_text import parse_sets
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_table
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import render
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import Rule
from unit.render.examples import ONE_OF_EVERYTHING, environment

RECORDED = Path(__file__).parent / "recorded"
TABLES = sorted(path.stem for path in RECORDED.glob("ip*tables-*-*.txt"))
SETS = sorted(path.stem for path in RECORDED.glob("ipset-*.txt"))


def lines(name: str) -> list[str]:
    return (RECORDED / f"{name}.txt").read_text().splitlines()


def texts(rules: tuple[Rule, ...]) -> list[str]:
    return [rule.text for rule in rules]


def test_the_recordings_are_there() -> None:
    versions = ("1.8.11", "1.8.13", "1.8.7", "1.8.9")
    tools = ("ip6tables-legacy", "ip6tables-nft", "iptables-legacy", "iptables-nft")
    assert sorted(TABLES) == sorted(f"{tool}-{version}" for tool in tools for version in versions)
    assert SETS == ["ipset-7.10", "ipset-7.17", "ipset-7.22", "ipset-7.24"]


@pytest.mark.parametrize("name", TABLES)
def test_a_saved_table_is_the_rendered_one(name: str) -> None:
    wanted, found = parse_table(lines(f"rendered-{name.split('-', maxsplit=1)[0]}")), parse_table(lines(name))
    assert found.chains.keys() == wanted.chains.keys()
    for chain, rules in wanted.chains.items():
        assert texts(found.chains[chain]) == texts(rules)
        for saved, rendered in zip(found.chains[chain], rules, strict=True):
            assert (saved.sets, saved.comment, saved.target) == (rendered.sets, rendered.comment, rendered.target)
    assert texts(found.forward) == texts(wanted.forward)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("left_out", ["", r" (bucketsize|initval) \S+", r" hashsize \d+"])
def test_saved_sets_are_the_rendered_ones(name: str, left_out: str) -> None:
    saved = [re.sub(left_out, "", line) if left_out else line for line in lines(name)]
    assert parse_sets(saved) == parse_sets(lines("rendered-ipset"))


def test_every_shape_that_the_templates_render_was_recorded() -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    for name, text in (("iptables", rendered.iptables), ("ip6tables", rendered.ip6tables), ("ipset", rendered.ipset)):
        recorded = {shape(line) for line in lines(f"rendered-{name}")}
        missing = [line for line in text.splitlines() if shape(line) not in recorded]
        assert not missing, "record again: see recorded/README.md"


def shape(line: str) -> str:
    """The line without names, addresses and numbers."""
    line = re.sub(r'--comment ("[^"]*"|\S+)', "--comment X", line)
    line = re.sub(r"(npm|NPM)-\S+", "NAME", line)
    return re.sub(r"(\b[0-9a-f]*:[0-9a-f:]+(?=[ /,]|$)|\d+)([.,:/-]?\d+)*", "N", line)
