# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether this machine can run a lab, and whether it must."""

from __future__ import annotations

import os
from collections.abc import Mapping

from . import tools

_YES = frozenset({"1", "true", "yes"})


def unmet() -> list[str]:
    """Why no lab can be built here; empty: one can."""
    reasons = [] if os.geteuid() == 0 else ["not root"]
    if missing := tools.missing():
        reasons.append(f"this machine lacks {', '.join(missing)}")
    return reasons


def required(environment: Mapping[str, str]) -> bool:
    """Whether tests that cannot run have failed: in CI, and where NPM_REQUIRE_PACKETS says so."""
    return any(environment.get(name, "").lower() in _YES for name in ("NPM_REQUIRE_PACKETS", "CI"))
