# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong on the way to a node."""

from __future__ import annotations


class NodePodError(Exception):
    """The node cannot be reached, or was lost: nothing is known of what a command that was under way has done."""


class NotStartedError(NodePodError):
    """The way to the node broke before anything of the command was sent: trying again runs nothing twice."""
