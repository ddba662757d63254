# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Ansible's own tests ask of every connection: raw, files, UTF-8, large output, become, modules; and some more."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from integration.node_pod.reach import FIRST, SECOND, Reach
from lab.lab import Lab
from lab.spec import LabSpec, Node

pytestmark = pytest.mark.root

# What a helper pod's own namespaces and root would show.
NAMESPACES = "for each in mnt net pid ipc uts; do readlink /proc/self/ns/$each; done"
# Of the node.
REMOTE = "/tmp/npm-netpol-test"  # noqa: S108
_100_MB = 100 * 1000 * 1000
# The process itself takes 60 MB; what passes through must not be seen in it.
_MOST_KIB = 20 * 1024


def test_commands_run_in_the_nodes_own_namespaces(reach: Reach) -> None:
    of_the_first_process = reach.lab.nodes[FIRST].run(NAMESPACES.replace("self", "1"))
    (done,) = reach.drive(["exec", NAMESPACES])
    assert done == [0, of_the_first_process.stdout, ""]


def test_outputs_and_exit_codes_are_exact(reach: Reach) -> None:
    assert reach.drive(
        ["exec", "printf 'a\\nb'; printf c >&2; exit 42"],
        ["exec", "exit 255"],
        ["exec", "kill -TERM $$"],
        ["exec", "echo 汉语; printf '\\000\\377'"],
        ["exec", "id -un; pwd; echo $HOME; echo ${KUBERNETES_SERVICE_HOST-none}"],
    ) == [
        [42, "a\nb", "c"],
        [255, "", ""],
        [143, "", ""],
        [0, "汉语\n\0\\xff", ""],
        [0, "root\n/root\n/root\nnone\n", ""],
    ]


def test_a_large_output(reach: Reach) -> None:
    ((code, out, err),) = reach.drive(["exec", "seq 1 500000; seq 1 100000 >&2"])
    assert code == 0
    assert out == "".join(f"{each}\n" for each in range(1, 500_001))
    assert err == "".join(f"{each}\n" for each in range(1, 100_001))


def test_raw_and_files_with_unicode(reach: Reach, tmp_path: Path) -> None:
    local = tmp_path / "汉语" / "汉语.txt"
    local.parent.mkdir()
    local.write_text("汉语\n")
    remote, back = f"{REMOTE} 汉语 'quoted' $x.txt", tmp_path / "back"
    assert reach.drive(["put", str(local), remote], ["fetch", remote, str(back)]) == [None, None]
    assert back.read_text() == "汉语\n"
    done = reach.play(
        {"ansible.builtin.raw": "echo 汉语", "register": "said"},
        {"ansible.builtin.assert": {"that": "'汉语' in said.stdout"}},
    )
    assert done.code == 0, done.text


