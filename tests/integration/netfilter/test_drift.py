# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whatever someone does to our rules and sets is found, named and healed; then the node is in sync again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import Family
from integration.netfilter.network import PODS, WORLD
from integration.netfilter.node import VARIANTS, Node, node
from integration.netfilter.rulesets import EGRESS, INGRESS, chain_name, converge, set_name, settle, wanted

WEB, BACK, WEB_6, _ = PODS
SETS = {"clients": (WORLD[0], WORLD[1], WORLD[3]), "net-office": ("10.0.8.0/24", "10.0.9.2")}
RULES = {
    (INGRESS, WEB): [(80, "clients"), (81, "net-office")],
    (INGRESS, BACK): [(80, "clients")],
    (EGRESS, WEB): [(80, "clients")],
    (INGRESS, WEB_6): [(80, "clients")],
}
CHAIN = chain_name(INGRESS, WEB)
CHAIN_6 = chain_name(INGRESS, WEB_6)
CLIENTS = set_name("clients")
CLIENTS_6 = set_name("clients", Family.IPV6)
OFFICE = set_name("net-office")


@pytest.fixture(scope="module", params=VARIANTS)
def enforcing(request: pytest.FixtureRequest) -> Iterator[Node]:
    """One node for all drifts of a variant: each of them ends with the node healed, which the test has seen."""
    with node(default_variant=request.param) as made:
        made.restore(made.default_variant, ":OTHER - [0:0]\n-A FORWARD -j OTHER")
        settle(made, wanted(RULES, SETS))
        yield made


def twin(each: Node, base: str) -> str:
    """The name under which the kernel holds the set now."""
    return next(line.split()[1] for line in each.sets().splitlines() if line.startswith(f"create {base}-"))


def rules(each: Node, chain: str) -> list[str]:
    return [line for line in each.save(each.default_variant).splitlines() if line.startswith(f"-A {chain} ")]


def restore(each: Node, text: str, tool: str = "iptables") -> None:
    each.restore(each.default_variant, text, tool)


def delete_a_rule(each: Node) -> None:
    restore(each, rules(each, CHAIN)[0].replace("-A", "-D", 1))


def delete_an_ipv6_rule(each: Node) -> None:
    restore(each, f"-D {CHAIN_6} 1", "ip6tables")


def insert_a_rule(each: Node) -> None:
    restore(each, f"-I {CHAIN} 1 -j RETURN")


def append_a_rule_to_the_hook(each: Node) -> None:
    restore(each, "-I NPM-FORWARD 1 -s 198.51.100.0/24 -j ACCEPT")


def repeat_a_rule(each: Node) -> None:
    restore(each, rules(each, CHAIN)[0])


def reorder_rules(each: Node) -> None:
    first = rules(each, CHAIN)[0]
    restore(each, f"{first.replace('-A', '-D', 1)}\n{first}")


def edit_a_rule(each: Node) -> None:
    edited = rules(each, CHAIN)[0].replace("--dport 80", "--dport 82").replace(f"-A {CHAIN}", f"-R {CHAIN} 1")
    restore(each, edited)


def edit_the_dispatch(each: Node) -> None:
    restore(each, f"-D NPM-INGRESS 1\n-A NPM-INGRESS -d {WEB}/32 -g {chain_name(INGRESS, BACK)}")


def open_a_network(each: Node) -> None:
    """In the place of a line of the dispatch for many pods."""
    restore(each, "-I NPM-INGRESS 1 -d 10.0.0.0/8 -j ACCEPT")


def add_a_member(each: Node) -> None:
    each.ipset(f"add {twin(each, CLIENTS)} 10.66.6.6")


def remove_a_member(each: Node) -> None:
    each.ipset(f"del {twin(each, CLIENTS)} {WORLD[0]}")


def exchange_an_ipv6_member(each: Node) -> None:
    name = twin(each, CLIENTS_6)
    each.ipset(f"del {name} {WORLD[3]}\nadd {name} {WORLD[4]}")


def exclude_a_member(each: Node) -> None:
    name = twin(each, OFFICE)
    each.ipset(f"del {name} 10.0.9.2\nadd {name} 10.0.9.2 nomatch")


def empty_a_set(each: Node) -> None:
    each.ipset(f"flush {twin(each, OFFICE)}")


def put_a_rule_before_our_jump(each: Node) -> None:
    restore(each, "-I FORWARD 1 -s 203.0.113.0/24 -j ACCEPT")


def delete_our_jump(each: Node) -> None:
    restore(each, "-D FORWARD -j NPM-FORWARD")


