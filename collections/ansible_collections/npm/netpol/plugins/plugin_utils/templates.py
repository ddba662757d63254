# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where templates come from: the user's directories first, then the role."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import jinja2

_ROLE_TEMPLATES = Path(__file__).parents[2] / "roles" / "enforce" / "templates"
# Of the scripts that run on the node.
NODE_SCRIPTS = _ROLE_TEMPLATES / "node"


def loader(template_path: Iterable[str | Path] = ()) -> jinja2.BaseLoader:
    """A loader that searches ``template_path`` in its order, then the role's own templates.

    The role's are reachable as ``enforce/NAME`` too, so that a template of the user's can extend the one it
    takes the place of.
    """
    role = jinja2.FileSystemLoader(_ROLE_TEMPLATES)
    own = [jinja2.FileSystemLoader(Path(each)) for each in template_path]
    return jinja2.ChoiceLoader([*own, role, jinja2.PrefixLoader({"enforce": role})])
