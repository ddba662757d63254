"""The order of a change is exact: held at every point between two changes that packets can see.

Random old and new states of a node are generated, the plan from one to the other is run line by line in a
simulated kernel, and after each line every connection between all addresses is judged: one that old and new
both allow must pass, one that both deny must not.
"""

from __future__ import annotations

from ansible_collections.npm.netpol.plugins.plugin_utils.model.names import dispatch_part
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.difference import difference
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.dispatch import divided
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.ipset_text import parse_sets
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.iptables_text import parse_table
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.plan import plan
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.state import IPV4, Target
from hypothesis import example, given, settings
from hypothesis import strategies as st
from unit.netfilter.simulated_kernel import VARIANT, SimulatedKernel

LOCAL = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
REMOTE = ("10.0.9.1", "10.0.9.2")
PORTS = (80, 81)
SETS = ("npm-4-one", "npm-4-two", "npm-4-three")
MEMBERS = (*LOCAL, *REMOTE)
FLOWS = [(s, d, p) for s in (*LOCAL, *REMOTE) for d in (*LOCAL, *REMOTE) for p in PORTS if s != d]

rules = st.tuples(st.sampled_from((0, *PORTS)), st.sampled_from(("", *SETS)))
groups = st.lists(rules, max_size=3)
states = st.fixed_dictionaries(
    {
        "groups": st.fixed_dictionaries(dict.fromkeys(("A", "B"), groups)),
        "ingress": st.dictionaries(st.sampled_from(LOCAL), st.sampled_from("AB")),
        "egress": st.dictionaries(st.sampled_from(LOCAL), st.sampled_from("AB")),
        "sets": st.fixed_dictionaries(
            {name: st.sets(st.sampled_from((*MEMBERS, "10.0.0.0/30")), max_size=4) for name in SETS}
        ),
        "maxelem": st.sampled_from((2, 3, 64)),
        "longest": st.sampled_from((1, 16)),
    }
)


