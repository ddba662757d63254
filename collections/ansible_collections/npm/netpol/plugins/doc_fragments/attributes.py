# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the attributes of our modules mean; each module says how far it supports them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  action:
    description: An action plugin does the work, on the controller, in Ansible's own interpreter.
    support: full
  action_group:
    description: Use C(group/npm.netpol.netpol) in C(module_defaults) to set defaults for the collection's modules.
    support: full
    membership:
      - npm.netpol.netpol
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
  diff_mode:
    description: Says what changes, or would change, when in diff mode.
  idempotent:
    description: A second run with the same input changes nothing and says so.
"""
