# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The repository's and the collection's descriptions agree with each other and with what there is."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import yaml
from tools.places import COLLECTION, ROOT


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def load_documentation(module: str) -> Any:
    """As it is written, without the fragments that it extends."""
    source = ast.parse((COLLECTION / f"plugins/modules/{module}.py").read_text())
    (text,) = (
        ast.literal_eval(each.value)
        for each in source.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "DOCUMENTATION"
    )
    return yaml.safe_load(text)


def requirements(path: Path) -> set[str]:
    return {line for line in path.read_text().splitlines() if line and not line.startswith("#")}


def test_the_top_level_galaxy_yml_is_the_collections_own() -> None:
    link = ROOT / "galaxy.yml"
    assert link.is_symlink()
    assert link.resolve() == COLLECTION / "galaxy.yml"


def test_the_action_group_holds_the_modules_with_the_options_of_the_api() -> None:
    """Ansible gives a default of the group to each member, and a module fails on an option that it doesn't have."""
    group = load(COLLECTION / "meta/runtime.yml")["action_groups"]["netpol"]
    modules = [path.stem for path in sorted((COLLECTION / "plugins/modules").glob("*.py"))]
    assert modules == sorted(path.stem for path in (COLLECTION / "plugins/action").glob("*.py"))
    extended = {name: load_documentation(name)["extends_documentation_fragment"] for name in modules}
    assert group == [name for name in modules if "npm.netpol.kubernetes_auth" in extended[name]]
    assert group == [name for name in modules if "npm.netpol.attributes.action_group" in extended[name]]
    own = {name: set(load_documentation(name)["options"]) for name in group}
    assert set.intersection(*own.values()) >= {"page_size", "retries", "timeout"}


def test_the_oldest_ansible_is_the_same_everywhere() -> None:
    promised = load(COLLECTION / "meta/runtime.yml")["requires_ansible"]
    (line,) = (line for line in requirements(ROOT / "requirements.txt") if line.startswith("ansible-core"))
    installed = re.search(r">=([0-9.]+)", line)
    assert installed is not None
    assert promised == f">={installed[1]}.0"


def test_an_execution_environment_gets_what_a_checkout_gets() -> None:
    described = load(COLLECTION / "meta/execution-environment.yml")["dependencies"]
    ours = requirements(COLLECTION / described["python"])
    assert ours <= requirements(ROOT / "requirements.txt")
    from_ansible = {
        line for line in requirements(ROOT / "requirements.txt") if re.match(r"ansible-core|jinja2|pyyaml", line)
    }
    assert ours | from_ansible == requirements(ROOT / "requirements.txt")
    assert (COLLECTION / described["system"]).is_file()


def test_the_licence_is_in_both_places() -> None:
    assert (ROOT / "LICENSE").resolve() == COLLECTION / "LICENSE"
    assert "GNU GENERAL PUBLIC LICENSE" in (COLLECTION / "LICENSE").read_text()
