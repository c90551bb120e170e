"""Names out of other people's files and requests cannot command the terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ti_core.program.terminal import PrintableStream, printable
from ti_core.workspace import REPOSITORY

ESCAPES = ["\x1b[2J", "\x1b]0;owned\x07", "\x9b31m", "a\rb", "\x08\x08", "\u202egnp.exe", "\u2066x", "\x00", "\x7f"]


@pytest.mark.parametrize("text", ESCAPES)
def test_escape_codes_are_written_out(text: str) -> None:
    shown = printable(f"name {text} end")
    assert not [c for c in shown if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066"]
    assert json.loads(f'"{shown}"') == f"name {text} end"  # JSON that is printed means the same


def test_what_people_write_stays() -> None:
    text = "Größe\tänna-01, 日本語, emoji 🙂, עברית\nnext line"
    assert printable(text) == text


def test_a_stream_keeps_our_own_progress_lines() -> None:
    kept = io.StringIO()
    stream = PrintableStream(kept)
    print("\rstep 1", end="", file=stream)
    print("\x1b[31mred", file=stream)
    stream.writelines(["a\rb\n"])
    assert kept.getvalue() == "\rstep 1\\u001b[31mred\na\\u000db\n"
    assert stream.getvalue() == kept.getvalue()


@pytest.mark.parametrize(
    "command",
    [
        ["app.py", "--workspace", "requirements.txt/\x1b[2Jgone"],
        ["-m", "ti_core", "inspect", "\x1b]0;owned\x07.pt"],
    ],
)
def test_programs_print_a_name_without_its_escape_codes(command: list[str], tmp_path: Path) -> None:
    # first an error of ours in app.py (nothing can be made below a file), then one of the command line
    told = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.returncode == 2 and "\\u001b" in told.stderr + told.stdout and "\x1b" not in told.stderr + told.stdout
