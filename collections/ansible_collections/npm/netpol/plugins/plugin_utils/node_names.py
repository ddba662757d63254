# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's node is called in Kubernetes: one answer for all that go by it, or they would be at different nodes."""

from __future__ import annotations


def name_of(given: object, host: str) -> str:
    """``given``: the host's npm_node_name. One that is null, empty or blank says no more than none at all."""
    return ("" if given is None else str(given).strip()) or host
