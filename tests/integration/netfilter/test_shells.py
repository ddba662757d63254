# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scripts are POSIX shell, as shellcheck and each shell that nodes have see it, with nothing but busybox around."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.plan import IPSET, IPTABLES, Plan, Step
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.script import (
    Expected,
    Request,
    apply_script,
    inspect_script,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import IPV4, IPV6
from integration.netfilter.node import node
from integration.netfilter.rulesets import SCRIPTS, settle, wanted
from integration.netfilter.test_converge import RULES, SETS

AWKWARD = 'it\'s "a" \\ b; c'


def request_for(state: str) -> Request:
    return Request(state, "0" * 64, "none", "1" * 64, AWKWARD, 7, AWKWARD, "nft", 60, "1 2 3")


def full_plan(family: str) -> Plan:
    build = Step("sets: build and grow", IPSET, "", "create npm-4-x-a hash:ip\n", "del x 1\n", ("npm-4-x-a", "b"))
    return Plan(
        family,
        before=(build, Step("more", IPSET, "", "add x 1\n")),
        switch=(Step("rules: switch", IPTABLES, "nft", "*filter\nCOMMIT\n"),),
        after=(Step("tidy's up", IPTABLES, "legacy", "*filter\nCOMMIT\n"), Step("shrink", IPSET, "", "del x 1\n")),
    )


ALL_SCRIPTS = {
    "check": inspect_script(SCRIPTS, Expected("1" * 64, AWKWARD, 7, "2" * 64, AWKWARD), confirm=True),
    "check to change nothing": inspect_script(SCRIPTS, Expected("1" * 64, AWKWARD, 7, "2" * 64, AWKWARD)),
    "check to remove": inspect_script(SCRIPTS, None),
    "read": inspect_script(SCRIPTS, None, always=True),
    "remember": apply_script(SCRIPTS, request_for("present"), []),
    "forget": apply_script(SCRIPTS, request_for("absent"), []),
    "apply": apply_script(SCRIPTS, request_for("present"), [full_plan(IPV4), full_plan(IPV6)]),
    "remove": apply_script(SCRIPTS, request_for("absent"), [full_plan(IPV4), Plan(IPV6)]),
}


@pytest.mark.parametrize("name", ALL_SCRIPTS)
def test_shellcheck_has_nothing_to_say(name: str) -> None:
    done = subprocess.run(
        ["shellcheck", "--shell=sh", "--severity=style", "-"],
        input=ALL_SCRIPTS[name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("command", [("dash",), ("bash", "--posix"), ("busybox", "sh")], ids=" ".join)
def test_every_script_can_be_read_by(command: tuple[str, ...]) -> None:
    for text in ALL_SCRIPTS.values():
        done = subprocess.run([*command, "-n"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_busybox_is_enough_beside_flock_ipset_and_iptables() -> None:
    with node(posix_shell="busybox") as each:
        programs = {name: each.program(name).readlink().name for name in each.programs}
        foreign = {name for name, target in programs.items() if target != "busybox"}
        assert {name for name in foreign if not name.startswith(("iptables", "ip6tables"))} == {"flock", "ipset"}
        assert settle(each, wanted(RULES, SETS)).changed
        assert settle(each, None).changed
        assert each.last.stderr == ""


def test_not_to_wait_for_a_lock_is_not_to_wait_without_end() -> None:
    """What --wait=0 means to iptables-legacy."""
    script = apply_script(SCRIPTS, replace(request_for("present"), lock_timeout=0), [full_plan(IPV4)])
    assert "--wait=1\n" in script
    assert "flock -w 0 9" in script