@pytest.mark.parametrize("minor", [35, 28], ids=["v5", "v4"])
def test_100_mb_both_ways_without_growing(reach: Reach, tmp_path: Path, minor: int) -> None:
    reach.lab.api.settings(minor=minor)
    data = os.urandom(1 << 20)
    large, back = tmp_path / "large", tmp_path / "back"
    with large.open("wb") as file:
        for _ in range(_100_MB // len(data)):
            file.write(data)
        file.write(b"\0\r\n")
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    node = "/dev/shm/npm-netpol-large"  # noqa: S108 (of the node; /tmp is small there)
    before, after, results = reach.measure(
        ["put", str(large), node], ["exec", f"sha256sum <{node}"], ["fetch", node, str(back)], ["exec", f"rm {node}"]
    )
    assert results == [None, [0, f"{digest}  -\n", ""], None, [0, "", ""]]
    assert hashlib.sha256(back.read_bytes()).hexdigest() == digest
    assert after - before < _MOST_KIB


def test_files_that_cannot_be(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    results = reach.drive(
        ["put", str(tmp_path / "file"), "/nowhere/file"],
        ["put", str(tmp_path / "missing"), REMOTE],
        ["fetch", "/nowhere/file", str(tmp_path / "back")],
        ["put", str(tmp_path / "file"), "/dev/full"],
    )
    assert re.match("AnsibleError: cannot write /nowhere/file on the node: ", results[0])
    assert results[1].startswith("AnsibleFileNotFound: ")
    assert re.match("AnsibleError: cannot read /nowhere/file on the node: ", results[2])
    assert "No space left" in results[3]
    assert not (tmp_path / "back").exists()


def test_become(reach: Reach) -> None:
    done = reach.play(
        {"ansible.builtin.raw": "id -un", "register": "who"},
        {"ansible.builtin.assert": {"that": "who.stdout_lines == ['azureuser']"}},
        become=True,
        become_user="azureuser",
    )
    assert done.code == 0, done.text
    # A password that nobody asks root for must not become input.
    asked = reach.play(
        {"ansible.builtin.raw": "cat", "register": "said"},
        {"ansible.builtin.assert": {"that": "said.stdout == ''"}},
        become=True,
        vars={"ansible_become_password": "s3cret"},
    )
    assert asked.code == 0, asked.text


def test_a_way_to_become_that_needs_a_terminal_is_refused(reach: Reach, tmp_path: Path) -> None:
    (tmp_path / "become_plugins").mkdir()
    (tmp_path / "become_plugins" / "needy.py").write_text(
        'DOCUMENTATION = "{name: needy, short_description: needs a terminal, description: it does, options: {}}"\n'
        "from ansible.plugins.become import BecomeBase\n"
        "class BecomeModule(BecomeBase):\n"
        "    name, require_tty = 'needy', True\n"
        "    def build_become_command(self, cmd, shell):\n"
        "        return cmd\n"
    )
    reach.env["ANSIBLE_BECOME_PLUGINS"] = str(tmp_path / "become_plugins")
    refused = reach.play({"ansible.builtin.raw": "id"}, become=True, become_method="needy")
    assert refused.code != 0
    words = "connection does not provide a TTY which is required for the selected become plugin: needy"
    assert words in " ".join(refused.text.split())


def test_a_module_as_a_file_and_a_script(reach: Reach, tmp_path: Path) -> None:
    """Nodes have no Python: a module in shell takes the way by put_file, as do scripts."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "shell_module.sh").write_text(
        '#!/bin/sh\n. "$1"\nprintf \'{"changed": false, "said": "%s on %s"}\' "$word" "$(hostname)"\n'
    )
    script = tmp_path / "script.sh"
    script.write_text("#!/bin/sh\necho $1 on $(hostname)\n")
    done = reach.play(
        {"shell_module.sh": {"word": "hello"}, "register": "module"},
        {"ansible.builtin.script": f"{script} hello", "register": "script"},
        {"ansible.builtin.assert": {"that": ["module.said == 'hello on ' ~ inventory_hostname",
                                             "script.stdout == 'hello on ' ~ inventory_hostname ~ '\\n'"]}},
    )  # fmt: skip
    assert done.code == 0, done.text


@pytest.fixture
def with_python(reach: Reach) -> Iterator[Reach]:
    """The nodes get their Python back, which the lab hides."""
    for node in reach.lab.nodes.values():
        node.run("for each in /usr/bin/python3*; do umount $(readlink -f $each); done 2>/dev/null; true")
    yield reach
    for node in reach.lab.nodes.values():
        node.run("for each in /usr/bin/python3*; do mount --bind /dev/null $(readlink -f $each); done")


@pytest.mark.parametrize("pipelining", [True, False])
def test_modules_in_python(with_python: Reach, tmp_path: Path, pipelining: bool) -> None:
    (tmp_path / "sent").write_text("汉语\n" * 1000)
    with_python.variables |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_pipelining": pipelining}
    done = with_python.play(
        {"ansible.builtin.ping": {}},
        {"ansible.builtin.copy": {"src": str(tmp_path / "sent"), "dest": REMOTE}},
        {"ansible.builtin.fetch": {"src": REMOTE, "dest": f"{tmp_path}/back-", "flat": False}},
        {"ansible.builtin.command": "id -un", "become": True, "become_user": "azureuser", "register": "who"},
        {"ansible.builtin.assert": {"that": "who.stdout == 'azureuser'"}},
        {"ansible.builtin.wait_for_connection": {"timeout": 20}},
    )
    assert done.code == 0, done.text
    for node in (FIRST, SECOND):
        assert (tmp_path / f"back-/{node}{REMOTE}").read_text() == "汉语\n" * 1000


def test_no_secret_is_shown(reach: Reach) -> None:
    """Neither in the most talkative output, nor in a request's address, nor on a command line."""
    token = (reach.lab.directory / "api" / "token").read_text().strip()
    host = {"host": f"https://{reach.lab.ip('ctl', 'ipv4')}:6443", "ca_cert": str(reach.lab.directory / "api/ca.crt")}
    reach.variables["npm_kubernetes"] = host | {"api_key": token}
    look = {
        "ansible.builtin.shell": "cat /proc/[0-9]*/cmdline | tr '\\0' ' '",
        "delegate_to": "localhost",
        "connection": "local",
        "register": "processes",
        "run_once": True,
        "no_log": True,
    }
    shown = [
        "'plugin_utils.node_pod.reaper' in processes.stdout",
        "npm_kubernetes.api_key not in processes.stdout",
    ]
    done = reach.play(
        {"ansible.builtin.raw": "true"}, look, {"ansible.builtin.assert": {"that": shown}}, arguments=("-vvvv",)
    )
    assert done.code == 0, done.text[-3000:]
    assert token not in done.text
    requests = {tuple(sorted(each["query"].items())) for each in reach.execs()}
    assert len(requests) == 1, "the request for a command is always the same"
    assert token not in str(requests)


def test_a_node_without_gnu_tools(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    lab = make_lab(LabSpec(nodes=(Node(FIRST),), shell="busybox"))  # noqa: S604 (the node's /bin/sh)
    lab.nodes[FIRST].busybox_tools()
    reach = Reach(lab, tmp_path)
    (tmp_path / "sent").write_bytes(os.urandom(3_000_001))
    results = reach.drive(
        ["exec", "printf out; exit 3"],
        ["put", str(tmp_path / "sent"), REMOTE],
        ["fetch", REMOTE, str(tmp_path / "back")],
    )
    assert results == [[3, "out", ""], None, None]
    assert (tmp_path / "back").read_bytes() == (tmp_path / "sent").read_bytes()


@pytest.mark.parametrize("node_has_one", [True, False])
def test_an_image_without_nsenter(make_lab: Callable[..., Lab], tmp_path: Path, node_has_one: bool) -> None:
    lab = make_lab(LabSpec(nodes=(Node(FIRST),)))
    if not node_has_one:
        lab.nodes[FIRST].run("mount --bind /dev/null $(readlink -f /usr/bin/nsenter)")
    reach = Reach(lab, tmp_path)
    lab.api.settings(kubelet={"images": {"*busybox*": "plain"}})
    listing = f"cat /etc/passwd; hostname; iptables -S | head -n 1; {NAMESPACES.replace('mnt ', '')}"
    (done,) = reach.drive(["exec", listing])
    expected = lab.nodes[FIRST].run(listing.replace("/self/", "/1/"))
    assert done == [0, expected.stdout, expected.stderr]
