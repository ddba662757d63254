# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a Pod object to what its containers are, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from fnmatch import fnmatchcase
from typing import Any

from . import images, linux
from .container import ContainerError, ContainerSpec, Volume

Object = dict[str, Any]
# The node's tools come first (a container has no such directory), so that what nsenter runs finds what SSH would.
PATH = "/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What container runtimes leave to a container that is not privileged.
_DEFAULT_CAPABILITIES = frozenset(
    """
    CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
    SETFCAP
    """.split()  # noqa: SIM905 (so many quoted strings read worse)
)


class PullError(Exception):
    """The image can't be had."""


def image_kind(image: str, known: Mapping[str, str]) -> str:
    """Which kind of image a name is. ``known``: patterns of names; every other name is a busybox."""
    for pattern, kind in known.items():
        if fnmatchcase(image, pattern):
            if kind not in images.KINDS:
                raise PullError(kind)
            return kind
    return "busybox"


def container_spec(pod: Object, container: Object, node_pid: int, kind: str) -> ContainerSpec:
    """ContainerError for what this kubelet can't do. ``node_pid`` 0: on this machine as it is."""
    spec = pod["spec"]
    image = images.KINDS[kind]()
    security = {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
    privileged = bool(security.get("privileged"))
    command = (*(container.get("command") or image.entrypoint), *(container.get("args") or ()))
    return ContainerSpec(
        command=command,
        environment={"PATH": PATH, "HOSTNAME": _hostname(pod), "HOME": "/root", **dict(_environment(container))},
        node_pid=node_pid,
        image=asdict(image) if node_pid else {},
        mounts=tuple(_volumes(spec, container)),
        hostname=_hostname(pod),
        host_pid=bool(spec.get("hostPID")),
        host_network=bool(spec.get("hostNetwork")),
        host_ipc=bool(spec.get("hostIPC")),
        privileged=privileged,
        read_only=bool(security.get("readOnlyRootFilesystem")),
        capabilities=tuple(sorted(_capabilities(security))) if node_pid and not privileged else None,
        user=security.get("runAsUser") if node_pid else None,
        group=security.get("runAsGroup") if node_pid else None,
        directory=container.get("workingDir") or "/",
    )


def _hostname(pod: Object) -> str:
    return str(pod["spec"].get("nodeName") if pod["spec"].get("hostNetwork") else pod["metadata"]["name"])


def _environment(container: Object) -> Iterator[tuple[str, str]]:
    for item in container.get("env") or ():
        if "valueFrom" in item:
            raise ContainerError(f"env {item['name']}: the lab has no valueFrom")
        yield item["name"], item.get("value", "")


def _volumes(spec: Object, container: Object) -> Iterator[Volume]:
    known = {volume["name"]: volume for volume in spec.get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        volume = known.get(mount["name"], {})
        source = (volume.get("hostPath") or {}).get("path", "")
        if not source and "emptyDir" not in volume:
            raise ContainerError(f"volume {mount['name']}: the lab has hostPath and emptyDir only")
        yield Volume(mount["mountPath"], source, bool(mount.get("readOnly")))


def _capabilities(security: Object) -> frozenset[str]:
    changes = security.get("capabilities") or {}
    added = {name.removeprefix("CAP_") for name in changes.get("add") or ()}
    dropped = {name.removeprefix("CAP_") for name in changes.get("drop") or ()}
    if unknown := (added | dropped) - {*linux.CAPABILITIES, "ALL"}:
        raise ContainerError(f"unknown capability {', '.join(sorted(unknown))}")
    kept = frozenset() if "ALL" in dropped else _DEFAULT_CAPABILITIES - dropped
    return frozenset(linux.CAPABILITIES) if "ALL" in added else kept | added
