"""Each package imports only packages below it, in the order of docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "plaudit"
# A recipe's `project://` is read as records like any file: the one door upwards, opened when it is used.
UPWARDS = {("data/readers/sources.py", "feedback")}


def rooms() -> list[str]:
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Packages, top to bottom")[2]
    return re.findall(r"^\| `([a-z_]+)(?:/|\.py)`", table.partition("\n## ")[0], re.MULTILINE)


def imported(file: Path) -> set[str]:
    """The rooms that a file imports, at its head or inside a function."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            own = node.module == "plaudit"
            names |= {f"plaudit.{a.name}" for a in node.names} if own else {node.module}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    return {parts[1] for n in names if (parts := n.split("."))[0] == "plaudit" and len(parts) > 1}


def test_every_room_is_in_the_table():
    found = {p.stem for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert found <= set(rooms())


def test_no_room_imports_one_above_it():
    order = rooms()
    upwards = set()
    for file in SOURCE.rglob("*.py"):
        name = file.relative_to(SOURCE)
        room = name.parts[0].removesuffix(".py")
        if room in order:
            above = imported(file) & set(order[: order.index(room)])
            upwards |= {(name.as_posix(), other) for other in above}
    assert upwards == UPWARDS
