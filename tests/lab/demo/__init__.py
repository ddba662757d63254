# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The demo: the walk-through that people know from Azure NPM, on a lab. Run it with ``./dev demo``."""
