# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stands in for the get-pip script that ansible-test fetches from Ansible's own server.

Python brings a pip with it (ensurepip); that one installs the version that was asked for, from wherever pip is
configured to look. So the sanity tests need nothing but a package index. ansible-test runs this file by name, in the
interpreter of the environment that it just made.
"""

from __future__ import annotations

import subprocess
import sys

# They belong to get-pip; pip has no such options.
_NOT_FOR_PIP = {"--no-setuptools", "--no-wheel"}


def main() -> int:
    """Put pip, and the packages that the arguments name, into this interpreter's environment."""
    packages = [argument for argument in sys.argv[1:] if argument not in _NOT_FOR_PIP]
    subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *packages], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
