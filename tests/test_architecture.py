"""The rooms of docs/architecture.md hold: imports point one way, none goes in a circle, and plain rooms need no
torch.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from ti_core.workspace import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "architecture.md"
ROW = re.compile(r"^\| `(?P<room>[\w/.]+?)/?` \| (?P<holds>.+?) \| (?P<imports>.+?) \|$", re.MULTILINE)


@cache
def rooms() -> dict[str, str]:
    """Each room of the document's table, from the ground up, and what it may import beside the rooms above it in
    the table.
    """
    found = {
        match["room"].removeprefix("ti_core/"): match["imports"] for match in ROW.finditer(DOCUMENT.read_text("utf-8"))
    }
    assert len(found) > 10, f"no table of rooms in {DOCUMENT}"
    return found


@cache
def modules() -> dict[str, Path]:
    """Every module of the program by its dotted name."""
    files = [*sorted((REPOSITORY / "ti_core").rglob("*.py")), REPOSITORY / "app.py"]
    return {
        ".".join(file.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): file for file in files
    }


def room_of(module: str) -> str:
    """The first folder below ti_core; its own files are of the room `ti_core`."""
    parts = module.split(".")
    is_folder = len(parts) > 1 and (REPOSITORY / "ti_core" / parts[1]).is_dir()
    return parts[1] if is_folder else {"__main__": "cli", "webui": "ui", "app": "ui"}.get(parts[-1], "ti_core")


def imported_by(file: Path, *, for_types: bool = False) -> set[str]:
    """Names of what a file imports anywhere, inside functions too; `for_types` adds what it imports for type checking
    alone.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING") and not for_types:
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update((names & modules().keys()) or {node.module})
    return found


@cache
def arrows(*, for_types: bool = False) -> dict[str, set[str]]:
    """Module -> modules of ours that it imports."""
    return {
        module: (imported_by(file, for_types=for_types) & modules().keys()) - {module}
        for module, file in modules().items()
    }


def test_every_module_has_a_room_and_every_room_has_modules() -> None:
    assert {room_of(module) for module in modules()} == rooms().keys()


def test_no_import_points_to_a_higher_room() -> None:
    order = list(rooms())
    wrong = [
        f"{module} -> {other}"
        for module, others in arrows().items()
        for other in others
        if order.index(room_of(other)) > order.index(room_of(module))
    ]
    assert not wrong


def test_no_import_goes_in_a_circle_inside_a_room_or_for_types_either() -> None:
    try:
        TopologicalSorter(arrows(for_types=True)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_world_of_the_built_in_model_is_used_by_nothing_at_run_time() -> None:
    users = [m for m, others in arrows().items() if room_of(m) != "portraits" and "portraits" in map(room_of, others)]
    assert not users


@pytest.mark.parametrize("room", [room for room, imports in rooms().items() if imports.startswith("standard library")])
def test_a_plain_room_needs_the_standard_library_only(room: str) -> None:
    for module in (module for module in modules() if room_of(module) == room):
        foreign = (
            {name.split(".")[0] for name in imported_by(modules()[module])} - sys.stdlib_module_names - {"ti_core"}
        )
        assert not foreign, f"{module} imports {foreign}"


def test_only_the_page_imports_gradio() -> None:
    users = {
        room_of(m) for m, file in modules().items() if "gradio" in {name.split(".")[0] for name in imported_by(file)}
    }
    assert users == {"ui"}


def test_the_table_names_every_module() -> None:
    rows = {
        match["room"].removeprefix("ti_core/"): match["holds"] for match in ROW.finditer(DOCUMENT.read_text("utf-8"))
    }
    lost = [
        module
        for module in modules()
        if not module.endswith(("__main__", "_tab", "app")) and module.split(".")[-1] not in (*rows, "ti_core")
        if not re.search(rf"\b{module.split('.')[-1]}\b", rows[room_of(module)])
    ]
    assert not lost