def repeat_our_jump(each: Node) -> None:
    restore(each, "-A FORWARD -j NPM-FORWARD")


def restrict_our_jump(each: Node) -> None:
    restore(each, "-D FORWARD -j NPM-FORWARD\n-I FORWARD 1 -s 10.0.0.0/8 -j NPM-FORWARD")


def flush_a_chain(each: Node) -> None:
    restore(each, f":{CHAIN} - [0:0]")


def flush_the_hook(each: Node) -> None:
    restore(each, ":NPM-FORWARD - [0:0]")


def remove_a_chain(each: Node) -> None:
    restore(each, f":NPM-INGRESS - [0:0]\n:{CHAIN} - [0:0]\n-X {CHAIN}")


def make_a_chain(each: Node) -> None:
    restore(each, ":NPM-I-EVIL - [0:0]\n-A NPM-I-EVIL -j ACCEPT\n-I FORWARD 1 -j NPM-I-EVIL")


def take_a_set_away(each: Node) -> None:
    restore(each, f":{CHAIN} - [0:0]\n-A {CHAIN} -j DROP")
    each.ipset(f"destroy {twin(each, OFFICE)}")


def replaced(each: Node, create: str) -> None:
    """The set that the rules refer to is another one of the same name."""
    name = twin(each, OFFICE)
    saved = each.save(each.default_variant)
    members = [f"add {name} 10.0.8.0/24", f"add {name} 10.0.9.2"]
    restore(each, f":{CHAIN} - [0:0]")
    each.ipset("\n".join([f"destroy {name}", f"create {name} {create}", *members]))
    restore(each, "\n".join(line for line in saved.splitlines() if line.startswith((f":{CHAIN}", f"-A {CHAIN} "))))


def make_a_set_of_another_type(each: Node) -> None:
    name = twin(each, OFFICE)
    restored = [line for line in each.save(each.default_variant).splitlines() if line.startswith(f"-A {CHAIN} ")]
    restore(each, f":{CHAIN} - [0:0]")
    each.ipset(f"destroy {name}\ncreate {name} hash:ip family inet\nadd {name} 10.0.9.2")
    restore(each, "\n".join([f":{CHAIN} - [0:0]", *restored]))


def make_a_set_of_another_size(each: Node) -> None:
    replaced(each, "hash:net family inet maxelem 4")


def make_a_set_that_forgets(each: Node) -> None:
    replaced(each, "hash:net family inet timeout 4000")


def make_a_set_that_counts(each: Node) -> None:
    replaced(each, "hash:net family inet counters comment")


def leave_a_set(each: Node) -> None:
    each.ipset("create npm-4-forgotten-a hash:ip family inet\nadd npm-4-forgotten-a 10.0.0.7")


def leave_a_set_of_no_twin(each: Node) -> None:
    each.ipset("create npm-6-forgotten hash:ip family inet6")


def leave_rules_in_the_other_variant(each: Node) -> None:
    other = next(each_variant for each_variant in VARIANTS if each_variant != each.default_variant)
    each.restore(
        other,
        f":NPM-FORWARD - [0:0]\n:NPM-INGRESS - [0:0]\n-A FORWARD -j NPM-FORWARD\n-A NPM-FORWARD -j NPM-INGRESS\n"
        f"-A NPM-INGRESS -m set --match-set {twin(each, CLIENTS)} src -j DROP",
    )


def leave_a_jump_in_the_other_variant(each: Node) -> None:
    other = next(each_variant for each_variant in VARIANTS if each_variant != each.default_variant)
    each.restore(other, ":NPM-FORWARD - [0:0]\n-A FORWARD -j NPM-FORWARD", "ip6tables")


@dataclass(frozen=True)
class Drift:
    """``named`` are words of the line of the result that names it; ``stays`` is a rule that isn't ours to remove."""

    make: Callable[[Node], None]
    named: str
    stays: str = ""


