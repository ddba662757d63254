# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a node says about itself: which variant that means, what is refused, and its state as it was sent."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.exchange import Reply
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.node import (
    Applied,
    Counts,
    Facts,
    NodeError,
    choose_variant,
    parse_kernel,
    read_facts,
    refuse_older,
    refuse_unless_enforceable,
    written_out,
)


def facts(**values: str) -> Facts:
    defaults = {"default_variant": "nft", "variants": " nft legacy", "digest": "d"}
    return read_facts(Reply({**defaults, **values}, b""))


@pytest.mark.parametrize(
    ("values", "option", "variant"),
    [
        ({}, "auto", "nft"),
        ({"default_variant": "legacy"}, "auto", "legacy"),
        ({"foreign_legacy": "3"}, "auto", "legacy"),
        ({"foreign_legacy": "3", "foreign_nft": "1"}, "auto", "nft"),
        ({"foreign_legacy": "3", "foreign_nft": "1", "default_variant": "legacy"}, "auto", "legacy"),
        ({"foreign_legacy": "3", "hinted": " nft"}, "auto", "nft"),
        ({"hinted": " nft"}, "legacy", "legacy"),
        ({"hinted": " nft legacy"}, "nft", "nft"),
        ({"foreign_legacy": "3", "variants": " nft"}, "auto", "nft"),
    ],
)
def test_the_variant_is_the_options_then_kube_proxys_then_that_with_rules_then_the_default(
    values: dict[str, str], option: str, variant: str
) -> None:
    assert choose_variant(facts(**values), option) == variant


def test_two_variants_with_kube_proxys_chains_are_refused() -> None:
    with pytest.raises(NodeError, match="both iptables variants"):
        choose_variant(facts(hinted=" nft legacy"), "auto")


def test_a_variant_that_the_node_lacks_is_refused() -> None:
    with pytest.raises(NodeError, match="npm_variant is legacy"):
        choose_variant(facts(variants=" nft"), "legacy")


def test_obstacles_are_named_in_words() -> None:
    with pytest.raises(
        NodeError, match=r"IPVS mode.*bridge-nf-call-iptables.*bridge-nf-call-ip6tables.*npm_datapath_check"
    ):
        refuse_unless_enforceable(facts(obstacles=" ipvs bridge-iptables bridge-ip6tables"))
    refuse_unless_enforceable(facts(obstacles=""))


NEWEST = Applied(cluster="one", version=10)


@pytest.mark.parametrize(
    ("applied", "cluster", "version", "options", "words"),
    [
        (NEWEST, "one", 9, {}, "newer snapshot .*10.* 9"),
        (NEWEST, "one", 9, {"allow_other": True}, "newer snapshot"),
        (NEWEST, "two", 11, {}, "cluster one; this snapshot is of .*two"),
        (NEWEST, "two", 11, {"allow_older": True}, "npm_allow_other_cluster"),
        (NEWEST, "one", 10, {}, ""),
        (NEWEST, "one", 11, {}, ""),
        (NEWEST, "one", 9, {"allow_older": True}, ""),
        (NEWEST, "two", 1, {"allow_other": True}, ""),
        (Applied(), "one", 1, {}, ""),
    ],
)
def test_older_and_foreign_snapshots(
    applied: Applied, cluster: str, version: int, options: dict[str, bool], words: str
) -> None:
    allowed = {"allow_older": False, "allow_other": False, **options}
    if words:
        with pytest.raises(NodeError, match=words):
            refuse_older(applied, cluster, version, **allowed)
    else:
        refuse_older(applied, cluster, version, **allowed)


def test_versions_are_compared_as_numbers() -> None:
    refuse_older(Applied(cluster="one", version=9), "one", 10, allow_older=False, allow_other=False)


def test_what_the_node_remembers_is_read() -> None:
    found = facts(
        last_target="t",
        last_digest="d",
        last_cluster="c",
        last_version="12",
        last_snapshot="s",
        last_variant="nft",
        last_sets="1",
        last_members="2",
        last_rules="3",
        ours="4",
    )
    assert found.applied == Applied("t", "d", "c", 12, "s", "nft", Counts(1, 2, 3))
    assert found.holds_ours
    assert not facts(ours="0").holds_ours


STATE = b"""#sets
add npm-4-x-a 10.0.0.1
create npm-4-x-a hash:ip family inet maxelem 65536
#nft ipv4
:NPM-FORWARD
-A FORWARD -j NPM-FORWARD
-A FORWARD -m comment --comment "caf\xe9 \xe2\x80\xa8 x" -j ACCEPT
-A NPM-FORWARD -m set --match-set npm-4-x-a src -j DROP
#nft ipv6
#legacy ipv4
#legacy ipv6
:NPM-OLD
"""


def test_a_state_is_read_by_variant_and_family() -> None:
    kernel = parse_kernel(STATE, hashlib.sha256(STATE).hexdigest())
    assert kernel.sets["npm-4-x-a"].members == {"10.0.0.1"}
    assert set(kernel.tables) == {("nft", "ipv4"), ("nft", "ipv6"), ("legacy", "ipv4"), ("legacy", "ipv6")}
    assert kernel.table("nft", "ipv4").references() == {"npm-4-x-a"}
    assert [rule.target for rule in kernel.table("nft", "ipv4").forward] == ["NPM-FORWARD", "ACCEPT"]
    assert kernel.table("legacy", "ipv6").holds_ours
    assert not kernel.table("nft", "ipv6").holds_ours


def test_a_reply_has_the_members_apart() -> None:
    counts = b"#counts\n      2 npm-4-x-a\n 2 npm-6-y-b\n 1 npm-4-z-a\n"
    members = b"#members\n10.0.0\n10.0.0\nfd00::1\n::ffff:1.2.3\n10.0.1\n#hosts\n1\n0/25 nomatch\n4\n7,tcp:80\n"
    assert written_out(counts + members + b"#sets\ncreate x\n#nft ipv4\n").decode().splitlines() == [
        "#sets",
        "add npm-4-x-a 10.0.0.1",
        "add npm-4-x-a 10.0.0.0/25 nomatch",
        "add npm-6-y-b fd00::1",
        "add npm-6-y-b ::ffff:1.2.3.4",
        "add npm-4-z-a 10.0.1.7,tcp:80",
        "create x",
        "#nft ipv4",
    ]
    assert written_out(b"#counts\n#members\n#hosts\n#sets\n#nft ipv4\n") == b"#sets\n#nft ipv4\n"


@pytest.mark.parametrize(
    "body", [b"", b"#sets\n", b"#counts\nmany npm-4-x-a\n#members\n#hosts\n#sets\n", b"#counts\n#members\n"]
)
def test_a_reply_without_a_state_is_refused(body: bytes) -> None:
    with pytest.raises(NodeError, match=r"no state|cannot be read"):
        written_out(body)


def test_a_state_of_another_digest_is_refused() -> None:
    with pytest.raises(NodeError, match="does not have the digest"):
        parse_kernel(STATE[:-1], hashlib.sha256(STATE).hexdigest())


@pytest.mark.parametrize("line", [b"#sets\nnonsense\n", b"#nft ipv4\nnonsense\n"])
def test_a_state_that_cannot_be_read_is_refused_by_the_line(line: bytes) -> None:
    with pytest.raises(NodeError, match=r"cannot read the node's state: .*'nonsense'"):
        parse_kernel(line, hashlib.sha256(line).hexdigest())
