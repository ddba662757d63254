#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: state
short_description: Keep in the cluster what each node holds, for runs of any controller
version_added: 0.1.0
description:
  - The role P(npm.netpol.enforce#role) uses it, with C(npm_state_configmap), so that C(npm_scope) V(changed) works
    where the controller is a new container each time. A play of one's own needs it only where it uses the other
    modules in place of the role.
  - A run begins by taking the records of the nodes that it will visit out of the ConfigMap, with a mark of its own in
    their place, and ends by putting back what its visits have left. A run that dies leaves no record of a node that it
    may have changed, unless the ConfigMap could not be written when it began, of which it warns. Where nothing is to be
    visited, nothing is written.
  - Runs over different nodes, as slices of a job are, do no harm to each other. Of two runs at once over the same node
    neither leaves a record of it.
  - Runs on the controller, once a run.
requirements:
  - kubernetes >= 28.1 on the controller, in Ansible's own interpreter
options:
  step:
    description:
      - V(begin) comes after M(npm.netpol.compile) and before the first M(npm.netpol.ruleset), whose C(state_dir) is
        then RV(directory).
      - V(end) comes after the last one, also where some have failed.
    type: str
    choices: [begin, end]
    required: true
  state_configmap:
    description:
      - The ConfigMap, as C(NAMESPACE/NAME). The same as for M(npm.netpol.snapshot), whose state it may hold as well.
      - If the ConfigMaps cannot be read or written, you are warned, and nodes are visited that need not be. Only where
        records that are no longer true may stay there, V(end) fails, after the nodes have been brought to what they
        shall hold.
      - In check mode nothing is written.
    type: str
    required: true
  state_dir:
    description:
      - A directory in which runs without a ConfigMap have noted what each node holds. What it knows of the nodes that
        are visited is removed, since it is about to become untrue.
    type: path
  run:
    description:
      - The directory of this run, as M(npm.netpol.compile) returns it. Without it all of O(hosts) are visited, to
        remove what they hold.
    type: path
  hosts:
    description:
      - The hosts of the run. C(npm_node_name) of a host is its name in Kubernetes, where that is another. It must be a
        variable of the host or an extra variable; one of a play or a role is not seen here.
    type: list
    elements: str
    default: []
  same_for_all:
    description:
      - Names of variables that must be the same for all hosts of the play, as of M(npm.netpol.compile).
    type: list
    elements: str
    default: []
  scope:
    description:
      - What M(npm.netpol.ruleset) will be given for a host that has no variable C(npm_scope) of its own. With
        V(changed) a node is left out that is to hold what it was last given; with V(all) each one is visited.
    type: str
    choices: [all, changed]
    default: all
  variant:
    description: The same for C(npm_variant).
    type: str
    choices: [auto, nft, legacy]
    default: auto
  hook:
    description: The same for C(npm_hook).
    type: str
    choices: [first, after_kube_services]
    default: first
  accept:
    description: The same for C(npm_accept).
    type: bool
    default: false
  datapath_check:
    description: The same for C(npm_datapath_check).
    type: bool
    default: true
  page_size:
    description: Of no effect. It is an option so that C(npm_kubernetes) may have it.
    type: int
  retries:
    description: How often to repeat a request that failed in passing, as for M(npm.netpol.snapshot).
    type: int
    default: 4
  timeout:
    description: How long to wait for the network each time, in seconds.
    type: float
    default: 30.0
extends_documentation_fragment:
  - npm.netpol.kubernetes_auth
  - npm.netpol.attributes
  - npm.netpol.attributes.action_group
attributes:
  check_mode:
    support: full
    details: >-
      The ConfigMaps are no more than notes, so that writing them is no change. In check mode they are not written.
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
- name: Say which nodes are visited
  npm.netpol.state:
    step: begin
    state_configmap: npm-netpol-state/production
    run: "{{ npm_run.run.directory }}"
    hosts: "{{ ansible_play_hosts_all }}"
    scope: changed
  run_once: true
  delegate_to: localhost
  register: npm_state

- name: Visit the nodes of which something else is wanted than the last time
  npm.netpol.ruleset:
    run: "{{ npm_run.run.directory }}"
    scope: changed
    state_dir: "{{ npm_state.directory }}"

- name: Say what they hold now
  npm.netpol.state:
    step: end
    state_configmap: npm-netpol-state/production
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
directory:
  description: A directory of this run, which goes when the run ends, for O(npm.netpol.ruleset#module:state_dir).
  type: str
  returned: with O(step=begin)
left_out:
  description: How many nodes are not visited.
  type: int
  returned: with O(step=begin)
  sample: 97
requests:
  description: How many requests were sent to the API, retries included.
  type: int
  returned: success
"""
