# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs commands and moves files on the node of a cluster, through its API."""

from __future__ import annotations

DOCUMENTATION = r"""
name: node_pod
short_description: Reach a node through the Kubernetes API alone, by a short-lived privileged pod on it
version_added: 0.1.0
description:
  - Runs commands and moves files on a node's own mount, network, PID, IPC and UTS namespaces, as root, without SSH.
    It needs the Kubernetes API and nothing else.
  - The first command for a node creates a helper pod on it, and every command is an exec into that pod which enters the
    namespaces of the node's first process. All tasks, forks and plays of a run share the pod. A process on the
    controller removes it when the run has ended, however it ended, and O(deadline) ends it in any case.
  - Standard input, output and exit codes are exact. The end of a command is known by a word of the command's own, which
    also carries the exit code, and not by what the API says. A command whose end was not seen makes the host
    unreachable, and is never run a second time.
  - C(docs/node_pod.md) of the collection says what privilege this is, how to bound it and how to audit it.
author:
  - npm.netpol maintainers (!UNKNOWN)
requirements:
  - the Python package C(kubernetes)
options:
  node:
    description: >-
      Name of the node in the cluster. Where there is none, or an empty one, it is O(delegate), or else O(host).
    type: str
    default: ''
    vars:
      - name: npm_node_name
  delegate:
    description:
      - Name of the host that the task is delegated to, for which Ansible's C(inventory_hostname) is not the name.
    type: str
    default: ''
    keyword:
      - name: delegate_to
  host:
    description: Name of the host in the inventory.
    type: str
    default: ''
    vars:
      - name: inventory_hostname
  kubernetes:
    description:
      - Which API, and as whom. Takes the options of the module M(npm.netpol.snapshot) that say so (V(kubeconfig),
        V(context), V(host), V(api_key) and so on) and ignores its others.
      - What it does not say is taken from the variables that the module names, such as E(K8S_AUTH_KUBECONFIG), in the
        environment of C(ansible-playbook).
    type: dict
    default: {}
    vars:
      - name: npm_kubernetes
  namespace:
    description: Namespace of the helper pods. C(docs/node-pod/access.yaml) creates it, with the least rights.
    type: str
    default: npm-netpol-nodes
    vars:
      - name: npm_node_pod_namespace
  image:
    description:
      - Image of the helper pod. It needs C(sh), C(sleep), and C(nsenter) or C(chroot).
      - The default is in the registry that every AKS node has to reach, also where its outgoing traffic is restricted,
        and is that of Azure Linux.
    type: str
    default: mcr.microsoft.com/azurelinux/busybox:1.36
    vars:
      - name: npm_node_pod_image
  pull_secrets:
    description: Names of Secrets in O(namespace) that the image is pulled with.
    type: list
    elements: str
    default: []
    vars:
      - name: npm_node_pod_pull_secrets
  priority_class:
    description: Priority class of the helper pod, such as V(system-node-critical) for nodes that are full.
    type: str
    default: ''
    vars:
      - name: npm_node_pod_priority_class
  cpu_limit:
    description: How much CPU the helper pod, and all that runs on the node through it, may use.
    type: str
    default: '1'
    vars:
      - name: npm_node_pod_cpu_limit
  memory_limit:
    description: How much memory the helper pod, and all that runs on the node through it, may use.
    type: str
    default: 512Mi
    vars:
      - name: npm_node_pod_memory_limit
  deadline:
    description:
      - Seconds after which the cluster ends a helper pod, whatever runs in it.
      - Once half of it has passed, the next command gets a new pod, so that each has mostly at least half of it.
    type: int
    default: 1800
    vars:
      - name: npm_node_pod_deadline
  start_timeout:
    description: Seconds to wait for a helper pod to run, image included.
    type: float
    default: 120
    vars:
      - name: npm_node_pod_start_timeout
  api_timeout:
    description: Seconds to wait for an answer of the API, and for the program on the node to start.
    type: float
    default: 30
    vars:
      - name: npm_node_pod_api_timeout
  api_retries:
    description:
      - How often to try again what failed in passing before a command began. Nothing is tried again after that.
    type: int
    default: 4
    vars:
      - name: npm_node_pod_api_retries
  ping:
    description: Seconds between signs of life, so that nothing on the way takes a quiet connection for a dead one.
    type: float
    default: 15
    vars:
      - name: npm_node_pod_ping
  silence:
    description: Seconds after which a connection is given up when nothing was heard, not even answers to pings.
    type: float
    default: 120
    vars:
      - name: npm_node_pod_silence
  path:
    description: E(PATH) of the commands on the node.
    type: str
    default: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    vars:
      - name: npm_node_pod_path
  pipelining:
    description: Whether modules are sent through standard input instead of as a file.
    type: bool
    default: true
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
    vars:
      - name: ansible_pipelining
notes:
  - Commands run as root. C(become) works where its method needs no terminal (sudo does), and is not needed.
    C(ansible_user) has no meaning.
  - Processes that a task leaves behind belong to the helper pod and end with it. That holds for C(async) too. What the
    node's systemd starts does not.
  - The action M(ansible.builtin.meta) with C(reset_connection) removes the helper pod of the host.
  - Helper pods start in parallel, as many at a time as Ansible has forks. With C(forks) at least as high as the number
    of nodes a run costs what one pod takes to start, in the place of what SSH takes to log in.
seealso:
  - module: npm.netpol.ruleset
"""