def target(state: dict, hook: str = "first") -> Target:
    lines = ["-A NPM-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    lines += ["-A NPM-FORWARD -j NPM-EGRESS", "-A NPM-FORWARD -j NPM-INGRESS"]
    used = set()
    for letter, direction, mine, other, side in (("I", "ingress", "d", "s", "src"), ("E", "egress", "s", "d", "dst")):
        base = f"NPM-{direction.upper()}"
        parts = divided(state[direction], state["longest"])
        lines += [f"-A {base} -{mine} {network} -g {dispatch_part(base, network)}" for network in parts]
        at = {address: dispatch_part(base, network) for network, some in parts.items() for address in some}
        for address, group in sorted(state[direction].items()):
            chain = f"NPM-{letter}-{group}"
            lines.append(f"-A {at.get(address, base)} ! -{other} {address}/32 -{mine} {address}/32 -g {chain}")
        for group in sorted(set(state[direction].values())):
            for port, name in state["groups"][group]:
                used |= {name} - {""}
                port_match = f"-p tcp -m tcp --dport {port} " if port else ""
                set_match = f"-m set --match-set {name} {side} " if name else ""
                lines.append(f"-A NPM-{letter}-{group} {port_match}{set_match}-j RETURN")
            lines.append(f"-A NPM-{letter}-{group} -j DROP")
    table = parse_table([":NPM-EGRESS -", ":NPM-INGRESS -", *lines])
    maxelem = state["maxelem"]
    set_lines = [f"create {name} hash:net family inet maxelem {maxelem}" for name in sorted(used)]
    set_lines += [f"add {name} {member}" for name in sorted(used) for member in sorted(state["sets"][name])]
    return Target(parse_sets(set_lines), table.chains, hook)


def move(kernel: SimulatedKernel, wanted: Target, judge=None, stop_after: int | None = None) -> None:
    """Run the plan to ``wanted``, or its first ``stop_after`` lines (a restore of rules is one)."""
    found = kernel.read()
    lines = 0
    for step in plan(difference(found, wanted, family=IPV4, variant=VARIANT), found).steps:
        for _ in kernel.run(step.tool, step.text):
            if judge:
                judge(step)
            lines += 1
            if lines == stop_after:
                return


def holding(state: dict) -> SimulatedKernel:
    """A kernel brought to the state, its sets as full as the state's ``maxelem`` makes them."""
    kernel = SimulatedKernel()
    move(kernel, target(state))
    for each in kernel.sets.values():
        each["maxelem"] = max(state["maxelem"], len(each["members"]))
    return kernel


def verdicts(kernel: SimulatedKernel) -> dict[tuple, bool]:
    return {flow: kernel.allows(*flow) for flow in FLOWS}


def assert_exact(kernel: SimulatedKernel, new: Target) -> None:
    """Go to ``new``; no flow that it and the state before agree on is judged otherwise on the way."""
    after = SimulatedKernel()
    move(after, new)
    before, wanted = verdicts(kernel), verdicts(after)

    def judge(step) -> None:
        for flow, allowed in verdicts(kernel).items():
            if before[flow] == wanted[flow]:
                assert allowed == wanted[flow], f"{flow} is {'open' if allowed else 'shut'} during {step.name}"

    move(kernel, new, judge)
    assert verdicts(kernel) == wanted
    assert not difference(kernel.read(), new, family=IPV4, variant=VARIANT)


def both_ends_local(members: set[str]) -> dict:
    """10.0.0.1 may send to, and 10.0.0.2 may receive from, the members of one set."""
    return {
        "groups": {"A": [(0, "npm-4-one")], "B": []},
        "ingress": {"10.0.0.2": "A"},
        "egress": {"10.0.0.1": "A"},
        "sets": {"npm-4-one": members, "npm-4-two": set(), "npm-4-three": set()},
        "maxelem": 64,
        "longest": 16,
    }


def one_rule(members: set[str]) -> dict:
    """10.0.0.2 may receive from the members of one set, on port 80."""
    state = both_ends_local(members) | {"egress": {}}
    return state | {"groups": {"A": [(80, "npm-4-one")], "B": []}}


# Egress opens as ingress shuts: denied before and after, and open between if the two are not one step.
@example(both_ends_local({"10.0.0.1"}), both_ends_local({"10.0.0.2"}))
# Only members change, and the set has no room for the old and the new ones.
@example(one_rule({"10.0.9.1"}) | {"maxelem": 1}, one_rule({"10.0.9.2"}) | {"maxelem": 1})
@settings(max_examples=300, deadline=None)
@given(states, states)
def test_every_point_of_a_change_is_between_old_and_new(old: dict, new: dict) -> None:
    kernel = holding(old)
    assert_exact(kernel, target(new))


@settings(max_examples=100, deadline=None)
@given(states, states)
def test_what_is_taken_back_before_the_switch_is_the_old_state(old: dict, new: dict) -> None:
    kernel = holding(old)
    before = verdicts(kernel)
    found = kernel.read()
    steps = plan(difference(found, target(new), family=IPV4, variant=VARIANT), found)
    for step in steps.before:
        for _ in kernel.run(step.tool, step.text):
            pass
        for _ in kernel.run("ipset", step.undo):
            pass
        for name in step.drop:
            kernel.sets.pop(name, None)
    assert verdicts(kernel) == before


# The set that the killed run built has a member that is none any more when the next run switches to it.
@example(
    one_rule(set()) | {"ingress": {}},
    one_rule({"10.0.9.1"}),
    one_rule({"10.0.9.2"}),
    2,
)
@settings(max_examples=300, deadline=None)
@given(states, states, states, st.integers(0, 12))
def test_a_change_that_begins_where_another_was_cut_off_is_exact(old: dict, cut: dict, new: dict, at: int) -> None:
    kernel = holding(old)
    move(kernel, target(cut), stop_after=at)
    assert_exact(kernel, target(new))


def test_a_set_of_wrong_type_that_no_rule_refers_to_is_replaced() -> None:
    kernel = SimulatedKernel()
    wanted = target(both_ends_local({"10.0.9.1"}))
    for suffix in ("-a", "-b", "-c"):
        for _ in kernel.run("ipset", f"create npm-4-one{suffix} hash:ip,port family inet maxelem 65536"):
            pass
    move(kernel, wanted)
    assert not difference(kernel.read(), wanted, family=IPV4, variant=VARIANT)
    assert [each["kind"] for each in kernel.sets.values()] == ["hash:net"]


@settings(max_examples=100, deadline=None)
@given(states)
def test_removal_leaves_nothing(old: dict) -> None:
    kernel = holding(old)
    move(kernel, Target())
    assert kernel.sets == {}
    assert kernel.chains == {"FORWARD": []}
