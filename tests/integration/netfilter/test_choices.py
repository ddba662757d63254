# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which variant is taken, and when a node, or the snapshot for it, is refused: each time with nothing changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.converge import NotConvergedError
from integration.netfilter import another_ipset
from integration.netfilter.network import PODS, Network
from integration.netfilter.node import VARIANTS, Node, node
from integration.netfilter.rulesets import INGRESS, converge, settle, wanted
from integration.netfilter.test_converge import RULES, SETS

TARGET = wanted(RULES, SETS, version=10)
LAST_OF_FORWARD = {"first": 0, "after_kube_services": 2}


@pytest.fixture
def plain() -> Iterator[Node]:
    with node() as each:
        yield each


def refused(each: Node, words: str, target: object = TARGET, **options: object) -> None:
    before = each.everything()
    with pytest.raises(NotConvergedError, match=words) as caught:
        converge(each, target, **options)  # type: ignore[arg-type]
    assert not caught.value.result.changed
    assert each.everything() == before
    assert each.leftovers() == []


def hint(each: Node, variant: str, chain: str = "KUBE-IPTABLES-HINT") -> None:
    each.run(f"iptables-{variant}-restore", "--noflush", data=f"*mangle\n:{chain} - [0:0]\nCOMMIT\n")


@pytest.mark.parametrize("chain", ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY", "KUBE-PROXY-CANARY"])
def test_kube_proxys_variant_is_taken(fresh: Node, chain: str) -> None:
    other = next(each for each in VARIANTS if each != fresh.default_variant)
    fresh.restore(fresh.default_variant, "-A FORWARD -s 192.0.2.1 -j DROP")
    hint(fresh, other, chain)
    assert settle(fresh, TARGET).variant == other


def test_two_hints_are_no_hint(plain: Node) -> None:
    hint(plain, "nft")
    hint(plain, "legacy")
    refused(plain, "both iptables variants .* npm_variant")
    assert settle(plain, TARGET, variant="legacy").variant == "legacy"
    assert settle(plain, None).changed, "removal has nothing to guess"
    assert "NPM-" not in "".join(plain.everything().values())


def test_the_variant_with_rules_is_taken(fresh: Node) -> None:
    other = next(each for each in VARIANTS if each != fresh.default_variant)
    fresh.restore(other, "-A FORWARD -s 192.0.2.1 -j DROP")
    assert settle(fresh, TARGET).variant == other


def test_the_default_is_taken_where_nothing_tells(fresh: Node) -> None:
    assert settle(fresh, TARGET).variant == fresh.default_variant


def test_our_own_jump_tells_nothing(plain: Node) -> None:
    """Enforcing once with a variant doesn't make it the one with rules."""
    settle(plain, TARGET, variant="nft")
    plain.restore("legacy", "-A FORWARD -s 192.0.2.1 -j DROP")
    moved = converge(plain, TARGET)
    assert moved.variant == "legacy"
    assert "NPM-" not in plain.save("nft")
    assert converge(plain, TARGET).in_sync


def test_a_variant_without_programs_is_refused() -> None:
    with node(default_variant="nft", variants=("nft",)) as each:
        refused(each, "npm_variant is legacy, but the node has no iptables of that variant", variant="legacy")


def test_programs_without_a_variant_in_their_names_are_enough(variant: str) -> None:
    with node(default_variant=variant, suffixed=False) as each:
        assert settle(each, TARGET).variant == variant
        assert settle(each, None).changed


def add_native_rules(each: Node) -> None:
    """To iptables' own table, which it can't read from then on."""
    each.run("nft", "add table ip filter")
    each.run("nft", "add chain ip filter FORWARD { type filter hook forward priority 0; }")
    each.run("nft", "add rule ip filter FORWARD meta mark set numgen random mod 2")


def test_native_rules_in_the_table_are_an_error(plain: Node) -> None:
    """iptables-nft-save says so in a remark, and reports success."""
    add_native_rules(plain)
    with pytest.raises(NotConvergedError, match="filter of nft is incompatible: native nftables rules"):
        converge(plain, TARGET)
    assert plain.sets() == ""


def test_removal_takes_what_can_be_read_and_warns_of_the_rest(wired: Network) -> None:
    """Native rules in the variant that is not enforced with keep nobody from enforcing, nor from removing."""
    each = wired.node
    hint(each, "legacy")
    add_native_rules(each)
    before = each.everything()
    native = each.run("nft", "list", "table", "ip", "filter")
    everything = wired.passing()
    assert settle(each, TARGET).variant == "legacy"
    assert wired.passing() < everything
    warnings = [
        "the table filter of nft is incompatible: native nftables rules are in it, so rules of ours that may be there "
        "stay. Remove the native ones, then run remove.yml again"
    ]
    looked = converge(each, None, check_mode=True)
    assert looked.changed
    assert looked.warnings == warnings
    removed = settle(each, None)
    assert removed.changed
    assert removed.warnings == converge(each, None).warnings == warnings
    assert wired.passing() == everything
    assert "NPM-" not in "".join(each.everything().values())
    assert each.sets() == before["ipset"] == ""
    assert each.run("nft", "list", "table", "ip", "filter") == native
    assert not each.path("/run/npm-netpol/applied").exists()


def test_removal_and_the_other_variant_are_refused_where_our_rules_cannot_be_read(plain: Node) -> None:
    """The node remembers that they are there: it enforces them, and to have removed the rest would say otherwise."""
    settle(plain, TARGET)
    add_native_rules(plain)
    refused(plain, "the table filter of nft is incompatible", None)
    assert plain.path("/run/npm-netpol/applied").exists()
    hint(plain, "legacy")
    refused(plain, "the table filter of nft is incompatible", TARGET)
    assert "NPM-" not in plain.run("iptables-legacy-save")
    plain.run("nft", "delete rule ip filter FORWARD handle " + native_handle(plain))
    assert settle(plain, None).warnings == []
    assert plain.sets() == ""


def native_handle(each: Node) -> str:
    rules = each.run("nft", "--handle", "list", "chain", "ip", "filter", "FORWARD").splitlines()
    return next(line.split()[-1] for line in rules if "numgen" in line)


def test_a_comment_about_incompatibility_is_none(plain: Node) -> None:
    plain.restore("nft", '-A FORWARD -m comment --comment "this is incompatible" -j ACCEPT')
    settle(plain, TARGET)


LOOK_LIKE_OTHER_LINES = (
    "#n;touch /run/entered;x",
    "#nft ipv6",
    "#legacy mangle",
    "#tmp.x nft ipv6",
    "*mangle",
    "COMMIT",
    ":KUBE-IPTABLES-HINT - [0:0]",
    "# Table `mangle' is incompatible, use 'nft' tool.",
)


@pytest.mark.parametrize("chain", ["INPUT", "FORWARD"])
def test_lines_within_comments_say_nothing(fresh: Node, chain: str) -> None:
    """A pod of the host's network may write a rule of its own, and iptables-save prints a comment as it is."""
    program = f"iptables-{fresh.default_variant}"
    for line in LOOK_LIKE_OTHER_LINES:
        fresh.run(program, "-A", chain, "-m", "comment", "--comment", f"a\n{line}\nb", "-j", "ACCEPT")
        # One that counts as a rule that is not ours, behind the line.
        fresh.run(program, "-A", chain, "-s", "192.0.2.1", "-j", "ACCEPT")
    settle(fresh, TARGET)
    fresh.run(program, "-I", "NPM-FORWARD", "1", "-j", "RETURN")
    assert settle(fresh, TARGET).drift
    settle(fresh, None)
    assert "NPM-" not in fresh.save(fresh.default_variant)
    assert not fresh.path("/run/entered").exists()


def test_a_comment_that_looks_like_a_rule_of_ours_never_ends_in_sync(fresh: Node) -> None:
    """Nobody can tell it from one: better an error each time than a rule that is missed."""
    fake = "a\n-A NPM-FORWARD -j ACCEPT\nb"
    fresh.run(f"iptables-{fresh.default_variant}", "-A", "INPUT", "-m", "comment", "--comment", fake, "-j", "ACCEPT")
    for _run in range(2):
        with pytest.raises(NotConvergedError):
            converge(fresh, TARGET)


def test_what_is_said_beside_the_table_is_heard(plain: Node) -> None:
    """Some versions say on standard error what others say in a comment of the table."""
    said = "# Table `filter' is incompatible, use 'nft' tool."
    with plain.wrapped("iptables-nft-save", f'echo "{said}" >&2'.replace("`", "\\`")):
        refused(plain, "the table filter of nft is incompatible")
    warning = "# Warning: iptables-legacy tables present, use iptables-legacy-save to see them"
    with plain.wrapped("iptables-nft-save", f'echo "{warning}" >&2; exec "$real" "$@"'):
        settle(plain, TARGET)


def test_tables_that_were_not_printed_to_their_end_are_none(plain: Node) -> None:
    """Where the rules of the other variant were to follow, a node with nothing but those would look clean."""
    settle(plain, TARGET)
    with plain.wrapped("ip6tables-nft-save", "kill -9 $PPID"):
        refused(plain, "a shell was killed on this node", None)


def test_comments_in_any_encoding_are_others_own_affair(fresh: Node) -> None:
    odd = ["caf\u00e9 \u2028 x", "two\nlines", "it's"]
    for text in odd:
        fresh.run(f"iptables-{fresh.default_variant}", "-A", "FORWARD", "-m", "comment", "--comment", text)
    script = f"iptables-{fresh.default_variant} -A FORWARD -m comment --comment \"$(printf 'caf\\351')\" -j DROP"
    fresh.run("sh", "-c", script)
    settle(fresh, TARGET)
    fresh.run(
        f"iptables-{fresh.default_variant}", "-I", "NPM-INGRESS", "-m", "comment", "--comment", "a\nb", "-j", "ACCEPT"
    )
    assert settle(fresh, TARGET).drift


@pytest.mark.parametrize(
    ("links", "words"),
    [
        (["link add kube-ipvs0 type bridge"], "kube-proxy runs in IPVS mode"),
        (["link add cilium_host type bridge"], "a Cilium datapath is active"),
        (
            ["link add cbr0 type bridge", "link add veth0 type veth peer name veth1", "link set veth0 master cbr0"],
            "bridge-nf-call-iptables",
        ),
    ],
)
def test_a_node_whose_traffic_bypasses_forward_is_refused(plain: Node, links: list[str], words: str) -> None:
    if words == "bridge-nf-call-iptables":
        switch = plain.path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        if switch.exists():
            plain.run("sh", "-c", "echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables")
    plain.ip(*links)
    refused(plain, words)
    settle(plain, TARGET, datapath_check=False)
    settle(plain, None)


def test_a_bridge_without_ports_is_no_obstacle(plain: Node) -> None:
    plain.ip("link add docker0 type bridge")
    settle(plain, TARGET)


def test_an_older_snapshot_never_overwrites_a_newer_one(plain: Node) -> None:
    settle(plain, TARGET)
    other = {(INGRESS, PODS[1]): [(80, "clients")]}
    refused(plain, r"newer snapshot \(resourceVersion 10; this one has 9\)", wanted(other, SETS, version=9))
    assert settle(plain, wanted(other, SETS, version=10)).changed, "an equal one is allowed"
    assert settle(plain, TARGET, allow_older=True).changed
    assert settle(plain, wanted(other, SETS, version=9), allow_older=True).changed
    assert settle(plain, wanted(RULES, SETS, version=9)).changed, "the node remembers what it was put back to"


def test_a_newer_snapshot_in_sync_is_remembered(plain: Node) -> None:
    settle(plain, TARGET)
    assert converge(plain, wanted(RULES, SETS, version=20)).in_sync
    refused(plain, "newer snapshot", wanted({}, {}, version=15))


def test_another_clusters_snapshot_is_refused(plain: Node) -> None:
    settle(plain, TARGET)
    foreign = wanted({}, {}, version=99, cluster="cluster-2")
    refused(plain, "cluster-1; this snapshot is of .*cluster-2", foreign)
    assert settle(plain, foreign, allow_other_cluster=True).changed


def test_check_mode_changes_nothing_and_knows_everything(fresh: Node) -> None:
    before = fresh.everything()
    looked = converge(fresh, TARGET, check_mode=True)
    assert looked.changed
    assert looked.exchanges == 1
    assert "is missing" in looked.diff
    assert fresh.everything() == before
    assert not fresh.path("/run/npm-netpol").exists()
    settle(fresh, TARGET)
    assert not converge(fresh, TARGET, check_mode=True).changed


@pytest.mark.parametrize("hook", LAST_OF_FORWARD)
def test_our_jump_stands_where_it_should(fresh: Node, hook: str) -> None:
    chains = ":KUBE-SERVICES - [0:0]\n:KUBE-FORWARD - [0:0]\n:OTHER - [0:0]\n"
    rules = ["KUBE-FORWARD", "KUBE-SERVICES", "OTHER"]
    fresh.restore(fresh.default_variant, chains + "\n".join(f"-A FORWARD -j {each}" for each in rules))
    settle(fresh, TARGET, hook=hook, accept=True)

    def targets() -> list[str]:
        saved = fresh.save(fresh.default_variant).splitlines()
        return [line.split()[-1] for line in saved if line.startswith("-A FORWARD")]

    rules.insert(LAST_OF_FORWARD[hook], "NPM-FORWARD")
    assert targets() == [*rules, "NPM-ACCEPT"]
    # A rule that drops may stand above ours; one that comes after the accepting jump brings us to the end again.
    fresh.restore(fresh.default_variant, "-I FORWARD 1 -s 192.0.2.1 -j DROP")
    assert not converge(fresh, TARGET, hook=hook, accept=True).changed
    fresh.restore(fresh.default_variant, "-A FORWARD -s 192.0.2.2 -j DROP")
    assert settle(fresh, TARGET, hook=hook, accept=True).changed
    assert targets()[-1] == "NPM-ACCEPT"
    assert settle(fresh, TARGET, hook=hook).changed
    assert targets() == ["DROP", *rules, "DROP"]


def test_a_foreign_rule_below_ours_is_no_change(fresh: Node) -> None:
    """The digest differs, what it stands for does not."""
    settle(fresh, TARGET)
    fresh.restore(fresh.default_variant, "-A FORWARD -s 192.0.2.7 -j ACCEPT")
    looked = converge(fresh, TARGET)
    assert not looked.changed
    assert not looked.in_sync
    assert looked.drift == []
    assert converge(fresh, TARGET).in_sync


@pytest.mark.parametrize("program", ["ipset", "iptables", "iptables-restore", "ip6tables-restore", "flock"])
def test_a_missing_program_is_named(program: str) -> None:
    with node(suffixed=False) as each:
        each.remove_program(program)
        refused(each, f"the program {program} is missing on this node")


def test_what_even_a_reply_needs_is_missing() -> None:
    for program in ("gzip", "head", "mktemp", "sha256sum", "base64"):
        with node() as each:
            each.remove_program(program)
            refused(each, "no whole reply")
            assert each.last.status != 0
            assert program in each.last.stderr or "did not arrive whole" in each.last.stderr


def test_someone_who_is_not_root_is_told_so() -> None:
    with node() as each, each.as_user(1000):
        refused(each, "does not run as root: set ansible_become")


def test_native_rules_in_a_table_that_is_not_used_are_no_error(plain: Node) -> None:
    plain.run("nft", "add table ip mangle")
    plain.run("nft", "add chain ip mangle FORWARD { type filter hook forward priority -150; }")
    plain.run("nft", "add rule ip mangle FORWARD meta mark set numgen random mod 2")
    settle(plain, TARGET)
    settle(plain, None)
    plain.run("nft", "delete table ip mangle")


def test_a_set_of_another_ipset_is_said_to_be_one(plain: Node) -> None:
    """The node's own can list no set any more."""
    settle(plain, TARGET)
    another_ipset.make_set(plain, "foreign")
    for target in (TARGET, None):
        with pytest.raises(NotConvergedError) as caught:
            converge(plain, target)
        assert str(caught.value) == (
            "a set on the node is of another ipset, and of a kind that the node's own cannot list: "
            f"ipset save: {version(plain)}: Kernel and userspace incompatible: settype {another_ipset.KIND} "
            f"with revision {another_ipset.REVISION} not supported by userspace."
        )
    plain.run("ipset", "destroy", "foreign")
    settle(plain, TARGET)


def version(each: Node) -> str:
    return each.run("ipset", "--version").partition(",")[0]


def test_a_set_that_somebody_else_uses_is_named_and_keeps_nothing_up(plain: Node) -> None:
    """A rule of another program that matches a set of ours must not stop the next change, nor the removal."""
    settle(plain, TARGET)
    name = next(line.split()[1] for line in plain.sets().splitlines() if line.startswith("create npm-4-"))
    plain.run("iptables-nft", "-I", "INPUT", "-m", "set", "--match-set", name, "src", "-j", "ACCEPT")
    removed = converge(plain, None)
    assert removed.changed
    assert any(f"the set {name} stays" in warning for warning in removed.warnings)
    settle(plain, TARGET)
    plain.run("iptables-nft", "-D", "INPUT", "1")
    assert converge(plain, None).warnings == []
    assert plain.sets() == ""


def test_a_set_that_stayed_goes_with_the_first_run_that_can_take_it(plain: Node) -> None:
    """Also where nothing else is to be done by then: a node with something left is not in sync."""
    settle(plain, TARGET)
    name = next(line.split()[1] for line in plain.sets().splitlines() if line.startswith("create npm-4-"))
    plain.run("iptables-nft", "-I", "INPUT", "-m", "set", "--match-set", name, "src", "-j", "ACCEPT")
    nothing = wanted({}, {}, version=11)
    for changed in (True, False):
        held = converge(plain, nothing)
        assert (held.changed, held.in_sync) == (changed, False)
        assert any(f"the set {name} stays" in warning for warning in held.warnings)
    plain.run("iptables-nft", "-D", "INPUT", "1")
    freed = settle(plain, nothing)
    assert (freed.changed, freed.warnings) == (True, [])
    assert plain.sets() == ""


LISTED_BY_SOMEBODY = """
case " $* " in
*" restore "*) cat >/run/input ;;
*) : >/run/input ;;
esac
if grep -q '^destroy' /run/input || [ "$1" = destroy ]; then
    tries=$(cat /run/tries)
    echo $((tries + 1)) >/run/tries
    if [ "$tries" -lt 2 ]; then
        echo 'ipset v7.17: Set cannot be destroyed: it is in use by a kernel component' >&2
        exit 1
    fi
fi
exec "$real" "$@" </run/input
"""


def test_a_set_that_somebody_lists_meanwhile_is_destroyed_a_moment_later(plain: Node) -> None:
    settle(plain, TARGET)
    plain.path("/run/tries").write_text("0")
    with plain.wrapped("ipset", LISTED_BY_SOMEBODY):
        freed = converge(plain, wanted({}, {}, version=11))
    assert freed.warnings == []
    assert int(plain.path("/run/tries").read_text()) > 2
    assert plain.sets() == ""
