"""What is rendered, loaded by the real programs, is saved by them line for line: in both variants and families."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Rule, Verdict
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import Rendered, comment, render

from .examples import ONE_OF_EVERYTHING, environment, with_rules

VARIANTS = ("nft", "legacy")
PROGRAMS = ("ip", "ipset", *(f"{tool}-{variant}-save" for tool in ("iptables", "ip6tables") for variant in VARIANTS))

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(program) is None for program in PROGRAMS),
        reason="needs root, iproute2, ipset and both variants of iptables",
    ),
]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"npm-render-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def run_in(namespace: str, *argv: str, data: str = "") -> str:
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *argv], input=data, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def load(namespace: str, variant: str, rendered: Rendered) -> None:
    run_in(namespace, "ipset", "restore", data=rendered.ipset)
    run_in(namespace, f"iptables-{variant}-restore", "--noflush", data=rendered.iptables)
    run_in(namespace, f"ip6tables-{variant}-restore", "--noflush", data=rendered.ip6tables)


def rules(text: str) -> list[str]:
    return sorted(line for line in text.splitlines() if line.startswith("-A NPM-"))


def in_order(text: str, chain: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"-A {chain} ")]


@pytest.mark.parametrize("tool", ["iptables", "ip6tables"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_kernel_prints_the_rules_as_they_are_rendered(namespace: str, variant: str, tool: str) -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    load(namespace, variant, rendered)
    wanted = getattr(rendered, tool)
    saved = run_in(namespace, f"{tool}-{variant}-save", "-t", "filter")
    assert rules(saved) == rules(wanted)
    chains = [line.split()[0][1:] for line in wanted.splitlines() if line.startswith(":")]
    for chain in chains:
        assert in_order(saved, chain) == in_order(wanted, chain)
        assert f":{chain} " in saved


def test_the_kernel_prints_the_sets_as_they_are_rendered(namespace: str) -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    run_in(namespace, "ipset", "restore", data=rendered.ipset)
    saved = run_in(namespace, "ipset", "save")
    assert sorted(line for line in saved.splitlines() if line.startswith("add ")) == sorted(
        line for line in rendered.ipset.splitlines() if line.startswith("add ")
    )
    for line in (line for line in rendered.ipset.splitlines() if line.startswith("create ")):
        words = line.split()
        (found,) = (each.split() for each in saved.splitlines() if each.startswith(f"create {words[1]} "))
        assert set(words) <= set(found)


@pytest.mark.parametrize("variant", VARIANTS)
def test_rule_40_the_longest_comments_survive(namespace: str, variant: str) -> None:
    long_names = tuple(f"{'n' * 60}/{'p' * 200}{number}" for number in range(3))
    many = tuple(f"shop/policy-{number:03}" for number in range(100))
    odd = ('a"b', "c\\d", "e\nCOMMIT", "-A FORWARD", "", "$(id)", "--comment")
    everything = with_rules(*(Rule(Verdict.ALLOW, "tcp", (), "", names) for names in (long_names, many, odd)))
    rendered = render(everything, environment())
    load(namespace, variant, rendered)
    saved = run_in(namespace, f"iptables-{variant}-save", "-t", "filter")
    assert rules(saved) == rules(rendered.iptables)
    for names in (long_names, many, odd):
        assert comment(names) in saved


def test_a_second_load_replaces_the_chains(namespace: str) -> None:
    """A declared chain is emptied first: loading twice leaves each rule once."""
    rendered = render(ONE_OF_EVERYTHING, environment())
    load(namespace, "nft", rendered)
    run_in(namespace, "iptables-nft-restore", "--noflush", data=rendered.iptables)
    assert rules(run_in(namespace, "iptables-nft-save", "-t", "filter")) == rules(rendered.iptables)
