"""Rendering: the text for each construct, its limits, and the templates that a user puts in place of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils import templates
from ansible_collections.npm.netpol.plugins.plugin_utils.model.ruleset import (
    Chain,
    Direction,
    FamilyRuleset,
    PeerSet,
    Rule,
    Ruleset,
    SetKind,
    Target,
    Verdict,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.names_in_a_line import LONGEST
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import (
    Rendered,
    RenderedSet,
    Renderer,
    RenderError,
    check_readable,
    comment,
    port_matches,
    render,
)
from hypothesis import given
from hypothesis import strategies as st

from .examples import ONE_OF_EVERYTHING, environment, with_rules

ROLE = Path(templates.__file__).parents[2] / "roles" / "enforce"
NAME = "npm-4-aaaaaaaaaaaaaaaaaaaa"
ALLOW = Verdict.ALLOW
CHAIN = "NPM-I-AAAAAAAAAAAAAAAAAAAA"
NETWORKS_OF_TWENTY = ["10.1.0.0/29", "10.1.0.8/31", "10.1.1.8/29", "10.1.1.16/30"]


def rules_of(text: str, prefix: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"-A {prefix}")]


def test_a_node_with_nothing_to_enforce_has_the_three_base_chains() -> None:
    rendered = render(Ruleset("node-1"), environment())
    assert rendered.ipset == ""
    assert rendered.iptables.splitlines() == [
        "*filter",
        ":NPM-FORWARD - [0:0]",
        ":NPM-EGRESS - [0:0]",
        ":NPM-INGRESS - [0:0]",
        "-A NPM-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-A NPM-FORWARD -j NPM-EGRESS",
        "-A NPM-FORWARD -j NPM-INGRESS",
        "COMMIT",
    ]
    assert rendered.iptables.endswith("COMMIT\n")


def test_rule_22_neighbour_discovery_passes_in_ipv6_only() -> None:
    rendered = render(Ruleset("node-1"), environment())
    assert "icmp" not in rendered.iptables
    assert [line.split()[-3] for line in rendered.ip6tables.splitlines() if "icmp6" in line] == [
        "133",
        "134",
        "135",
        "136",
        "137",
    ]


def test_rule_32_a_pod_that_reaches_itself_is_not_judged() -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    (first, *_) = rules_of(rendered.iptables, "NPM-INGRESS ")
    chain = ONE_OF_EVERYTHING.ipv4.ingress[0].chain
    assert first == (f'-A NPM-INGRESS ! -s 10.1.0.5/32 -d 10.1.0.5/32 -m comment --comment "shop/web-0" -g {chain}')
    (first, *_) = rules_of(rendered.ip6tables, "NPM-EGRESS ")
    chain = ONE_OF_EVERYTHING.ipv6.egress[0].chain
    assert first == (
        f'-A NPM-EGRESS -s fd00:10:1::5/128 ! -d fd00:10:1::5/128 -m comment --comment "shop/web-0" -g {chain}'
    )


def test_many_pods_are_dispatched_by_network() -> None:
    targets = tuple(Target(f"10.1.{number // 10}.{number}", CHAIN, f"shop/web-{number}") for number in range(20))
    chain = Chain(CHAIN, Direction.INGRESS, (), ("shop/deny",))
    rendered = render(Ruleset("node-1", ipv4=FamilyRuleset(chains=(chain,), ingress=targets)), environment())
    lines = rules_of(rendered.iptables, "NPM-INGRESS ")
    parts = [line.split()[-1] for line in lines]
    assert [line.split()[2:4] for line in lines] == [["-d", network] for network in NETWORKS_OF_TWENTY]
    assert all(f":{part} - [0:0]" in rendered.iptables.splitlines() for part in parts)
    pods = [line for part in parts for line in rules_of(rendered.iptables, f"{part} ")]
    assert [line.split()[4] for line in pods] == [f"{target.address}/32" for target in targets]
    assert all(line.endswith(f"-g {CHAIN}") for line in pods)


def test_peers_are_the_source_on_ingress_and_the_destination_on_egress() -> None:
    rendered = render(ONE_OF_EVERYTHING, environment()).iptables
    ingress, egress = (rules_of(rendered, prefix) for prefix in ("NPM-I-", "NPM-E-"))
    assert {line.split("--match-set ")[1].split()[1] for line in ingress if "--match-set" in line} == {"src"}
    assert {line.split("--match-set ")[1].split()[1] for line in egress if "--match-set" in line} == {"dst", "dst,dst"}


def test_rule_16_a_set_of_named_ports_is_matched_on_address_and_port_of_the_destination() -> None:
    ports = PeerSet(NAME, SetKind.PORTS, ("10.1.0.7,tcp:8080",))
    rendered = render(with_rules(Rule(ALLOW, "", (), NAME, ()), sets=(ports,)), environment())
    assert f" -m set --match-set {NAME} dst,dst -j RETURN" in rendered.iptables
    assert rendered.ipset == (f"create {NAME} hash:ip,port family inet maxelem 65536\nadd {NAME} 10.1.0.7,tcp:8080\n")


def test_rule_3_what_no_rule_allows_is_dropped_at_the_end_of_the_chain() -> None:
    rendered = render(with_rules(policies=("shop/deny-all",)), environment())
    assert rules_of(rendered.iptables, "NPM-I-")[-1].endswith(' -m comment --comment "shop/deny-all" -j DROP')


@pytest.mark.parametrize(
    ("protocol", "ports", "expected"),
    [
        ("", (), [""]),
        ("tcp", (), [" -p tcp"]),
        ("tcp", ((80, 80),), [" -p tcp -m tcp --dport 80"]),
        ("udp", ((5000, 5010),), [" -p udp -m udp --dport 5000:5010"]),
        ("tcp", ((80, 80), (443, 443), (8000, 8100)), [" -p tcp -m multiport --dports 80,443,8000:8100"]),
        ("sctp", ((7, 7),), [" -p sctp -m multiport --dports 7"]),
    ],
)
def test_rule_14_ports(protocol: str, ports: tuple[tuple[int, int], ...], expected: list[str]) -> None:
    assert port_matches(protocol, ports) == expected


@given(
    st.lists(st.tuples(st.integers(1, 65000), st.integers(0, 200)), min_size=1, max_size=80).map(
        lambda pairs: tuple((low, low + more) for low, more in pairs)
    ),
    st.sampled_from(["tcp", "sctp"]),
)
def test_more_ports_than_a_rule_takes_go_on_in_the_next_one(ports: tuple[tuple[int, int], ...], protocol: str) -> None:
    matches = port_matches(protocol, ports)
    spelled = [match.split()[-1].split(",") for match in matches]
    assert all(sum(1 + (":" in port) for port in each) <= 15 for each in spelled)
    found = [tuple(int(end) for end in port.split(":")) for each in spelled for port in each]
    assert [(each[0], each[-1]) for each in found] == list(ports)


def test_ports_without_a_protocol_are_refused() -> None:
    with pytest.raises(RenderError, match="without a protocol"):
        render(with_rules(Rule(ALLOW, "", ((80, 80),), "", ())), environment())


def test_a_rule_whose_set_is_missing_is_refused() -> None:
    with pytest.raises(RenderError, match=f"chain NPM-I-.*: no set {NAME}"):
        render(with_rules(Rule(ALLOW, "", (), NAME, ())), environment())


@pytest.mark.parametrize(("members", "maxelem"), [(0, 65536), (65536, 65536), (65537, 131072), (131073, 262144)])
def test_a_set_has_room_for_its_members(members: int, maxelem: int) -> None:
    big = PeerSet(NAME, SetKind.ADDRESSES, tuple(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(members)))
    lines = render(with_rules(sets=(big,)), environment()).ipset.splitlines()
    assert lines[0] == f"create {NAME} hash:ip family inet maxelem {maxelem}"
    assert len(lines) == members + 1


def test_comments_name_policies_and_are_cut_between_two_of_them() -> None:
    assert comment(()) == ""
    assert comment(["npm_always_allowed_sources"]) == " -m comment --comment npm_always_allowed_sources"
    assert comment(["shop/a", "shop/b"]) == ' -m comment --comment "shop/a, shop/b"'
    text = comment([f"shop/policy-{number:03}" for number in range(100)])
    assert text.startswith(' -m comment --comment "shop/policy-000, shop/policy-001, ')
    assert text.endswith(', +86 more"')


def test_rule_40_a_name_longer_than_a_comment_is_cut() -> None:
    name = f"{'n' * 63}/{'p.' * 126}p"
    (alone, with_more) = (comment([name]), comment([name, "shop/b", "shop/c"]))
    assert alone.endswith('..."')
    assert with_more.endswith('..., +2 more"')
    for text in (alone, with_more):
        assert len(text.split('"')[1]) == LONGEST


@given(st.lists(st.text(max_size=400), max_size=60))
def test_no_name_breaks_out_of_its_comment(names: list[str]) -> None:
    text = comment(names)
    if not text:
        return
    prefix, _, content = text.partition("--comment ")
    assert prefix == " -m comment "
    inner = content[1:-1] if content.startswith('"') else content
    assert len(inner.encode()) <= LONGEST
    assert not set(inner) & set("\"'\\\n\r\t`$")


def test_the_same_ruleset_gives_the_same_bytes_and_id() -> None:
    first, second = (render(ONE_OF_EVERYTHING, environment()) for _ in range(2))
    assert first == second
    assert first.id == second.id
    assert first.id != render(Ruleset("node-1"), environment()).id


def test_nodes_that_share_a_set_share_its_text_and_no_other() -> None:
    shared, other = (PeerSet(NAME, SetKind.ADDRESSES, members) for members in (("10.1.0.7",), ("10.1.0.8",)))
    rulesets = [with_rules(sets=(each,)) for each in (shared, other, shared)]
    renderer = Renderer(environment())
    rendered = [renderer.render(each) for each in rulesets]
    assert rendered == [render(each, environment()) for each in rulesets]
    (first,), (second,), (third,) = (each.sets for each in rendered)
    assert first is third
    assert first != second


def test_the_id_tells_apart_what_stands_in_which_file() -> None:
    rendered = render(ONE_OF_EVERYTHING, environment())
    moved = Rendered((RenderedSet("", lambda: rendered.ipset + rendered.iptables),), "", rendered.ip6tables)
    assert rendered.id != moved.id


def test_a_template_of_the_user_comes_before_ours(tmp_path: Path) -> None:
    (tmp_path / "ipset.j2").write_text("# {{ set.name }}\n")
    rendered = render(ONE_OF_EVERYTHING, environment([tmp_path]))
    families = (ONE_OF_EVERYTHING.ipv4, ONE_OF_EVERYTHING.ipv6)
    assert rendered.ipset == "".join(f"# {each.name}\n" for family in families for each in family.sets)
    assert rendered.iptables == render(ONE_OF_EVERYTHING, environment()).iptables


def test_a_template_of_the_user_can_extend_ours(tmp_path: Path) -> None:
    (tmp_path / "iptables.j2").write_text(
        '{% extends "enforce/iptables.j2" %}\n'
        "{% block denied %}\n"
        "-A {{ chain.name }} -j NFLOG --nflog-group 100\n"
        "{{ super() }}"
        "{% endblock %}\n"
    )
    ours = render(ONE_OF_EVERYTHING, environment()).iptables.splitlines()
    theirs = render(ONE_OF_EVERYTHING, environment([tmp_path])).iptables.splitlines()
    added = [line for line in theirs if "NFLOG" in line]
    assert len(added) == len(ONE_OF_EVERYTHING.ipv4.chains)
    assert [line for line in theirs if line not in added] == ours
    for line in added:
        assert theirs[theirs.index(line) + 1].startswith(line.split(" -j ")[0])


def test_the_readmes_template_does_what_it_says(tmp_path: Path) -> None:
    readme = (ROLE / "README.md").read_text()
    (template,) = re.findall(r"```jinja\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "iptables.j2").write_text(template)
    rendered = render(ONE_OF_EVERYTHING, environment([tmp_path]))
    check_readable(rendered)
    lines = rendered.iptables.splitlines()
    ours = render(ONE_OF_EVERYTHING, environment()).iptables.splitlines()
    assert [line for line in lines if "NFLOG" not in line] == ours
    assert len(lines) == len(ours) + len(ONE_OF_EVERYTHING.ipv4.chains)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("*filter\n{% for x in %}\n", 2, "Expected an expression"),
        ("*filter\n\n{{ chains[0].nmae }}\n", 3, "nmae"),
        ("{{ 1 / 0 }}\n", 1, "division by zero"),
        ("{% include 'elsewhere.j2' %}\n", 0, "elsewhere.j2 is not on the template path"),
    ],
)
def test_an_error_names_the_template_and_the_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    template = tmp_path / "iptables.j2"
    template.write_text(text)
    with pytest.raises(RenderError, match=message) as caught:
        render(ONE_OF_EVERYTHING, environment([tmp_path]))
    if line:
        assert f"template {template}, line {line}: " in str(caught.value)


def test_what_our_templates_render_is_readable() -> None:
    check_readable(render(ONE_OF_EVERYTHING, environment()))


@pytest.mark.parametrize(
    ("ipset", "iptables", "message"),
    [
        ("destroy npm-4-x\n", "", "ipset.j2 renders what is no input of ipset restore: not a line of a set: 'destroy"),
        ("", "*filter\nrubbish\nCOMMIT\n", "no input of iptables-restore: not a line of a filter table: 'rubbish'"),
        ("", '-A NPM-FORWARD -m comment --comment "open\n', "no input of iptables-restore: cannot read the rule"),
        ("create mine hash:ip family inet\n", "", "renders the set mine: ours begin with npm-"),
        ("", "-A INPUT -j DROP\n", "renders '-A INPUT -j DROP': our chains begin with NPM-"),
        ("", ":KUBE-FORWARD - [0:0]\n", "renders ':KUBE-FORWARD - \\[0:0\\]': our chains begin with NPM-"),
        ("", "*filter\nCOMMIT\n", "leaves out the chain NPM-EGRESS"),
        ("", None, f"matches the set {NAME}, which ipset.j2 leaves out"),
    ],
)
def test_what_a_node_could_not_be_compared_with_is_refused(ipset: str, iptables: str | None, message: str) -> None:
    ports = PeerSet(NAME, SetKind.ADDRESSES, ())
    good = render(with_rules(Rule(ALLOW, "", (), NAME, ()), sets=(ports,)), environment())
    with pytest.raises(RenderError, match=message):
        check_readable(
            Rendered(
                (RenderedSet(NAME, lambda: ipset),), good.iptables if iptables is None else iptables, good.ip6tables
            )
        )
