#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ruleset
short_description: Bring a node's ipset and iptables to what its network policies ask for
version_added: 0.1.0
description:
  - Compares what the node's kernel holds of ours with what M(npm.netpol.compile) rendered for it, and applies the
    difference. A connection that is allowed before and after never fails on the way, one that is denied before and
    after never passes.
  - It judges a node by the kernel's own state each time, never by a remembered file alone. A rule or a member that
    somebody added, removed, edited or moved is found, named and put right. Only with O(scope=changed) it leaves nodes
    out by what it remembers.
  - A machine whose boot ID is not the one that the cluster knows of the node (C(status.nodeInfo.bootID)) is another
    one, or has booted since. Nothing is changed on it, and the host fails. Removal does not ask.
  - A node that is in sync costs one exchange, one that is not costs two. What fails leaves the last good rules in
    force.
  - Runs on the controller and reaches the node through its connection. The node needs a POSIX shell, coreutils, grep,
    sed, gzip, util-linux, ipset and iptables, and no Python.
  - Only chains that begin with C(NPM-), sets that begin with C(npm-4-) or C(npm-6-) and our own jump in the chain
    C(FORWARD) are ever touched.
requirements:
  - a connection that carries standard input (C(ssh), C(local) and others that support pipelining), and root through
    C(sudo) or directly
