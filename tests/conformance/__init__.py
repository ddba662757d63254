# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What NetworkPolicy means, held against what the product does: an oracle, a packet walk, cases and a fuzzer."""
