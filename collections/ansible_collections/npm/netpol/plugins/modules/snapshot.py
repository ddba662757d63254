#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin of the same name, which does the work."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot
short_description: Read a Kubernetes cluster once, into a file that all later steps work from
version_added: 0.1.0
description:
  - Reads namespaces, pods, nodes, Services and last the NetworkPolicies (and ClusterNetworkPolicies, where the API
    serves them), keeps what enforcement needs and writes it to a file on the controller, with mode 0600.
  - Every list is read in pages and is consistent in itself. What fails in passing is tried again. A list that cannot be
    completed fails the task, so that no node is ever given a part of the policies.
  - Can read manifests in place of an API (O(src)), to look at policies offline.
  - An object that is malformed never opens anything. RV(problems) names it, the field, and what was done about it.
  - Runs on the controller, changes nothing in the cluster but the ConfigMaps of O(state_configmap), and needs no more
    than the rights to list these resources (with a state, to get C(kube-system) and to watch them, too), which
    C(docs/rbac.yaml) of the collection grants.
requirements:
  - kubernetes >= 28.1 on the controller, in Ansible's own interpreter; not for O(src)
options:
  src:
    description:
      - Files, and directories with C(.yaml), C(.yml) and C(.json) files at any depth, to read in place of an API. What
        C(kubectl get -o yaml) prints, files of several documents, and what people apply, are all fine.
      - An object without a namespace is in C(default). A namespace that only appears in objects is taken to have no
        label but its name's. Kinds that enforcement does not need are counted in RV(ignored).
      - The options for the API are then of no effect.
    type: list
    elements: path
  path:
    description:
      - Where to put a copy of RV(path), to keep it. A file that is there is replaced, whole or not at all.
    type: path
  state_dir:
    description:
      - A directory that lasts from run to run, on the controller. What was read is kept in it, below the UID of the
        namespace C(kube-system) and with mode 0600, and the next run fetches only what has changed since, by short
        watches. The snapshot is to the byte what reading everything would give.
      - A resource of less than O(page_size) objects is listed by one request, and where that is so of each, nothing is
        kept.
      - Whatever leaves a doubt makes the run list a resource, or all of them, as it does without this option, and
        RV(reason) says why. That is so when nothing is kept yet (a job runner whose container is new each time), when
        what is kept is damaged, of another cluster or of another version of the collection, when the API has forgotten
        the history since, or when the identity may not watch.
      - If the directory cannot be written, you are warned, and the run goes on.
      - No effect with O(src).
    type: path
  state_configmap:
    description:
      - A ConfigMap of the cluster, as C(NAMESPACE/NAME), in which what was read is kept for the next run, so that it
        need not be on the same controller, as with a job runner whose container is new each time. It works like
        O(state_dir). With both, the directory is a copy, which is used as long as it is the same.
      - The ConfigMap says what there is; parts of less than 1 MiB are in others, whose names begin with its. All of
        them have the label C(npm.netpol/state) with the value C(NAME). They are written when something was listed or
        has changed that takes more than a page.
      - The namespace must be there. C(docs/state-rbac.yaml) of the collection makes it, with the rights that are
        needed. Whoever may write there decides what runs take the cluster for.
      - If the ConfigMaps cannot be read or written, you are warned, and the run goes on. In check mode nothing is
        written.
      - No effect with O(src).
    type: str
  page_size:
    description:
      - How many objects to ask for at once. If a list expires before its last page is read, it is read again from the
        start with pages of twice the size.
    type: int
    default: 500
  retries:
    description:
      - How often to repeat a request that failed in passing. That is a broken connection, an answer that was cut, and
        the statuses 429, 500, 502, 503 and 504. Each request of the run has as many repetitions for itself.
      - The time between doubles from half a second to 8 seconds, and is longer if the API asks for that, up to a
        minute. So the default bears with an API for some 8 seconds, V(10) for about a minute.
    type: int
    default: 4
  timeout:
    description: How long to wait for the network each time, in seconds. For a connection it is 10 at the most.
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
      Nothing is changed but the files on the controller, which are written in check mode too, and the ConfigMaps of
      O(state_configmap), which are not. As they are no more than notes, writing them is no change either.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - The messages of failures, and what to do about them, are in C(docs/errors.md) of the collection.
