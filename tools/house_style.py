"""Counts what house style sets bounds for: lengths of files, functions and lines, comments, docstrings.

Usage: python tools/house_style.py [FOLDER ...] [--root CHECKOUT] [--write]     (default: ti_core and app.py)

`--root` counts another checkout; `--write` puts the figures into the column "now" of docs/house-style.md.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import tokenize
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOCUMENT = REPOSITORY / "docs" / "house-style.md"
MOST_FILE_LINES, MOST_FUNCTION_LINES = 400, 60
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files_of(places: list[str], root: Path) -> list[Path]:
    """Python files below the given places of a checkout."""
    paths = [root / place for place in places]
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


def count(places: list[str], root: Path = REPOSITORY) -> dict[str, str]:
    """Each figure of the table by its name."""
    texts = {file: file.read_text(encoding="utf-8") for file in files_of(places, root)}
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
        f"files over {MOST_FILE_LINES} lines": str(sum(length > MOST_FILE_LINES for length in file_lengths)),
        "function median / p90 / longest": (
            f"{statistics.median(lengths):.0f}/{lengths[int(len(lengths) * 0.9)]}/{lengths[-1]}"
        ),
        f"functions over {MOST_FUNCTION_LINES} lines": str(sum(length > MOST_FUNCTION_LINES for length in lengths)),
        "% of lines over 100 / 120": "/".join(
            percent(sum(len(x) > most for x in lines), len(lines)) for most in (100, 120)
        ),
        "comments, % of lines": percent(len(comments), len(code)),
        "fmt: skip": str(sum("fmt: skip" in comment for comment in comments)),
        "public functions documented %": percent(
            sum(ast.get_docstring(node) is not None for node in public), len(public)
        ),
    }


def write(figures: dict[str, str]) -> None:
    """Put each figure into the last column of its row in docs/house-style.md."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        cells = line.split(" | ")
        if (name := cells[0].removeprefix("| ")) in figures:
            lines[number] = " | ".join([*cells[:-1], f"{figures[name]} |"])
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", default=["ti_core", "app.py"])
    parser.add_argument("--root", type=Path, default=REPOSITORY)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    figures = count(options.places, options.root)
    for name, figure in figures.items():
        print(f"{name:36}{figure}")
    if options.write:
        write(figures)


if __name__ == "__main__":
    main()
