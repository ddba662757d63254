# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The directions of imports: plugins -> plugin_utils; policy, netfilter and cluster -> model; model -> nothing of ours.

The way to the nodes, node_pod, stands on cluster alone. What passes between the parts is the snapshot and the ruleset.
Model, policy and netfilter are pure: no Ansible, no reading or writing, so that every decision can be replayed from a
file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "collections/ansible_collections/npm/netpol/plugins"
OURS = "ansible_collections.npm.netpol.plugins"
UTILS = f"{OURS}.plugin_utils"

# What writes files, whatever they are about.
FILES = (f"{UTILS}.state_directory", f"{UTILS}.whole_file")
# Which of our packages the modules of a package may import, beside their own.
PARTS = {
    f"{UTILS}.model": (),
    f"{UTILS}.policy": (f"{UTILS}.model",),
    f"{UTILS}.netfilter": (f"{UTILS}.model",),
    f"{UTILS}.cluster": (f"{UTILS}.model", *FILES),
    f"{UTILS}.node_pod": (f"{UTILS}.cluster",),
    # What the plugins share: it may use every part.
    UTILS: (UTILS,),
}
PURE = {f"{UTILS}.model", f"{UTILS}.policy", f"{UTILS}.netfilter"}

IMPURE_MODULES = frozenset(
    """
    ansible asyncio builtins concurrent ctypes fcntl fileinput glob http importlib io kubernetes logging mmap
    multiprocessing os pathlib random requests secrets select selectors shutil signal smtplib socket socketserver
    sqlite3 ssl subprocess sys tempfile threading urllib urllib3 uuid warnings
    """.split()  # noqa: SIM905 - thirty quoted strings read worse
)
# Rules never depend on the time; netfilter only measures its own phases.
CLOCKS = frozenset({"datetime", "time"})
IMPURE_BUILTINS = frozenset({"__import__", "breakpoint", "eval", "exec", "input", "open", "print"})


def modules() -> list[Path]:
    return sorted(path for path in PLUGINS.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PLUGINS).with_suffix("").parts
    return ".".join((OURS, *parts))


def part_of(module: str) -> str | None:
    return max((part for part in PARTS if within(module, part)), key=len, default=None)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def imported(module: str, tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports, wherever in it; ``from x import y`` counts as ``x.y``."""
    package = module.removesuffix(".__init__") if module.endswith(".__init__") else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """What a module does that its place forbids; one line each."""
    tree = ast.parse(source)
    part = part_of(module)
    found = []
    for name in sorted(set(imported(module, tree))):
        if within(name, OURS) and not any(within(name, each) for each in ((part, *PARTS[part]) if part else (UTILS,))):
            found.append(f"imports {name}")
        if part in PURE and name.split(".")[0] in IMPURE_MODULES:
            found.append(f"imports {name}, which is not pure")
        if part in PURE - {f"{UTILS}.netfilter"} and name.split(".")[0] in CLOCKS:
            found.append(f"imports {name}: rules never depend on the time")
    if part in PURE:
        calls = (
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        )
        found += [f"calls {name}()" for name in sorted(set(calls) & IMPURE_BUILTINS)]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_every_module_keeps_to_the_directions(path: Path) -> None:
    assert violations(name_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.names", "from ..policy import cidr"),
        ("model.names", "from .. import templates"),
        ("model.names", "import time"),
        ("policy.compile", "from ..netfilter.state import State"),
        ("policy.compile", "from .. import netfilter"),
        ("policy.__init__", "from ..cluster import gather"),
        ("policy.compile", "from ..templates import loader"),
        ("policy.compile", "from ansible.errors import AnsibleError"),
        ("policy.compile", "def f():\n    import os.path"),
        ("policy.compile", "from datetime import datetime"),
        ("policy.compile", "open('/etc/passwd')"),
        ("netfilter.render", "from pathlib import Path"),
        ("netfilter.render", f"import {UTILS}.cluster.gather"),
        ("cluster.gather", "from ..policy.selectors import Selector"),
        ("templates", f"from {OURS}.action import ruleset"),
        ("templates", "from ..action import ruleset"),
    ],
)
def test_a_wrong_import_is_seen(module: str, source: str) -> None:
    assert len(violations(f"{UTILS}.{module}", source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.ruleset", "from .names import CHAIN_PREFIX"),
        ("policy.compile", "from ..model.snapshot import Pod\nimport hashlib\nfrom .cidr import x"),
        ("policy.__init__", "from .compile import Compiler"),
        ("netfilter.converge", "import time, jinja2"),
        ("cluster.store", "import os\nfrom .. import whole_file\nfrom ..model import snapshot"),
        ("spool", "import os\nfrom .netfilter.render import Rendered"),
    ],
)
def test_a_right_import_is_none_of_our_business(module: str, source: str) -> None:
    assert violations(f"{UTILS}.{module}", source) == []


def test_a_plugin_imports_only_plugin_utils() -> None:
    assert violations(f"{OURS}.action.ruleset", f"from {UTILS}.policy import compile") == []
    assert violations(f"{OURS}.action.ruleset", f"from {OURS}.action import compile") != []


def test_the_namespaces_have_no_init_file() -> None:
    """One would hide every other collection of the same namespace package."""
    collections = PLUGINS.parents[2]
    assert [path for path in (collections / "__init__.py", collections / "npm/__init__.py") if path.exists()] == []
    parts = {path.name for path in (PLUGINS / "plugin_utils").iterdir()}
    assert {"model", "policy", "netfilter", "cluster", "node_pod"} <= parts
