"""The page's scripts, read as text: what one takes another gives, and little is shared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ti_core.ui import run_panel

UI = Path(run_panel.__file__).parent
OF_GRADIO = {"element", "props", "server", "trigger"}
LONGEST_LINE = 120
MOST_SHARED_VALUES = 8


def names_in(script: Path, marker: str) -> set[str]:
    """The names in the comments `/* marker a, b */`."""
    text = script.read_text(encoding="utf-8")
    return {name for found in re.findall(rf"/\* {marker} (.*?) \*/", text, re.DOTALL) for name in found.split(", ")}


def test_the_panel_is_made_of_all_scripts_of_its_folder() -> None:
    assert sorted(run_panel.SCRIPTS) == sorted(path.name for path in (UI / "live").glob("*.js"))


@pytest.mark.parametrize("name", run_panel.SCRIPTS)
def test_what_a_script_of_the_panel_takes_is_given_by_another(name: str) -> None:
    others = [UI / "live" / other for other in run_panel.SCRIPTS if other != name]
    given = OF_GRADIO.union(*(names_in(other, "exported") for other in others))
    assert names_in(UI / "live" / name, "global") <= given


def test_what_a_script_of_the_panel_gives_is_taken() -> None:
    scripts = [UI / "live" / name for name in run_panel.SCRIPTS]
    taken = set().union(*(names_in(script, "global") for script in scripts))
    assert set().union(*(names_in(script, "exported") for script in scripts)) <= taken


def test_the_panel_shares_few_values_and_one_state() -> None:
    """All files are one function for gradio, so what stands at the margin of any of them is seen by all."""
    joined = "\n".join((UI / "live" / name).read_text(encoding="utf-8") for name in run_panel.SCRIPTS)
    assert len(re.findall(r"^(?:const|let|var) ", joined, re.MULTILINE)) <= MOST_SHARED_VALUES
    assert not re.search(r"^(?:let|var) ", joined, re.MULTILINE)


@pytest.mark.parametrize("script", sorted(UI.rglob("*.js")), ids=lambda path: path.name)
def test_no_line_is_longer_than_a_screen(script: Path) -> None:
    assert max(map(len, script.read_text(encoding="utf-8").splitlines())) <= LONGEST_LINE


def test_the_panel_is_made_of_all_markup_and_style_of_its_folder() -> None:
    parts = {"live", *run_panel.BELOW}
    for kind in ("html", "css"):
        assert {path.stem for path in (UI / "live").glob(f"*.{kind}")} == parts
    assert (UI / "live" / "live.html").read_text(encoding="utf-8").count(run_panel.MARK_BELOW) == 1
    assert all(f'class="{name}"' in run_panel.panel_html() for name in ("chart", "notices", "result", "jobs"))
