# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Admission that says no to a pod: Pod Security by the namespace's label, a webhook and a quota by faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import errors
from .faults import Fault
from .records import Object

_ENFORCE = "pod-security.kubernetes.io/enforce"
# What Azure Policy's constraint template for privileged containers answers.
_WEBHOOK = (
    'admission webhook "validation.gatekeeper.sh" denied the request: '
    "[azurepolicy-k8sazurev2noprivilege-4f1c6b0a3d5e] Privileged container is not allowed: {container}, "
    'securityContext: {{"privileged": true}}'
)
_QUOTA = "exceeded quota: pods, requested: pods=1, used: pods=10, limited: pods=10"
_BASELINE_CAPABILITIES = frozenset(
    """
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
    """.split()  # noqa: SIM905 (so many quoted strings read worse)
)


def by_fault(fault: Fault, pod: Object) -> errors.ApiError:
    """The denial that a fault asks for; its ``message`` takes the place of the usual one."""
    containers = _containers(pod)
    if fault.kind == "webhook":
        name = containers[0].get("name", "") if containers else ""
        return errors.ApiError(403, fault.message or _WEBHOOK.format(container=name))
    return errors.forbidden("", "pods", pod["metadata"].get("name", ""), fault.message or _QUOTA)


def require_pod_security(namespace: Object, pod: Object) -> None:
    """ApiError 403 where the namespace's label enforces a level that the pod violates."""
    labels = namespace["metadata"].get("labels") or {}
    level = labels.get(_ENFORCE, "privileged")
    version = labels.get(f"{_ENFORCE}-version", "latest")
    checks = {"baseline": _BASELINE, "restricted": _BASELINE + _RESTRICTED}.get(level, ())
    # A check of the stricter level says what the same one of the other level would.
    found = [violation for check in checks for violation in check(pod)]
    if found:
        why = f'violates PodSecurity "{level}:{version}": {", ".join(found)}'
        raise errors.forbidden("", "pods", pod["metadata"].get("name", ""), why)


def _host_namespaces(pod: Object) -> Iterator[str]:
    names = [name for name in ("hostIPC", "hostNetwork", "hostPID") if pod["spec"].get(name)]
    if names:
        yield f"host namespaces ({', '.join(f'{name}=true' for name in names)})"


def _privileged(pod: Object) -> Iterator[str]:
    bad = [each["name"] for each in _containers(pod) if _security(each).get("privileged")]
    if bad:
        yield f"privileged ({_named(bad)} must not set securityContext.privileged=true)"


def _added_capabilities(pod: Object) -> Iterator[str]:
    found = {each["name"]: set(_added(each)) - _BASELINE_CAPABILITIES for each in _containers(pod)}
    bad = [name for name, extra in found.items() if extra]
    if bad:
        names = _quoted(sorted(set().union(*found.values())))
        yield f"non-default capabilities ({_named(bad)} must not include {names} in securityContext.capabilities.add)"


def _host_paths(pod: Object) -> Iterator[str]:
    bad = [volume["name"] for volume in pod["spec"].get("volumes") or () if volume.get("hostPath")]
    if bad:
        yield f"hostPath volumes ({_named(bad, 'volume')})"


def _privilege_escalation(pod: Object) -> Iterator[str]:
    bad = [each["name"] for each in _containers(pod) if _security(each).get("allowPrivilegeEscalation") is not False]
    if bad:
        why = f"{_named(bad)} must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({why})"


def _unrestricted_capabilities(pod: Object) -> Iterator[str]:
    keeping = [each["name"] for each in _containers(pod) if "ALL" not in (_capabilities(each).get("drop") or ())]
    found = {each["name"]: set(_added(each)) - {"NET_BIND_SERVICE"} for each in _containers(pod)}
    adding = [name for name, extra in found.items() if extra]
    why = []
    if keeping:
        why.append(f'{_named(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        names = _quoted(sorted(set().union(*found.values())))
        why.append(f"{_named(adding)} must not include {names} in securityContext.capabilities.add")
    if why:
        yield f"unrestricted capabilities ({'; '.join(why)})"


def _run_as_root(pod: Object) -> Iterator[str]:
    of_pod = (pod["spec"].get("securityContext") or {}).get("runAsNonRoot")
    bad = [each["name"] for each in _containers(pod) if not _security(each).get("runAsNonRoot", of_pod)]
    if bad:
        yield f"runAsNonRoot != true (pod or {_named(bad)} must set securityContext.runAsNonRoot=true)"


def _seccomp(pod: Object) -> Iterator[str]:
    of_pod = (pod["spec"].get("securityContext") or {}).get("seccompProfile")
    good = {"RuntimeDefault", "Localhost"}
    bad = [
        each["name"]
        for each in _containers(pod)
        if (_security(each).get("seccompProfile") or of_pod or {}).get("type") not in good
    ]
    if bad:
        why = f'pod or {_named(bad)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile ({why})"


Check = Callable[[Object], Iterator[str]]
_BASELINE: tuple[Check, ...] = (_host_namespaces, _privileged, _added_capabilities, _host_paths)
_RESTRICTED: tuple[Check, ...] = (_privilege_escalation, _unrestricted_capabilities, _run_as_root, _seccomp)


def _containers(pod: Object) -> list[Object]:
    spec = pod.get("spec") or {}
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _security(container: Object) -> dict[str, Any]:
    return container.get("securityContext") or {}


def _capabilities(container: Object) -> dict[str, Any]:
    return _security(container).get("capabilities") or {}


def _added(container: Object) -> list[str]:
    return _capabilities(container).get("add") or []


def _named(names: list[str], what: str = "container") -> str:
    return f"{what}{'' if len(names) == 1 else 's'} {_quoted(names)}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
