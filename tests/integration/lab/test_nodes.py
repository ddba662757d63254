# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node is what Ansible meets on AKS: SSH, an unprivileged user, sudo, bare tools, no Python, its own files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from lab.lab import Lab
from lab.netns import LabError
from lab.spec import LabSpec, Node, Pod, small

MakeLab = Callable[..., Lab]
FIRST, SECOND = "aks-nodepool1-12345678-vmss000000", "aks-nodepool1-12345678-vmss000001"


def test_ssh_is_an_unprivileged_user_and_sudo_makes_root(lab: Lab) -> None:
    done = lab.ssh(FIRST, "id -un; id -u; sudo -n id -u; hostname", check=True)
    assert done.stdout.split() == ["azureuser", "1000", "0", FIRST]
    assert done.stderr == ""


def test_the_user_alone_cannot_touch_netfilter(lab: Lab) -> None:
    assert lab.ssh(FIRST, "iptables -I FORWARD -j DROP").returncode != 0


def test_there_is_no_python(lab: Lab) -> None:
    for prefix in ("", "sudo -n "):
        done = lab.ssh(FIRST, f"{prefix}sh -c 'command -v python3 python python2; echo $PATH'")
        assert done.stdout == "/run/lab/bin\n"
        assert lab.ssh(FIRST, f"{prefix}/usr/bin/python3 -c pass").returncode != 0


def test_no_legacy_table_exists_until_a_legacy_tool_runs(make_lab: MakeLab) -> None:
    node = make_lab(small("nft"), api=None).nodes[FIRST]
    assert node.run("cat /proc/net/ip_tables_names").stdout == ""
    node.run("iptables-legacy-save -t filter")
    assert node.run("cat /proc/net/ip_tables_names").stdout == "filter\n"


def test_nodes_share_no_files_and_no_netfilter(lab: Lab) -> None:
    lab.nodes[FIRST].run("touch /run/only-here /tmp/only-here /root/only-here; ipset create only-here hash:ip")
    other = lab.nodes[SECOND]
    assert other.run("ls /run/only-here /tmp/only-here /root/only-here", check=False).stdout == ""
    assert "only-here" not in other.run("ipset list -n").stdout
    interfaces = lab.nodes[FIRST].run("ls /sys/class/net").stdout.split()
    assert {name[:3] for name in interfaces} == {"azv", "eth", "lo"}


def test_pods_interfaces_are_named_as_azure_cni_names_them(lab: Lab) -> None:
    names = lab.nodes[FIRST].run("ip -br link").stdout.split()
    assert sum(name.startswith("azv") for name in names) == sum(
        pod.node == FIRST and pod.has_network for pod in lab.cluster.pods.values()
    )
    assert f"{lab.ip('shop/web-1')} dev azv" in lab.nodes[FIRST].run("ip route").stdout


def test_sudo_logs_whole_command_lines(lab: Lab) -> None:
    mark = "m" * 300
    lab.ssh(FIRST, f"sudo -n sh -c 'true {mark}'", check=True)
    assert any(mark in line for line in lab.nodes[FIRST].sudo_log())


def test_ansible_runs_on_the_inventory(lab: Lab) -> None:
    done = lab.run_in("ctl", ["ansible", "npm_nodes", "-m", "raw", "-a", "id -u; hostname"], check=True)
    assert FIRST in done.stdout
    assert done.stdout.count("rc=0") == 2


def test_tools_can_be_taken_replaced_and_restored(lab: Lab) -> None:
    node = lab.nodes[FIRST]
    node.remove_tool("ipset")
    assert lab.ssh(FIRST, "sudo -n ipset list").returncode != 0
    node.write_tool("iptables-restore", "#!/bin/sh\necho broken >&2\nexit 4\n")
    assert (node.run("iptables-restore", check=False).returncode, lab.ssh(FIRST, "iptables-restore").stderr) == (
        4,
        "broken\n",
    )
    node.busybox_tools()
    assert "BusyBox" in node.run("sha256sum --help 2>&1; true").stdout
    node.restore_tools()
    assert lab.ssh(FIRST, "sudo -n ipset list -n").returncode == 0
    assert "BusyBox" not in node.run("sha256sum --help 2>&1").stdout