seealso:
  - module: npm.netpol.compile
  - module: npm.netpol.ruleset
author:
  - npm.netpol maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Read the cluster of the current context
  npm.netpol.snapshot:
  run_once: true
  delegate_to: localhost
  register: npm_snapshot

- name: Read an AKS cluster through its kubeconfig, and keep the snapshot
  npm.netpol.snapshot:
    kubeconfig: ~/.kube/aks-production
    context: aks-production
    path: ~/.local/state/npm-netpol/snapshot.json
  run_once: true
  delegate_to: localhost

- name: Read only what has changed since the last run
  npm.netpol.snapshot:
    state_dir: ~/.local/state/npm-netpol
  run_once: true
  delegate_to: localhost

- name: Read only what has changed since the last run of any controller
  npm.netpol.snapshot:
    state_configmap: npm-netpol-state/production
  run_once: true
  delegate_to: localhost

- name: Read with a token, for example of the service account in docs/rbac.yaml
  npm.netpol.snapshot:
    host: https://aks-production-12345678.hcp.westeurope.azmk8s.io:443
    api_key: "{{ vault_netpol_token }}"
    ca_cert: /etc/npm/aks-production.pem
  run_once: true
  delegate_to: localhost

- name: Look at manifests without a cluster
  npm.netpol.snapshot:
    src:
      - cluster.yaml
      - policies/
  delegate_to: localhost
"""

RETURN = r"""
path:
  description:
    - The file of this run alone, below Ansible's own temporary directory of the controller. It is removed when the run
      ends.
  type: str
  returned: success
  sample: /home/awx/.ansible/tmp/ansible-local-1xyz/npm-netpol-abc/snapshot.json
id:
  description: SHA-256 of the snapshot. The same state of the cluster gives the same id.
  type: str
  returned: success
cluster_uid:
  description: UID of the namespace C(kube-system), which identifies the cluster. Empty when manifests do not have it.
  type: str
  returned: success
resource_version:
  description: The highest resourceVersion of the lists, which orders snapshots of one cluster. 0 for manifests.
  type: int
  returned: success
  sample: 4711
counts:
  description:
    - How many objects the snapshot has of each kind (C(namespaces), C(pods), C(nodes), C(services),
      C(network_policies), C(cluster_network_policies)), and how many C(problems).
  type: dict
  returned: success
requests:
  description: How many requests were sent to the API, retries included.
  type: int
  returned: success
mode:
  description:
    - V(incremental) where at least one resource was brought to the present by its changes, V(full) where all were
      listed.
  type: str
  returned: with O(state_dir) or O(state_configmap)
  sample: incremental
reason:
  description: Why the cluster, or the resources that it names, were listed in full. Empty when none was.
  type: str
  returned: with O(state_dir) or O(state_configmap)
  sample: "pods: the API ended the watch: 410 too old resource version: 4711 (5000)"
events:
  description: How many changes were fetched.
  type: int
  returned: with O(state_dir) or O(state_configmap)
  sample: 12
ignored:
  description: Objects in manifests of kinds that enforcement does not need, by apiVersion and kind.
  type: dict
  returned: success
  sample: {"apps/v1 Deployment": 3}
problems:
  description:
    - What is wrong with objects and what is done about it, the first 100. The file has all of them, and RV(counts) says
      how many they are.
  type: list
  elements: str
  returned: success
  sample:
    - "Pod shop/web: status.podIP: '10.0' is not an IP address of a host (this address is neither enforced nor allowed)"
"""