options:
  state:
    description:
      - V(present) brings the node to what RV(npm.netpol.compile#module:run) holds for it.
      - V(absent) removes all that is ours, of both iptables variants and both address families.
    type: str
    choices: [present, absent]
    default: present
  run:
    description:
      - The directory of this run, as M(npm.netpol.compile) returns it.
      - Required when O(state=present).
    type: path
  node:
    description: The name that the node has in Kubernetes. The default is the name of the host in the inventory.
    type: str
  variant:
    description:
      - The iptables variant to enforce with.
      - V(auto) takes the one in which the kubelet and kube-proxy keep their chains, else the one that has rules, else
        the default of the C(iptables) program. It refuses to guess when both variants carry those chains.
      - What the other variant still holds of ours is removed, after the rules of this one are in force.
    type: str
    choices: [auto, nft, legacy]
    default: auto
  hook:
    description:
      - Where in C(FORWARD) the jump to our chains stands.
      - V(first) puts it before everything that could accept a packet. A foreign rule above it that only drops is left
        alone.
      - V(after_kube_services) is the place that Azure NPM takes by default, behind kube-proxy's chains. NodePort and
        LoadBalancer traffic that kube-proxy has marked then passes every ingress policy.
    type: str
    choices: [first, after_kube_services]
    default: first
  accept:
    description:
      - Add a jump at the very end of C(FORWARD) that accepts what no rule before it has decided.
      - For nodes whose C(FORWARD) policy is C(DROP) and where nothing accepts pod traffic.
    type: bool
    default: false
  datapath_check:
    description:
      - Fail on a node whose pod traffic does not pass C(FORWARD), where rules would enforce nothing (kube-proxy in IPVS
        mode, a Cilium datapath, bridged pods without C(br_netfilter)).
    type: bool
    default: true
  allow_older:
    description: Let an older snapshot take the place of a newer one, to go back.
    type: bool
    default: false
  allow_other_cluster:
    description: Take over a node that enforces the policies of another cluster.
    type: bool
    default: false
  lock_timeout:
    description: How many seconds to wait for another run on the same node, and for another user of iptables.
    type: int
    default: 60
  diff_limit:
    description: How many lines of each address family a diff shows at the most. The rest is counted.
    type: int
    default: 200
  template_path:
    description:
      - Directories that are searched for templates before the role's own. Here for the scripts that run on the node;
        those of the rules are rendered by M(npm.netpol.compile).
    type: list
    elements: path
    default: []
  scope:
    description:
      - V(all) visits every node.
      - V(changed) leaves out a node, without a connection to it, when the last run that visited it with the same
        O(state_dir) was successful and wanted the same of it. The same must be what is rendered for it, O(variant),
        O(hook), O(accept) and O(datapath_check), the machine (C(metadata.uid)), and the start of it
        (C(status.nodeInfo.bootID)), and this collection's code. A node that is not known counts as changed.
      - What anybody did to the rules of a node that is left out is not seen. Run with V(all) too, from time to time.
      - Has no meaning when O(state=absent).
    type: str
    choices: [all, changed]
    default: all
  state_dir:
    description:
      - A directory of the controller in which runs note what each node holds, a file for each. It is made when it is
        not there. Without it nothing is noted. M(npm.netpol.state) makes one for a single run, from what the cluster
        knows.
      - Every run that changes these nodes must have the same one, that with O(state=absent) too. Of two runs with the
        same, the second waits at a node for the first, for O(lock_timeout) seconds.
      - Required when O(scope=changed).
    type: path
extends_documentation_fragment:
  - npm.netpol.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - The messages of failures, and what to do about them, are in C(docs/errors.md) of the collection.
seealso:
  - module: npm.netpol.compile
  - module: npm.netpol.snapshot
author:
  - npm.netpol maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Enforce what this run has compiled
  npm.netpol.ruleset:
    run: "{{ npm_run.run.directory }}"

- name: Enforce with an iptables variant of our choice
  npm.netpol.ruleset:
    run: "{{ npm_run.run.directory }}"
    variant: legacy

- name: Visit only the nodes of which something else is wanted than the last time
  npm.netpol.ruleset:
    run: "{{ npm_run.run.directory }}"
    scope: changed
    state_dir: /var/lib/npm-netpol

- name: Remove everything that is ours
  npm.netpol.ruleset:
    state: absent
"""

RETURN = r"""
node:
  description: The name that the node has in Kubernetes.
  returned: always
  type: str
  sample: aks-nodepool1-12345678-vmss000000
verified:
  description:
    - Whether the node itself was asked. V(false) for one that O(scope=changed) left out, of which nothing else than
      RV(node) and RV(msg) is returned.
  returned: success
  type: bool
msg:
  description: Why the node was not visited, or why it failed.
  returned: when the node was left out or failed
  type: str
  sample: "left out: unchanged since its last run"
in_sync:
  description: Whether the node held all of it before. Then it took one exchange, and the kernel was left as it is.
  returned: when the node was visited
  type: bool
variant:
  description: The iptables variant, V(nft) or V(legacy).
  returned: when the node could be looked at
  type: str
  sample: nft
drift:
  description: What differed from what was last put there, although nothing new was to be enforced. A line each.
  returned: when the node was visited
  type: list
  elements: str
  sample: ["IPv4: our jump in FORWARD is missing"]
changes:
  description: What was, or in check mode would be, put right. A line each.
  returned: when the node was visited
  type: list
  elements: str
  sample: ["IPv4: set npm-4-q3xk5n2v7c4m6wjdzr5t (shop/allow-web): 2 members missing"]
counts:
  description: How much the node holds of ours, both address families together.
  returned: when the node was visited
  type: dict
  contains:
    sets:
      description: Number of sets.
      type: int
    members:
      description: Number of members of all sets.
      type: int
    rules:
      description: Number of rules.
      type: int
  sample: {sets: 12, members: 340, rules: 96}
exchanges:
  description: How many scripts were sent to the node.
  returned: when the node was visited
  type: int
  sample: 1
bytes_sent:
  description: Bytes sent to the node, as they go over the connection before its own compression.
  returned: when the node was visited
  type: int
  sample: 2161
bytes_received:
  description: Bytes that came back.
  returned: when the node was visited
  type: int
  sample: 470
durations:
  description: Seconds spent in each phase (C(check), C(read), C(compare), C(apply)).
  returned: when the node was visited
  type: dict
  sample: {check: 0.041}
snapshot:
  description: The id of the snapshot that the node enforces now.
  returned: when O(state=present) and the node converged, or would in check mode
  type: str
  sample: 4f5c0d9b1e2a...
"""
