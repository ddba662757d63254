# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load the rendered text with a release's own programs, and record how they save it.

As root, from the repository's top: ``python tests/unit/netfilter/recorded/record.py [ROOT…]`` where each ROOT is
what ``fetch.sh`` has unpacked (``/`` is this machine). With no ROOT only the rendered text is written.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[3] / "collections"), str(HERE.parents[2])]

from ansible_collections.npm.netpol.plugins.plugin_utils.netfilter.render import render  # noqa: E402 - needs the path
from unit.render.examples import ONE_OF_EVERYTHING, environment  # noqa: E402 - needs the path

FAMILIES = {"iptables": "inet", "ip6tables": "inet6"}
# What users' own templates may write, and what others have in FORWARD.
EXTRA = {
    "iptables": """
:NPM-I-SPELLING - [0:0]
:OTHER - [0:0]
-A NPM-I-SPELLING -d 10.1.0.5 ! -s 10.1.0.5 -p tcp --dport 0:65535 -j RETURN
-A NPM-I-SPELLING ! -d 10.1.0.5/32 -s 10.1.0.5/32 -p udp -m udp --dport 5000:5000 -j RETURN
-A NPM-I-SPELLING -s 0.0.0.0/0 -d 10.1.0.77/24 -p 6 -m tcp --dport 80:81 -j DROP
-A NPM-I-SPELLING -p udp --dport 1000: -m comment --comment word -j DROP
-A NPM-I-SPELLING -m conntrack --ctstate NEW -m limit --limit 5/min -j LOG --log-prefix "denied: "
-A NPM-I-SPELLING -p sctp -j RETURN
-A NPM-I-SPELLING -p icmp -j RETURN
-A FORWARD -j NPM-FORWARD
-A FORWARD -i azv+ -m comment --comment "it's \\"quoted\\"" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A FORWARD -d 168.63.129.16/32 -p tcp -m tcp --dport 80 -j DROP
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j OTHER
""",
    "ip6tables": """
:NPM-I-SPELLING - [0:0]
:OTHER - [0:0]
-A NPM-I-SPELLING -d FD00:10:1:0::5 ! -s fd00:10:1::5 -p tcp --dport 0:65535 -j RETURN
-A NPM-I-SPELLING -s ::/0 -d fd00:10:1::77/64 -p tcp -m tcp --dport 80:81 -j DROP
-A NPM-I-SPELLING -p icmpv6 -j RETURN
-A FORWARD -j NPM-FORWARD
-A FORWARD -m mark --mark 0x4000/0x4000 -j OTHER
""",
}
EXTRA_SETS = """
create npm-4-spelling hash:net family inet maxelem 131072
add npm-4-spelling 10.7.0.1/32
add npm-4-spelling 10.8.0.0/31
create npm-6-spelling hash:net family inet6 maxelem 65536
add npm-6-spelling FD00:0:0:0::1/128
add npm-6-spelling fd00:0:0:7::/64
create npm-6-nobody hash:ip family inet6 maxelem 65536
"""


def wanted() -> dict[str, str]:
    rendered = render(ONE_OF_EVERYTHING, environment())
    texts = {"ipset": rendered.ipset + EXTRA_SETS.lstrip()}
    for tool, text in (("iptables", rendered.iptables), ("ip6tables", rendered.ip6tables)):
        chains, commit, _ = text.rpartition("COMMIT")
        texts[tool] = f"{chains}{EXTRA[tool].lstrip()}{commit}\n"
    return texts


def record(root: Path, texts: dict[str, str]) -> None:
    (root / "run").mkdir(exist_ok=True)
    sets_version = _version(root, "ipset", "-v")
    _write(f"ipset-{sets_version}", _in_namespace(root, texts["ipset"], "ipset restore", "ipset save"))
    for tool in FAMILIES:
        for variant in ("nft", "legacy"):
            program = f"{tool}-{variant}"
            version = _version(root, program, "-V")
            # This machine's ipset loads the sets: the rules only name them.
            saved = _in_namespace(
                root,
                texts[tool],
                f"{program}-restore --noflush",
                f"{program}-save -t filter",
                before=texts["ipset"],
            )
            _write(f"{program}-{version}", saved)


def _in_namespace(root: Path, text: str, load: str, save: str, before: str = "") -> str:
    script = f'ipset restore <"$1" && chroot {root} /usr/sbin/{load} <"$2" && chroot {root} /usr/sbin/{save}'
    sets, rules = HERE / "sets.tmp", HERE / "text.tmp"
    try:
        sets.write_text(before)
        rules.write_text(text)
        command = ["unshare", "--net", "--mount", "sh", "-c", script, "-", str(sets), str(rules)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        sets.unlink()
        rules.unlink()


def _version(root: Path, program: str, option: str) -> str:
    said = subprocess.run(
        ["chroot", str(root), f"/usr/sbin/{program}", option], check=True, capture_output=True, text=True
    )
    match = re.search(r"v([0-9.]+)", said.stdout)
    if not match:
        raise SystemExit(f"{program} does not tell its version: {said.stdout}")
    return match[1]


def _write(name: str, text: str) -> None:
    # Counters, dates and random seeds would differ at each recording.
    kept = [
        re.sub(r" \[\d+:\d+\]$", " [0:0]", line) for line in text.splitlines() if not re.match(r"# (Gen|Comp)", line)
    ]
    kept = [re.sub(r" initval 0x[0-9a-f]+", " initval 0x0badcafe", line) for line in kept]
    (HERE / f"{name}.txt").write_text("".join(f"{line}\n" for line in kept))


if __name__ == "__main__":
    rendered_texts = wanted()
    for each, rendered_text in rendered_texts.items():
        (HERE / f"rendered-{each}.txt").write_text(rendered_text)
    for directory in sys.argv[1:]:
        record(Path(directory), rendered_texts)