def test_a_failing_command_is_an_error_that_names_the_node(lab: Lab) -> None:
    with pytest.raises(LabError, match=f"node {FIRST}: 'echo no >&2; exit 3' ended with 3: no"):
        lab.nodes[FIRST].run("echo no >&2; exit 3")


@pytest.mark.parametrize(("shell", "sign"), [("dash", "1000"), ("bash", "bash 1000"), ("busybox", "BusyBox 1000")])
def test_the_shell_of_a_node(make_lab: MakeLab, shell: str, sign: str) -> None:
    lab = make_lab(LabSpec((Node("n1"),), shell=shell), api=None)
    busybox = "help 2>&1 | grep -q Built-in"
    which = f"""if [ -n "$BASH_VERSION" ]; then printf "bash "; fi; if {busybox}; then printf "BusyBox "; fi"""
    assert lab.ssh("n1", f"{which}; id -u", check=True).stdout == f"{sign}\n"
    assert lab.ssh("n1", f"/bin/sh -c '{which}; id -u'", check=True).stdout == f"{sign}\n"


@pytest.mark.parametrize("alternative", ["nft", "legacy"])
def test_the_plain_names_run_the_alternative(make_lab: MakeLab, alternative: str) -> None:
    other = "legacy" if alternative == "nft" else "nft"
    node = make_lab(LabSpec((Node("n1", variant=other, alternative=alternative),)), api=None).nodes["n1"]
    for tool in ("iptables", "ip6tables", "iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"):
        assert f"({'nf_tables' if alternative == 'nft' else 'legacy'})" in node.run([tool, "-V"]).stdout
    assert "KUBE-IPTABLES-HINT" in node.run(f"iptables-{other}-save").stdout


def test_datapaths_that_bypass_forward_can_be_faked(make_lab: MakeLab) -> None:
    nodes = (Node("n1", proxy_mode="ipvs"), Node("n2", foreign=("cilium",)), Node("n3", foreign=("cbr0",)))
    lab = make_lab(LabSpec(nodes), api=None)
    found = {name: set(node.run("ls /sys/class/net").stdout.split()) for name, node in lab.nodes.items()}
    assert "kube-ipvs0" in found["n1"]
    assert "cilium_host" in found["n2"]
    assert "cbr0" in found["n3"]
    assert not (found["n1"] | found["n2"]) & {"cbr0"}
    assert lab.nodes["n3"].run("cat /proc/sys/net/bridge/bridge-nf-call-iptables 2>/dev/null || echo 0").stdout == "0\n"


def test_ipvs_leaves_no_service_chains(make_lab: MakeLab) -> None:
    spec = small()
    lab = make_lab(replace(spec, nodes=tuple(replace(node, proxy_mode="ipvs") for node in spec.nodes)), api=None)
    assert "KUBE-SVC" not in lab.nodes[FIRST].run("iptables-save").stdout


def test_nodes_come_and_go(make_lab: MakeLab) -> None:
    lab = make_lab(LabSpec((Node("n1"), Node("n2")), pods=(Pod("a", "x", "n1"), Pod("a", "y", "n2"))))
    lab.add_node(Node("n3"))
    lab.add_node(Node("stranger", joined=False))
    lab.add_pod(Pod("a", "z", "n3"))
    assert lab.reach("a/x", "a/z").server == "a/z"
    assert lab.reach("a/z", "a/y", family="ipv6").server == "a/y"
    assert lab.reach("ext", "a/z").server == "a/z"
    assert lab.ssh("stranger", "hostname").stdout == "stranger\n"
    assert sorted(each["metadata"]["name"] for each in lab.api.list("nodes")) == ["n1", "n2", "n3"]
    assert set(yaml.safe_load(lab.inventory.read_text())["npm_nodes"]["hosts"]) == {"n1", "n2", "n3", "stranger"}

    lab.remove_node("n2")
    assert sorted(each["metadata"]["name"] for each in lab.api.list("nodes")) == ["n1", "n3"]
    assert [each["metadata"]["name"] for each in lab.api.list("pods")] == ["x", "z"]
    assert lab.reach("a/x", "a/z").server == "a/z"
    assert not lab.directory.joinpath("nodes", "n2").exists()
    assert "10.244.2.0" not in lab.nodes["n1"].run("ip route").stdout
