"""Imports point one way (docs/architecture.md), and plain modules need the standard library only."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

from ti_core.workspace import REPOSITORY

ROOMS = (
    "plain",
    "embeddings",
    "models",
    "embedding_files",
    "txt2img",
    "compare",
    "data",
    "training",
    "recipe",
    "job",
    "job_store",
    "job_kinds",
    "job_process",
    "jobs",
    "cli",
    "ui",
    "app",
)
"""Each may import itself and those before it; `data` and `models` may also use each other's lower floors as listed below."""
PLAIN = {
    "errors",
    "options",
    "settings",
    "schedule",
    "prompts",
    "events",
    "plan",
    "files",
    "run_folder",
    "library",
    "workspace",
    "tensor_headers",
    "weight_kinds",
    "checkpoint_facts",
    "noise_facts",
    "file_hashes",
    "best_step",
    "use_step",
    "child_process",
    "end_signals",
    "temporary_folders",
    "terminal",
}


def room_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] == "app":
        return "app"
    name = parts[1] if len(parts) > 1 else "plain"
    if name in ("__main__", "cli_models"):
        return "cli"
    return "plain" if name in PLAIN else name


def imports_of(path: Path) -> set[str]:
    """Modules imported anywhere in the file, inside functions too, except for type checking."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def sources() -> dict[str, Path]:
    files = sorted((REPOSITORY / "ti_core").rglob("*.py"))
    assert len(files) > 30
    return {".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path for path in files} | {"app": REPOSITORY / "app.py"}


def test_no_import_points_backwards() -> None:
    wrong = []
    for module, path in sources().items():
        here = room_of(module)
        if here in ("portraits", "plain") and module.count(".") == 0:
            continue
        for imported in imports_of(path):
            if not imported.startswith("ti_core.") or room_of(imported) == here:
                continue
            there = room_of(imported)
            if "portraits" in (here, there):
                continue
            if ROOMS.index(there) > ROOMS.index(here):
                wrong.append(f"{module} -> {imported}")
    assert not wrong


def test_nothing_but_the_bench_and_the_portraits_room_needs_the_demo_models_maker() -> None:
    users = [m for m, path in sources().items() if room_of(m) != "portraits" and any(i.startswith("ti_core.portraits") for i in imports_of(path))]
    assert not users


def test_plain_modules_import_the_standard_library_only() -> None:
    seen = set()
    for module, path in sources().items():
        if room_of(module) == "plain" and module.count(".") >= 1:
            seen.add(module.split(".")[1])
            for imported in imports_of(path):
                top = imported.split(".")[0]
                assert top in sys.stdlib_module_names or (top == "ti_core" and room_of(imported) == "plain"), f"{module} imports {imported}"
    assert seen == PLAIN


def test_the_map_names_every_module() -> None:
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    lost = [
        module for module in sources() if module != "app" and not module.endswith(("__main__", "_tab")) and not re.search(rf"\b{module.split('.')[-1]}\b", text)
    ]
    assert not lost


def test_only_the_page_imports_gradio() -> None:
    users = {room_of(m) for m, path in sources().items() if any(i.split(".")[0] == "gradio" for i in imports_of(path))}
    assert users == {"ui"}
