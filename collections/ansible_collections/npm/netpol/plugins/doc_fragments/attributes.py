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
  check_mode:
    description: Can run in C(check_mode) and say what would change without changing it.
  diff_mode:
    description: Says what changes, or would change, when in diff mode.
  idempotent:
    description: A second run with the same input changes nothing and says so.
"""

    # Of the modules that ask the API.
    ACTION_GROUP = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/npm.netpol.netpol) in C(module_defaults) to say once, for the collection's modules that ask the API,
        which API and as whom, and how often to repeat a request and how long to wait.
      - In the role P(npm.netpol.enforce#role) its variable C(npm_kubernetes) comes before that, and takes the place of
        defaults for the single module.
    support: full
    membership:
      - npm.netpol.netpol
"""
