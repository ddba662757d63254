# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The seven steps of the walk-through, each ending with a table of who reaches what."""

from __future__ import annotations

from collections.abc import Collection

from lab.access import Connection
from lab.lab import Lab

from .cluster import policy
from .kernel import differences, kernel_state
from .paths import SOURCE_POD, WEB_POD, Situation
from .playbooks import Run, playbook
from .report import Report
from .sights import look, rows

# The line of the ingress dispatch that leads the pod's traffic to its chain, by the comment that names the pod.
_TEAR = """
for tool in {tools}; do
    line=$($tool-save -t filter | grep '^-A NPM-INGRESS .*"{pod}"') || exit
    eval "$tool -D ${{line#-A }}" && echo "$tool -D ${{line#-A }}" || exit
done
"""

# Of a run's summary; the rest is the same after each step.
_TOLD = ("Nodes:", "Drift", "Pods:", "Policies:")


class Walk:
    """One walk through the steps on a lab that is up."""

    def __init__(self, lab: Lab, report: Report, connection: Connection = "ssh") -> None:
        self._lab = lab
        self._connection: Connection = connection
        self._report = report
        self._before = kernel_state(lab)

    def all_steps(self) -> None:
        """Raises :class:`lab.netns.LabError` where a run fails; what is only not as expected counts as a fault."""
        self.no_policy()
        self.deny_all_inbound()
        self.allow_go_webapp()
        self.allow_src_ip()
        self.same_again()
        self.torn_rule()
        self.removal()

    def no_policy(self) -> None:
        self._report.heading("Step 1: no policy")
        run = self._enforce()
        self._changed(run, self._lab.nodes, "every node gets the jump in FORWARD, and nothing is isolated")
        self._look(Situation.NO_POLICY)

    def deny_all_inbound(self) -> None:
        self._report.heading("Step 2: deny-all-inbound (podSelector {}, Ingress)")
        self._apply("deny-all-inbound")
        run = self._enforce()
        self._changed(run, self._lab.nodes, "every node isolates its pods")
        self._look(Situation.DENY_ALL)

    def allow_go_webapp(self) -> None:
        self._report.heading("Step 3: allow-go-webapp (port 8080, from: [])")
        self._apply("allow-go-webapp")
        run = self._enforce()
        self._changed(run, [self._node_of(WEB_POD)], "only go-webapp's node changes")
        self._look(Situation.WEB_ALLOWED)

    def allow_src_ip(self) -> None:
        self._report.heading("Step 4: allow-src-ip (port 8080, from podSelector app=busybox)")
        self._apply("allow-src-ip")
        run = self._enforce()
        self._changed(run, [self._node_of(SOURCE_POD)], "only src-ip-internal's node changes")
        self._look(Situation.SOURCE_ALLOWED)

    def same_again(self) -> None:
        self._report.heading("Step 5: the same run again")
        before = kernel_state(self._lab)
        run = self._enforce()
        self._changed(run, [], "no node reports a change")
        self._same(before, "no node's rules or sets have changed")
        self._look(Situation.SOURCE_ALLOWED)

    def torn_rule(self) -> None:
        self._report.heading("Step 6: a rule is torn out by hand")
        before = kernel_state(self._lab)
        node = self._node_of(SOURCE_POD)
        self._report.note(f"on {node}:")
        self._report.note(self._tear(node, SOURCE_POD))
        self._look(Situation.TORN)
        torn = kernel_state(self._lab)
        found = self._play("enforce.yml", "--check")
        self._changed(found, [node], "check mode finds it, on that node only")
        self._same(torn, "check mode has changed nothing")
        run = self._enforce()
        self._changed(run, [node], "the run heals that node")
        drift = run.section("Drift found and healed")
        self._report.check(f"{node}: " in drift and "NPM-INGRESS" in drift, "the run names what was torn", drift)
        self._same(before, "the nodes hold again what they held")
        self._look(Situation.SOURCE_ALLOWED)

    def removal(self) -> None:
        self._report.heading("Step 7: removal")
        run = self._play("remove.yml")
        self._changed(run, self._lab.nodes, "every node gives up what is ours")
        self._same(self._before, "rules and sets are byte for byte those from before step 1")
        self._look(Situation.NO_POLICY)

    def _apply(self, name: str) -> None:
        self._report.action(f"apply the policy {name}")
        self._lab.apply(policy(name))

    def _enforce(self) -> Run:
        return self._play("enforce.yml")

    def _play(self, name: str, *options: str) -> Run:
        self._report.action(" ".join(["ansible-playbook", f"playbooks/{name}", *options]))
        run = playbook(self._lab, self._connection, name, *options)
        for start in _TOLD:
            self._report.note(run.section(start))
        return run

    def _tear(self, node: str, pod: str) -> str:
        tools = {"ipv4": "iptables", "ipv6": "ip6tables"}
        script = _TEAR.format(pod=pod, tools=" ".join(tools[family] for family in self._lab.cluster.families))
        return self._lab.nodes[node].run(script).stdout

    def _look(self, situation: Situation) -> None:
        self._report.action("connections along every path")
        sights = look(self._lab, situation)
        self._report.table(rows(self._lab, sights, situation))
        strange = [sight for sight in sights if sight.strange]
        self._report.check(not strange, f"{len(sights) - len(strange)} of {len(sights)} paths are as expected")

    def _changed(self, run: Run, expected: Collection[str], claim: str) -> None:
        self._report.check(run.changed == set(expected), claim, f"changed: {', '.join(sorted(run.changed)) or 'none'}")

    def _same(self, before: dict[str, str], claim: str) -> None:
        different = differences(before, kernel_state(self._lab))
        self._report.check(not different, claim, different)

    def _node_of(self, pod: str) -> str:
        return self._lab.cluster.pods[pod].node
