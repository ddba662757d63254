# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The names of our chains and sets: short, owned by prefix, made from what defines a thing (rule 40).

The kernel allows a chain 28 characters and a set 31. A set's kernel name is its name here plus the suffix
of one of its twins, so that a new version can be built beside the one in use.
"""

from __future__ import annotations

import base64
import hashlib

from .ruleset import Direction, Family, SetKind

CHAIN_PREFIX = "NPM-"
SET_PREFIX = "npm-"

FORWARD_CHAIN = "NPM-FORWARD"
EGRESS_CHAIN = "NPM-EGRESS"
INGRESS_CHAIN = "NPM-INGRESS"
ACCEPT_CHAIN = "NPM-ACCEPT"

# Two in turn; the third for a node whose other iptables variant still holds one of them.
TWIN_SUFFIXES = ("-a", "-b", "-c")

_DIGEST_CHARACTERS = 20
_PART_CHARACTERS = 16


def group_chain(direction: Direction, definition: str) -> str:
    """``NPM-I-…`` or ``NPM-E-…``, 26 characters; ``definition`` says what the group's rules are, not who is in it."""
    letter = "I" if direction is Direction.INGRESS else "E"
    return f"{CHAIN_PREFIX}{letter}-{_digest(definition).upper()}"


def dispatch_part(base: str, network: str) -> str:
    """``NPM-INGRESS-…`` or ``NPM-EGRESS-…``, at most 28 characters: the part of the dispatch for one network's pods."""
    return f"{base}-{_digest(network)[:_PART_CHARACTERS].upper()}"


def is_of_dispatch(name: str, base: str) -> bool:
    """Whether a chain is ``base`` (``NPM-INGRESS`` or ``NPM-EGRESS``) or a part of it."""
    return name == base or name.startswith(f"{base}-")


def peer_set(family: Family, kind: SetKind, definition: str) -> str:
    """``npm-4-…`` or ``npm-6-…``, 26 characters; ``definition`` says which peers are meant, not their addresses."""
    number = "4" if family is Family.IPV4 else "6"
    return f"{SET_PREFIX}{number}-{_digest(f'{kind} {definition}')}"


def _digest(definition: str) -> str:
    # base64 is not fast: as many bytes as give these characters (five give eight, with nothing left over).
    digest = hashlib.sha256(definition.encode()).digest()[: _DIGEST_CHARACTERS * 3 // 4]
    return base64.b32encode(digest)[:_DIGEST_CHARACTERS].decode().lower()
