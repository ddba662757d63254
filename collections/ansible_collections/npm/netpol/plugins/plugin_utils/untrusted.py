# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Marking what others wrote as data: Ansible never takes it for a template, whatever is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible.utils.unsafe_proxy import wrap_var

try:
    from ansible.template import trust_as_template
except ImportError:  # before ansible-core 2.19, where a text is a template unless it is marked

    def trust_as_template(value: str) -> str:
        return value


# What is marked is printed as a map by ansible-inventory, and kept as one by AWX. So a text that can't be anything but
# words isn't; from 2.19 on that has to be said, since there every text is marked that isn't declared harmless.
_WORDS = re.compile(r"[A-Za-z0-9 ._:/+-]*")


def as_data(value: Any) -> Any:
    """The value with every text in it that isn't plain words marked, at any depth, keys too."""
    if isinstance(value, str):
        return trust_as_template(value) if _WORDS.fullmatch(value) else wrap_var(value)
    if isinstance(value, Mapping):
        return {as_data(key): as_data(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(each) for each in value]
    return value
