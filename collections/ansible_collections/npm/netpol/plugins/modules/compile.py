#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compile
short_description: Compile a snapshot into the ipset and iptables files of every node
version_added: 0.1.0
description:
  - Works out what each node must enforce, for the pods that it hosts, and renders it through the templates of the role
    P(npm.netpol.enforce#role) into a directory of the controller, from which M(npm.netpol.ruleset) takes it.
  - An object that the API would have rejected, and a field that is not known here, never opens anything. What it
    selects stays isolated, and RV(problems) names the object and the field.
  - Fails, before any node is touched, when a policy cuts off a protected namespace or a lifeline in it, when a
    template is wrong, and when hosts differ in a variable that counts for all (O(same_for_all)).
  - Runs on the controller and connects to nothing. The same snapshot gives the same files, byte for byte.
requirements:
  - netaddr >= 1.3 (Python library, on the controller)
options:
  snapshot:
    description: The file that M(npm.netpol.snapshot) wrote.
    type: path
    required: true
  nodes:
    description:
      - Kubernetes names of the nodes to compile for.
      - The default is every Linux node of the snapshot.
      - Those among them that are not in the snapshot, run Windows or are virtual get no files. M(npm.netpol.ruleset)
        skips them, or fails on those that the cluster doesn't know.
    type: list
    elements: str
  inventory:
    description:
      - Kubernetes names of all nodes of the inventory, whatever the limit of this run.
      - Without it RV(nodes_missing_in_inventory) and RV(inventory_without_node) stay empty.
    type: list
    elements: str
  always_allowed_sources:
    description:
      - Networks in CIDR notation whose connections to pods behind a NodePort or LoadBalancer Service are let in,
        whatever the policies say. For the health probes of a cloud's load balancer.
    type: list
    elements: str
    default: []
  protected_namespaces:
    description:
      - Namespaces in which a policy that isolates all pods, with nothing allowed, stops the run. So does one that
        isolates all pods of a lifeline there, which are C(konnectivity-agent) (for egress) and CoreDNS.
      - The annotation C(netpol.npm/allow-in-protected-namespace) with the value C("true") lifts that for one policy.
    type: list
    elements: str
    default: [kube-system, npm-netpol-nodes]
  template_path:
    description:
      - Directories that are searched for C(ipset.j2) and C(iptables.j2) before the role's templates. A template in one
        of them can extend the role's, as C(enforce/iptables.j2).
    type: list
    elements: path
    default: []
  directory:
    description:
      - Where to put a copy of RV(run.directory), to look at it later. A run of before is replaced; a directory that
        holds anything else is refused. A copy that has a C(run.json) is whole.
    type: path
  same_for_all:
    description:
      - Names of variables that must be the same for all hosts of the play, because this task is run for one of them and
        its values count for all. Where hosts differ in one, the task fails and names it and two of them.
      - Compared is what the inventory, facts and extra variables say, as it is written there, templates unread. A host
        for which a variable is not set differs from one for which it is.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - npm.netpol.attributes
attributes:
  check_mode:
    support: full
    details: Nothing is changed outside of the controller's directory, in check mode and without it.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - The messages of failures, and what to do about them, are in C(docs/errors.md) of the collection.
seealso:
  - module: npm.netpol.snapshot
  - module: npm.netpol.ruleset
author:
  - npm.netpol maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Compile for all nodes
  npm.netpol.compile:
    snapshot: "{{ npm_snapshot.path }}"
  run_once: true
  delegate_to: localhost
  register: npm_run

- name: See what one node would be given, offline
  npm.netpol.compile:
    snapshot: snapshot.json
    nodes: [aks-nodepool1-12345678-vmss000000]
    directory: compiled
  delegate_to: localhost
"""

RETURN = r"""
run:
  description: What M(npm.netpol.ruleset) needs to know of this run.
  returned: success
  type: dict
  contains:
    directory:
      description:
        - The directory of this run alone, below Ansible's own temporary directory of the controller. It is removed when
          the run ends. C(nodes/) in it has a file for each node, C(sets.restore) the sets of them all.
        - With each node is which machine it is and which start of it, as far as the snapshot knows, by which
          M(npm.netpol.ruleset) tells whether the node has changed since an earlier run.
      type: str
    snapshot:
      description: The id of the snapshot, a SHA-256 of its content.
      type: str
    cluster:
      description: The UID of the cluster's namespace C(kube-system). Empty when it is not known.
      type: str
    resource_version:
      description: The highest resourceVersion of the snapshot's lists, by which runs are ordered.
      type: int
counts:
  description: Numbers for a summary.
  returned: success
  type: dict
  contains:
    nodes:
      description: Nodes that files were written for.
      type: int
    nodes_left_out:
      description: Nodes of O(nodes) that got no files.
      type: int
    pods:
      description: Pods with an address of their own.
      type: int
    pods_isolated_ingress:
      description: Those that some policy isolates for ingress.
      type: int
    pods_isolated_egress:
      description: Those that some policy isolates for egress.
      type: int
    policies_enforced:
      description: Policies that are enforced as they are written.
      type: int
    policies_refused:
      description: Policies that isolate what they select, but don't allow all that they say.
      type: int
    problems:
      description: Length of RV(problems) before it was cut.
      type: int
    exposed_services:
      description: Length of RV(exposed_services) before it was cut.
      type: int
    nodes_missing_in_inventory:
      description: Length of RV(nodes_missing_in_inventory) before it was cut.
      type: int
    inventory_without_node:
      description: Length of RV(inventory_without_node) before it was cut.
      type: int
    windows_nodes:
      description: Length of RV(windows_nodes) before it was cut.
      type: int
    virtual_nodes:
      description: Length of RV(virtual_nodes) before it was cut.
      type: int
problems:
  description: Objects and fields that are refused, with the reason and what is done about it. At most 100.
  returned: success
  type: list
  elements: str
  sample:
    - >-
      NetworkPolicy shop/allow-web: spec.ingress[0].from[1].ipBlock.cidr: '10.0.0.0/33' has no prefix length of 0 to 32
      (this peer matches nothing)
exposed_services:
  description:
    - NodePort and LoadBalancer Services with C(externalTrafficPolicy=Cluster) whose backends are isolated for ingress.
      At most 100.
  returned: success
  type: list
  elements: str
nodes_missing_in_inventory:
  description: Linux nodes that the cluster has and the inventory doesn't. Nobody enforces for their pods. At most 100.
  returned: success
  type: list
  elements: str
inventory_without_node:
  description: Nodes of the inventory that the cluster doesn't know. At most 100.
  returned: success
  type: list
  elements: str
windows_nodes:
  description: Windows nodes of the cluster, which are left out. At most 100.
  returned: success
  type: list
  elements: str
virtual_nodes:
  description: Nodes without a kernel of their own, which are left out. At most 100.
  returned: success
  type: list
  elements: str
protected:
  description: The policies that stopped the run. At most 100.
  returned: when a policy cuts off a protected namespace or a lifeline in it
  type: list
  elements: str
"""
