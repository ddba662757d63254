# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What policies mean: selectors and the compiler from a snapshot to rulesets. Pure: no I/O, no Ansible."""
