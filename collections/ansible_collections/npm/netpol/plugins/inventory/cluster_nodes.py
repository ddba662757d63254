# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nodes of a Kubernetes cluster as an inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_nodes
short_description: The nodes of a Kubernetes cluster, read from its API
version_added: 0.1.0
description:
  - Reads the nodes of a cluster, as one list in pages, and nothing else. A host is named as Kubernetes names the node.
  - The group C(npm_nodes), which the collection's playbooks run on, has the nodes that network policies can be enforced
    on. These are the Linux nodes that a kubelet reports on.
  - What is left out is never silently missing. Windows nodes, virtual nodes (virtual-kubelet), and nodes on which no
    kubelet has reported yet are hosts in the group C(npm_left_out), with the reason in the variable
    C(npm_node_left_out), and each time the inventory is read they are named on standard error. No playbook of the
    collection touches that group.
  - A kubelet reports on a node when C(status.nodeInfo.kubeletVersion) and the condition C(Ready) are set and the
    condition's reason is not C(NodeStatusNeverUpdated). A node whose kubelet has stopped reporting (C(Ready) is
    C(Unknown)), one that is not ready, and one that is cordoned stay members. Their kernels may still pass traffic, and
    a run has to tell if it can't reach them.
  - Every host is also in C(npm_pool_POOL) (label C(kubernetes.azure.com/agentpool), else C(agentpool)),
    C(npm_zone_ZONE) (label C(topology.kubernetes.io/zone); AKS gives V(0) to a node without a zone), C(npm_os_OS),
    C(npm_arch_ARCHITECTURE), and C(npm_ready) or C(npm_not_ready). A group whose value is unknown is left away. What a
    group's name can't hold becomes C(_).
  - The variables of a host are C(ansible_host) and, all with the prefix C(npm_node_), C(uid), C(boot_id), C(labels),
    C(pool), C(zone), C(os), C(os_sku), C(os_image), C(kernel_version), C(architecture), C(kubelet_version),
    C(container_runtime), C(ready) (a boolean), C(ready_reason), C(unschedulable), C(virtual), C(pod_cidrs),
    C(addresses) (a list of C(type) and C(address)) and C(left_out). What is unknown is an empty string.
  - What the API says is data, whatever is in it. It is marked so that Ansible never takes it for a template, an address
    that is none is never used, and a label can't bring a host into C(npm_nodes) or C(npm_left_out).
requirements:
  - kubernetes >= 28.1 on the controller, in Ansible's own interpreter
options:
  plugin:
    description:
      - Says that a file is this plugin's. Its name must end in C(cluster_nodes.yml) or C(cluster_nodes.yaml).
    type: str
    required: true
    choices: [npm.netpol.cluster_nodes]
  label_selectors:
    description:
      - Only nodes with these labels, as the API's C(labelSelector) has it. All of them must hold.
      - Nodes that are not selected are unknown to the inventory, and each run reports them as nodes that it lacks.
    type: list
    elements: str
    default: []
  field_selectors:
    description: Only nodes with these fields, as the API's C(fieldSelector) has it. All of them must hold.
    type: list
    elements: str
    default: []
  address_types:
    description:
      - Which address of a node becomes C(ansible_host), by its type in C(status.addresses), in the order of preference.
      - A node that has none of these is reached by its name, with a warning (an error with O(strict)). It is not left
        out, since then nobody would enforce for its pods.
      - An address on which the controller would meet itself, such as 127.0.0.1, is never used.
    type: list
    elements: str
    choices: [InternalIP, ExternalIP, Hostname, InternalDNS, ExternalDNS]
    default: [InternalIP]
  address_family:
    description: Which IP addresses count. Of several, V(any) takes the first, which is of the cluster's first family.
    type: str
    choices: [any, ipv4, ipv6]
    default: any
  page_size:
    description:
      - How many nodes to ask for at once. If the list expires before its last page is read, it is read again from the
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
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
notes:
  - Needs the right to list nodes, which C(docs/rbac.yaml) of the collection grants.
  - Values of this file are no templates. Keep secrets out of it, in C(K8S_AUTH_*) variables, or encrypt them with
    C(!vault). The module M(npm.netpol.snapshot) reads the same variables, so that set there they serve both.
  - If this file can't be read, Ansible warns and goes on with no hosts, so that a playbook does nothing and ends well.
    Set C(any_unparsed_is_failed) in the section C([inventory]) of C(ansible.cfg), as the collection's repository does.
  - With O(cache), nodes are kept by the API's address and the selectors, without anything about who asked. A run reads
    the cluster's state afresh from the API whatever is kept here, and reports the nodes that the inventory lacks.
  - A run reads the nodes a second time, with the pods and policies, and can't use the list of the inventory in its
    place. It was read before the pods, maybe long before, and it is what a run compares with the API to find the nodes
    that the inventory lacks. Nothing else is read twice, and with O(cache) the inventory needs no request.
  - Whoever may label a node decides about the groups of O(keyed_groups) and O(groups) that it is in. Two values that
    only differ in characters that a group's name can't hold would make one group. You are warned then, and with
    O(strict) it is an error.
