# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Removes every lab of this machine, in use or left behind: ``python -m tools.clean``, as root."""

from __future__ import annotations

from lab import cleanup


def main() -> None:
    """Remove the labs one by one, and say which."""
    if not cleanup.DIRECTORY.is_dir():
        return
    for directory in sorted(cleanup.DIRECTORY.iterdir()):
        print(f"removing the lab {directory.name}")
        cleanup.remove(directory.name)


if __name__ == "__main__":
    main()
