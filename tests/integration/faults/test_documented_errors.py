# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docs/errors.md says what the source says: no message there that is gone, and none that people meet is missing."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
COLLECTION = ROOT / "collections/ansible_collections/npm/netpol"
DOCUMENT = (ROOT / "docs/errors.md").read_text()
PLACEHOLDER = "…"
# Words of messages that only a person who writes code against us can meet, or that come with more specific ones.
INTERNAL = {
    "render.py": ("without a protocol", "no set"),
    "spool.py": ("is no name of a set",),
    "matching.py": ("labels that are not indexed",),
    "yaml_text.py": ("reading a map",),
}
CALLS = re.compile(r"(fail|\w+Error)$")


def _constants(node: ast.AST) -> Iterator[str]:
    """String literals of an expression as Python joins them; what is computed is a placeholder."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (each.value if isinstance(each, ast.Constant) else PLACEHOLDER for each in node.values)
        yield "".join(str(part) for part in parts)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _constants(child)


def _texts_of_the_source() -> str:
    python = [
        text for path in sorted(COLLECTION.glob("plugins/**/*.py")) for text in _constants(ast.parse(path.read_text()))
    ]
    return "\n".join([*python, *(path.read_text() for path in sorted(COLLECTION.glob("roles/**/*.j2")))])


@functools.cache
def _documented() -> list[str]:
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def _raised(path: Path) -> Iterator[str]:
    """The text of each call that ends in an error; that of a refusal is its second one, after the field."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = getattr(getattr(node, "func", None), "id", "") or getattr(getattr(node, "func", None), "attr", "")
        if isinstance(node, ast.Call) and CALLS.search(name) and node.args:
            text = node.args[1] if name in ("RefusalError", "ApiError") and len(node.args) > 1 else node.args[0]
            # A library that is missing: Ansible's words, which the document's head explains.
            if not ast.unparse(text).startswith("missing_required_lib"):
                yield from list(_constants(text))[:1]


def _fragments(message: str) -> list[str]:
    """What doesn't differ in it, longest first."""
    return sorted((part.strip(" :;,.()[]'") for part in message.split(PLACEHOLDER)), key=len, reverse=True)


def test_what_is_documented_is_in_the_source() -> None:
    source = _texts_of_the_source()
    assert len(_documented()) > 100
    assert [message for message in _documented() if not all(part in source for part in _fragments(message))] == []


def test_what_may_be_raised_is_documented() -> None:
    missing = [
        f"{path.name}: {message}"
        for folder in ("action", "connection", "inventory", "plugin_utils")
        for path in sorted(COLLECTION.glob(f"plugins/{folder}/**/*.py"))
        for message in _raised(path)
        if not any(part in message for part in INTERNAL.get(path.name, ())) and not _is_documented(message)
    ]
    assert missing == []


def test_what_the_nodes_script_may_say_is_documented() -> None:
    scripts = "\n".join(path.read_text() for path in sorted(COLLECTION.glob("roles/*/templates/node/*.j2")))
    said = re.findall(r"""give_up ["'](.+)["']""", scripts)
    assert len(said) > 5
    texts = [re.sub(r"\$\w+|\$\(.*?\)|\$\*|\{\{.*?\}\}", PLACEHOLDER, text) for text in said]
    assert [text for text in texts if not _is_documented(text)] == []


def _is_documented(message: str) -> bool:
    """A row has all that doesn't differ of the message, or the message has all that doesn't differ of a row."""
    own = [each for each in _fragments(message) if each]
    return not own or any(
        _fragments(row)[0] in message or own[0] in row for row in _documented() if len(_fragments(row)[0]) > 5
    )
