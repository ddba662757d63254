# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Our jumps in the FORWARD chain: whether they stand where they should, and the lines that put them there."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.names import ACCEPT_CHAIN, CHAIN_PREFIX, FORWARD_CHAIN
from .state import Rule, Target

FIRST = "first"
AFTER_KUBE_SERVICES = "after_kube_services"
HOOKS = (FIRST, AFTER_KUBE_SERVICES)

# Below one of these a packet is gone, or goes on to us as it was.
_NEVER_ACCEPTS = ("DROP", "REJECT", "", "LOG", "NFLOG", "MARK", "CONNMARK", "TCPMSS")
_KUBE_PROXY_CHAINS = ("KUBE-FORWARD", "KUBE-SERVICES")
_JUMP = f"-j {FORWARD_CHAIN}"
_ACCEPT_JUMP = f"-j {ACCEPT_CHAIN}"


@dataclass(frozen=True, slots=True)
class HookChange:
    """``lines`` of iptables-restore that put our jumps right, and ``reasons`` in words; empty: they are."""

    lines: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines)


def hook_change(forward: tuple[Rule, ...], target: Target) -> HookChange:
    """What has to be done to FORWARD, whose rules are ``forward``, so that it jumps to us as ``target`` says."""
    foreign = [rule for rule in forward if not rule.target.startswith(CHAIN_PREFIX)]
    jumps = [rule for rule in forward if rule.target.startswith(CHAIN_PREFIX) and rule.target != ACCEPT_CHAIN]
    accepts = [rule for rule in forward if rule.target == ACCEPT_CHAIN]
    lines: list[str] = []
    insertions: list[str] = []
    reasons: list[str] = []
    if reason := _wrong_jump(forward, jumps, target.hook):
        reasons.append(reason)
        lines += [f"-D FORWARD {rule.line}" for rule in jumps]
        if target.hook:
            insertions.append(f"-I FORWARD {_position(foreign, target.hook)} {_JUMP}")
    if reason := _wrong_accept(forward, accepts, wanted=ACCEPT_CHAIN in target.chains):
        reasons.append(reason)
        lines += [f"-D FORWARD {rule.line}" for rule in accepts]
        if ACCEPT_CHAIN in target.chains:
            insertions.append(f"-A FORWARD {_ACCEPT_JUMP}")
    return HookChange((*lines, *insertions), tuple(reasons))


def _wrong_jump(forward: tuple[Rule, ...], jumps: list[Rule], hook: str) -> str:
    if not hook:
        return "our jump in FORWARD is to go" if jumps else ""
    if not jumps:
        return "our jump in FORWARD is missing"
    if [rule.text for rule in jumps] != [_JUMP]:
        return f"our jump in FORWARD is {len(jumps)} times there" if len(jumps) > 1 else "our jump in FORWARD is edited"
    above = [rule for rule in forward[: forward.index(jumps[0])] if rule.target != ACCEPT_CHAIN]
    if hook == FIRST:
        accepting = [rule for rule in above if rule.target not in _NEVER_ACCEPTS]
        return f"our jump in FORWARD is not first: {accepting[0].line!r} stands before it" if accepting else ""
    below = forward[forward.index(jumps[0]) + 1 :]
    late = [rule for rule in below if rule.target in _KUBE_PROXY_CHAINS]
    return f"our jump in FORWARD stands before {late[-1].target}" if late else ""


def _wrong_accept(forward: tuple[Rule, ...], accepts: list[Rule], *, wanted: bool) -> str:
    if not wanted:
        return "our accepting jump at the end of FORWARD is to go" if accepts else ""
    if not accepts:
        return "our accepting jump at the end of FORWARD is missing"
    if [rule.text for rule in accepts] != [_ACCEPT_JUMP] or forward[-1].target != ACCEPT_CHAIN:
        return "our accepting jump is not the last rule of FORWARD"
    return ""


def _position(foreign: list[Rule], hook: str) -> int:
    if hook == FIRST:
        return 1
    return max((index + 2 for index, rule in enumerate(foreign) if rule.target in _KUBE_PROXY_CHAINS), default=1)