import multiprocessing  # noqa: E402 - Ansible wants DOCUMENTATION first
import os  # noqa: E402
import shlex  # noqa: E402
from collections.abc import Iterable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from ansible import constants as C  # noqa: E402, N812 - the name that all of Ansible knows it by
from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound  # noqa: E402
from ansible.module_utils.basic import missing_required_lib  # noqa: E402
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # noqa: E402
from ansible.module_utils.common.text.converters import to_bytes, to_text  # noqa: E402
from ansible.plugins.connection import ConnectionBase, ensure_connect  # noqa: E402
from ansible.utils.display import Display  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster import options as cluster_options  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.client import ApiError  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.connection import AuthError  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.cluster.transport import URLLIB3_ERROR  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.node_names import name_of  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.connect import connect  # noqa: E402
from ansible_collections.npm.netpol.plugins.plugin_utils.node_pod.errors import NodePodError  # noqa: E402

display = Display()

_BLOCK = 1 << 20
# None is named as a keyword of tasks: Ansible would take that for the option.
_OPTIONS = (
    *("namespace", "image", "pull_secrets", "priority_class", "cpu_limit", "memory_limit", "deadline"),
    *("start_timeout", "api_timeout", "api_retries", "ping", "silence", "path"),
)
# Options of npm.netpol.snapshot that npm_kubernetes may hold too, and that say nothing of where the API is.
_OF_THE_SNAPSHOT = ("src", "path", "state_dir", "state_configmap", "page_size", "retries", "timeout")


class Connection(ConnectionBase):
    transport = "npm.netpol.node_pod"
    has_pipelining = True
    has_tty = False
    default_user = "root"

    def _connect(self) -> Connection:
        if self._connected:
            return self
        if URLLIB3_ERROR is not None:
            raise AnsibleError(missing_required_lib("kubernetes")) from URLLIB3_ERROR
        host = self.get_option("delegate") or self.get_option("host")
        self._node_name = name_of(self.get_option("node"), host)
        parent = multiprocessing.parent_process()
        try:
            self._client, self._node = connect(
                {name: self.get_option(name) for name in _OPTIONS},
                self._kubernetes(),
                self._node_name,
                temporary=Path(C.DEFAULT_LOCAL_TMP),
                main_process=parent.pid if parent and parent.pid else os.getpid(),
                tell=self._tell,
            )
        except (NodePodError, AuthError) as error:
            # Ansible would say the causes again, each of which the message has already.
            raise AnsibleConnectionFailure(f"node {self._node_name}: {error}") from None
        self._connected = True
        return self

    @ensure_connect
    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        display.vvv(f"EXEC {to_text(cmd)}", host=self._node_name)
        out, err = bytearray(), bytearray()
        asks = sudoable and self.become is not None and self.become.expect_prompt()
        code = self._run(
            to_text(cmd),
            out,
            err,
            data=[in_data] if in_data else None,
            gate=_Escalation(self.become) if asks else None,
        )
        return code, bytes(out), bytes(err)

    @ensure_connect
    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._node_name)
        path = Path(to_text(in_path))
        if not path.exists():
            raise AnsibleFileNotFound(f"no file to put: {in_path}")
        err = bytearray()
        with path.open("rb") as source:
            code = self._run(f"cat >{shlex.quote(out_path)}", bytearray(), err, data=_blocks(source))
        if code:
            raise AnsibleError(f"cannot write {out_path} on the node: {to_text(bytes(err)).strip()}")

    @ensure_connect
    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._node_name)
        err = bytearray()
        target = Path(to_text(out_path))
        whole = False
        try:
            with target.open("wb") as file:
                code = self._run(f"exec cat <{shlex.quote(in_path)}", file, err)
            whole = code == 0
        finally:
            if not whole:
                target.unlink()
        if code:
            raise AnsibleError(f"cannot read {in_path} on the node: {to_text(bytes(err)).strip()}")

    def close(self) -> None:
        if self._connected:
            self._client.close()
        self._connected = False

    def reset(self) -> None:
        """For C(meta: reset_connection), which runs in the main process."""
        self._connect()
        try:
            self._node.remove_helper()
        except ApiError as error:
            display.warning(f"the helper pod stays until the run ends: {error}")
        self.close()

    def _run(
        self, command: str, out: Any, err: bytearray, data: Iterable[bytes] | None = None, gate: Any = None
    ) -> int:
        write = out.extend if isinstance(out, bytearray) else out.write
        try:
            return self._node.run(command, write=write, complain=err.extend, data=data, gate=gate)
        except (NodePodError, ApiError, AuthError) as error:
            raise AnsibleConnectionFailure(f"node {self._node_name}: {error}") from None

    def _kubernetes(self) -> dict[str, Any]:
        given = {k: v for k, v in (self.get_option("kubernetes") or {}).items() if k not in _OF_THE_SNAPSHOT}
        result = ArgumentSpecValidator(dict(cluster_options.ARGUMENT_SPEC)).validate(given)
        if result.error_messages:
            raise AnsibleError(f"npm_kubernetes: {'; '.join(result.error_messages)}")
        return {name: result.validated_parameters.get(name) for name in cluster_options.ARGUMENT_SPEC}

    def _tell(self, message: str) -> None:
        display.vvv(message, host=self._node_name)


class _Escalation:
    """The gate of a command that becomes another user: the password when asked for, input once that has worked."""

    def __init__(self, become: Any) -> None:
        self._become = become
        self._answered = False

    def __call__(self, out: bytes, err: bytes) -> tuple[bytes, bool]:
        if self._become.check_success(out):
            return b"", True
        if self._become.check_incorrect_password(out) or self._become.check_incorrect_password(err):
            raise AnsibleError(f"incorrect {self._become.name} password")
        if not self._answered and any(map(self._become.check_password_prompt, (out, err))):
            self._answered = True
            return to_bytes(self._become.get_option("become_pass")) + b"\n", False
        return b"", False


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