author:
  - npm.netpol maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
# inventories/aks/cluster_nodes.yml: the cluster that the environment names (K8S_AUTH_HOST and K8S_AUTH_API_KEY, or
# K8S_AUTH_KUBECONFIG, or ~/.kube/config)
plugin: npm.netpol.cluster_nodes

---
# A context of a kubeconfig, two pools of it, and groups of one's own
plugin: npm.netpol.cluster_nodes
kubeconfig: ~/.kube/aks-production
context: aks-production
label_selectors:
  - kubernetes.azure.com/agentpool in (web,batch)
keyed_groups:
  - key: npm_node_labels['topology.kubernetes.io/region']
    prefix: region
groups:
  azure_linux: npm_node_os_sku == 'AzureLinux'
compose:
  npm_variant: "'nft'"
strict: true

---
# Reached from outside by public addresses, IPv6 only; an hour's cache in a directory
plugin: npm.netpol.cluster_nodes
address_types: [ExternalIP, InternalIP]
address_family: ipv6
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/npm-netpol
cache_timeout: 3600
"""

import hashlib
import json
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable, to_safe_group_name
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import auth, nodes, options
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiClient, ApiError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.transport import URLLIB3_ERROR
from ansible_collections.npm.netpol.plugins.plugin_utils.node_hosts import (
    LEFT_OUT,
    MEMBERS,
    AddressChoice,
    NodeHost,
    NodeNameError,
    left_out_lines,
    node_host,
)
from ansible_collections.npm.netpol.plugins.plugin_utils.untrusted import as_data

_SUFFIXES = ("cluster_nodes.yml", "cluster_nodes.yaml")
_LEAST = {"page_size": 1, "retries": 0, "timeout": 0.001}


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "npm.netpol.cluster_nodes"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(_SUFFIXES)

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._check_options(self._read_config_data(path))
        self._names_of_groups: dict[str, list[str]] = {}
        found = self._nodes(cache)
        for problem in found.problems:
            self._object(str(problem))
        choice = AddressChoice(tuple(self.get_option("address_types")), self.get_option("address_family"))
        try:
            hosts = [node_host(each, choice) for each in found.items]
        except NodeNameError as error:
            raise AnsibleParserError(f"the nodes cannot be an inventory: {error}") from error
        for group in (MEMBERS, LEFT_OUT):
            inventory.add_group(group)
        for host in hosts:
            self._add(host, choice)
        for host in hosts:
            self._construct(host.name)
        for line in left_out_lines(hosts):
            self.display.display(f"Left out of {MEMBERS}, in {LEFT_OUT}: {line}", stderr=True)
        if not any(not host.left_out for host in hosts):
            self.display.warning(
                f"{path}: the group {MEMBERS} is empty: none of the {len(hosts)} nodes read is a member"
            )

    def _check_options(self, config: Mapping[str, Any]) -> None:
        """Ansible drops what it doesn't know: a selector that is misspelt would select everything."""
        aliases = {alias for each in options.ARGUMENT_SPEC.values() for alias in each.get("aliases", ())}
        unknown = sorted(str(name) for name in config if name not in self._options and name not in aliases)
        if unknown:
            raise AnsibleParserError(f"{', '.join(unknown)}: no such option")
        for name, least in _LEAST.items():
            if self.get_option(name) < least:
                raise AnsibleParserError(f"{name} is {self.get_option(name)}: the least is {least}")

    def _nodes(self, may_use_cache: bool) -> nodes.Nodes:
        """From the cache, if there is one that may be used and has them, else from the API."""
        if URLLIB3_ERROR:
            raise AnsibleParserError(missing_required_lib("kubernetes", reason="to read an API"))
        parameters = {name: self.get_option(name) for name in options.ARGUMENT_SPEC}
        selectors = nodes.Selectors(
            tuple(self.get_option("label_selectors")), tuple(self.get_option("field_selectors"))
        )
        try:
            if not self.get_option("cache"):
                return self._read(parameters, selectors)
            key = self._key(auth.server(parameters, os.environ), selectors)
            kept = nodes.from_json(self._cache.get(key)) if may_use_cache else None
            if kept is None:
                kept = self._read(parameters, selectors)
                self._cache[key] = nodes.to_json(kept)
        except (AuthError, ApiError) as error:
            raise AnsibleParserError(f"the nodes could not be read: {error}") from error
        return kept

    def _read(self, parameters: Mapping[str, Any], selectors: nodes.Selectors) -> nodes.Nodes:
        with ApiClient(
            partial(auth.connect, parameters, os.environ),
            retries=self.get_option("retries"),
            timeout=self.get_option("timeout"),
            tell=self.display.vv,
        ) as client:
            found = nodes.read(client, self.get_option("page_size"), selectors)
            if not client.connection.verify and client.connection.host.startswith("https:"):
                self.display.warning(
                    f"the certificate of {client.connection.host} was not verified (validate_certs is false)"
                )
        return found

    def _key(self, server: tuple[str, str], selectors: nodes.Selectors) -> str:
        text = json.dumps([nodes.VERSION, *server, selectors.query])
        return f"{self.NAME}_{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _add(self, host: NodeHost, choice: AddressChoice) -> None:
        self.inventory.add_host(host.name)
        for group in host.groups:
            self.inventory.add_child(self.inventory.add_group(self._group(group)), host.name)
        for name, value in host.variables.items():
            self.inventory.set_variable(host.name, name, as_data(value))
        if "ansible_host" not in host.variables and not host.left_out:
            self._object(f"Node {host.name}: status.addresses: has no {choice} (it is reached by its name)")

    def _construct(self, name: str) -> None:
        variables = self.inventory.get_host(name).get_vars()
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        variables = self.inventory.get_host(name).get_vars()
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, name, strict=strict)

    def _sanitize_group_name(self, name: str) -> str:
        """Every name that groups and keyed_groups make comes here, parents too."""
        group = self._group(name)
        if group in (MEMBERS, LEFT_OUT):
            raise AnsibleParserError(
                f"keyed_groups or groups makes the name {group}, a group that only nodes decide about"
            )
        return group

    def _group(self, name: str) -> str:
        group = str(to_safe_group_name(name))
        names = self._names_of_groups.setdefault(group, [])
        if name not in names:
            names.append(name)
            if len(names) > 1:
                self._object(f"{' and '.join(map(repr, names))} are one group here: {group}")
        return group

    def _object(self, message: str) -> None:
        if self.get_option("strict"):
            raise AnsibleParserError(f"{message} (strict is set)")
        self.display.warning(message)
