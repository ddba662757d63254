# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lab's Kubernetes API server: README.md has its interface."""

from __future__ import annotations

from .client import Client
from .errors import ApiError
from .faults import Fault
from .identities import Identity, Rule
from .process import ApiProcess
from .proxy import ConnectProxy
from .rbac import service_account
from .server import ApiServer
from .store import Store

__all__ = [
    "ApiError",
    "ApiProcess",
    "ApiServer",
    "Client",
    "ConnectProxy",
    "Fault",
    "Identity",
    "Rule",
    "Store",
    "service_account",
]