DRIFTS = (
    Drift(delete_a_rule, f"chain {CHAIN} (shop/clients, shop/deny, shop/net-office): 1 rule missing"),
    Drift(delete_an_ipv6_rule, f"IPv6: chain {CHAIN_6} (shop/clients, shop/deny): 1 rule missing"),
    Drift(insert_a_rule, "1 rule too many"),
    Drift(append_a_rule_to_the_hook, "chain NPM-FORWARD: 1 rule too many"),
    Drift(repeat_a_rule, "rules repeated or out of order"),
    Drift(reorder_rules, "rules repeated or out of order"),
    Drift(edit_a_rule, f"chain {CHAIN} (shop/clients, shop/deny, shop/net-office): 1 rule missing, 1 rule too many"),
    Drift(open_a_network, "chain NPM-INGRESS: 1 rule too many"),
    Drift(edit_the_dispatch, "chain NPM-INGRESS: 1 rule missing, 1 rule too many"),
    Drift(add_a_member, f"set {CLIENTS} (shop/clients): 1 member too many"),
    Drift(remove_a_member, f"set {CLIENTS} (shop/clients): 1 member missing"),
    Drift(exchange_an_ipv6_member, f"IPv6: set {CLIENTS_6} (shop/clients): 1 member missing, 1 member too many"),
    Drift(exclude_a_member, f"set {OFFICE} (shop/net-office)"),
    Drift(empty_a_set, f"set {OFFICE} (shop/net-office): 2 members missing"),
    Drift(
        put_a_rule_before_our_jump,
        "our jump in FORWARD is not first: '-s 203.0.113.0/24 -j ACCEPT'",
        stays="-A FORWARD -s 203.0.113.0/24 -j ACCEPT",
    ),
    Drift(delete_our_jump, "IPv4: our jump in FORWARD is missing"),
    Drift(repeat_our_jump, "our jump in FORWARD is 2 times there"),
    Drift(restrict_our_jump, "our jump in FORWARD is edited"),
    Drift(flush_a_chain, "3 rules missing"),
    Drift(flush_the_hook, "chain NPM-FORWARD: 3 rules missing"),
    Drift(remove_a_chain, f"chain {CHAIN} (shop/clients, shop/deny, shop/net-office) is missing"),
    Drift(make_a_chain, "chain NPM-I-EVIL is to go"),
    Drift(take_a_set_away, f"set {OFFICE} (shop/net-office) is missing (2 members)"),
    Drift(make_a_set_of_another_type, f"set {OFFICE} (shop/net-office) is of type hash:ip, not hash:net"),
    Drift(make_a_set_of_another_size, f"set {OFFICE} (shop/net-office) has room for 4 members, not 65536"),
    Drift(make_a_set_that_forgets, f"set {OFFICE} (shop/net-office) is of type hash:net timeout 4000, not hash:net"),
    Drift(make_a_set_that_counts, "is of type hash:net counters comment, not hash:net"),
    Drift(leave_a_set, "set npm-4-forgotten-a is left over"),
    Drift(leave_a_set_of_no_twin, "set npm-6-forgotten is left over"),
    Drift(leave_rules_in_the_other_variant, "still holds 2 chains of ours"),
    Drift(leave_a_jump_in_the_other_variant, "still holds 1 chain of ours"),
)


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.make.__name__)
def test_a_drift_is_found_named_healed_and_then_quiet(enforcing: Node, drift: Drift) -> None:
    before = enforcing.everything()
    drift.make(enforcing)
    drifted = enforcing.everything()
    assert drifted != before
    looked = converge(enforcing, wanted(RULES, SETS), check_mode=True)
    assert looked.changed
    assert unaged(enforcing.everything()) == unaged(drifted), "check mode writes nothing"
    healed = settle(enforcing, wanted(RULES, SETS))
    assert healed.changed
    assert any(drift.named in line for line in healed.drift), healed.drift
    assert healed.drift == healed.changes == looked.drift
    assert healed.diff
    if drift.stays:
        restore(enforcing, drift.stays.replace("-A", "-D", 1))
        settle(enforcing, wanted(RULES, SETS))
    # Sets may have come back as the other twin.
    assert neutral(enforcing.everything()) == neutral(before)


def unaged(state: dict[str, str]) -> dict[str, str]:
    """Without the seconds that members of a set that forgets have left."""
    return {place: re.sub(r"(?m)^(add .*) timeout \d+$", r"\1", text) for place, text in state.items()}


def neutral(state: dict[str, str]) -> dict[str, list[str]]:
    """Twins by one name, and without what a set's history leaves behind: random seeds and sizes of tables."""
    result = {}
    for place, text in state.items():
        lines = []
        for line in text.splitlines():
            words = [word[:-2] if word.startswith("npm-") else word for word in line.split()]
            if words[0] == "create":
                words = [words[1], words[2], words[words.index("maxelem") + 1]]
            lines.append(" ".join(words))
        # The order of chains is that of their making; the order of rules in a chain is kept.
        result[place] = sorted(lines, key=lambda line: line.split()[:2] if line.startswith("-A") else [line])
    # An emptied legacy table stays until its module goes: only what is in it counts.
    return {place: [line for line in lines if line[0] not in "*:C"] for place, lines in result.items()}
