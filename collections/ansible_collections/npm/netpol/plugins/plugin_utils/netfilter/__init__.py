# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The node: rendering a ruleset, reading the kernel's state, and the steps from one to the other. Pure: no I/O."""
