"""Counts what house style sets bounds for: lengths of files, functions and lines, comments, docstrings.

Usage: python tools/house_style.py [FOLDER ...]     (default: ti_core and app.py)
"""

from __future__ import annotations

import ast
import io
import statistics
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files_of(places: list[str]) -> list[Path]:
    """Python files below the given places."""
    paths = [REPOSITORY / place for place in places]
    return sorted(file for path in paths for file in ([path] if path.is_file() else path.rglob("*.py")))


def functions_of(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def comment_lines(text: str) -> list[str]:
    """Lines that hold a comment, alone or after code."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def public_functions(tree: ast.Module) -> list[Function]:
    """Functions and methods whose name, and whose class's name, begins without an underscore."""
    bodies = [
        tree.body,
        *(node.body for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")),
    ]
    return [node for body in bodies for node in body if isinstance(node, Function) and not node.name.startswith("_")]


def percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.1f}"


def count(places: list[str]) -> dict[str, str]:
    """Each figure of the table by its name."""
    texts = {file: file.read_text(encoding="utf-8") for file in files_of(places)}
    trees = {file: ast.parse(text) for file, text in texts.items()}
    lines = [line for text in texts.values() for line in text.splitlines()]
    file_lengths = sorted(text.count("\n") for text in texts.values())
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1 for tree in trees.values() for node in functions_of(tree)
    )
    comments = [comment for text in texts.values() for comment in comment_lines(text)]
    public = [node for tree in trees.values() for node in public_functions(tree)]
    code = [line for line in lines if line.strip()]
    return {
        "files": str(len(texts)),
        "lines": str(len(lines)),
        "median / longest file": f"{statistics.median(file_lengths):.0f}/{file_lengths[-1]}",
        "function median / p90 / longest": (
            f"{statistics.median(lengths):.0f}/{lengths[int(len(lengths) * 0.9)]}/{lengths[-1]}"
        ),
        "% of lines over 100 / 120": "/".join(
            percent(sum(len(x) > most for x in lines), len(lines)) for most in (100, 120)
        ),
        "comments, % of lines": percent(len(comments), len(code)),
        "fmt: skip": str(sum("fmt: skip" in comment for comment in comments)),
        "public functions documented %": percent(
            sum(ast.get_docstring(node) is not None for node in public), len(public)
        ),
    }


if __name__ == "__main__":
    for name, figure in count(sys.argv[1:] or ["ti_core", "app.py"]).items():
        print(f"{name:36}{figure}")
