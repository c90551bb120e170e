"""Templates of the user's own, beside those that come with the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from ti_core.data import template_edits
from ti_core.data.template_edits import SHIPPED, captions_of, preview_prompts, read_template, save_template
from ti_core.errors import UserError
from ti_core.settings.prompts import list_templates, load_template
from ti_core.workspace import SHIPPED_TEMPLATES, Workspace

TEXT = "a photo of a [name], [filewords]\n\n  a close-up of [name] \n"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_new_template_is_saved_trimmed_and_listed(workspace: Workspace) -> None:
    with pytest.raises(UserError, match=r"holds /, which a name of a file cannot have\. Write my faces"):
        save_template(" ../my faces ", TEXT, workspace)
    assert save_template(" my faces ", TEXT, workspace) == "my faces.txt"
    assert "my faces.txt" in list_templates(workspace)
    assert load_template(workspace.templates / "my faces.txt") == [
        "a photo of a [name], [filewords]",
        "a close-up of [name]",
    ]


def test_only_the_template_that_was_opened_is_replaced(workspace: Workspace) -> None:
    save_template("faces.txt", TEXT, workspace)
    with pytest.raises(UserError, match=r"'faces\.txt' exists already"):
        save_template("faces", "a drawing of [name]", workspace, opened="style.txt")
    assert save_template("faces", "a drawing of [name]", workspace, opened="faces.txt") == "faces.txt"
    assert read_template("faces.txt", workspace) == "a drawing of [name]\n"


def test_a_template_that_comes_with_the_project_is_copied_and_never_changed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = {path.name: path.read_bytes() for path in SHIPPED_TEMPLATES.glob("*.txt") if path.name in SHIPPED}
    assert {"style.txt", "subject_filewords.txt"} <= set(shipped)
    assert (
        save_template(
            "style.txt", read_template("style.txt", workspace) + "[name] in oil", workspace, opened="style.txt"
        )
        == "style-own.txt"
    )
    assert {name: (SHIPPED_TEMPLATES / name).read_bytes() for name in shipped} == shipped
    assert load_template(workspace.templates / "style-own.txt")[-1] == "[name] in oil"


def test_that_holds_where_the_project_is_the_workspace_too(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.templates.mkdir()
    (workspace.templates / "style.txt").write_text("art by [name]\n", encoding="utf-8")
    monkeypatch.setattr(template_edits, "SHIPPED_TEMPLATES", workspace.templates)
    assert save_template("style", "oil by [name]", workspace, opened="style.txt") == "style-own.txt"
    assert read_template("style.txt", workspace) == "art by [name]\n"


def test_a_users_own_file_of_a_shipped_name_is_changed_in_place(workspace: Workspace) -> None:
    workspace.templates.mkdir()
    (workspace.templates / "subject.txt").write_text("my [name]\n", encoding="utf-8")
    assert save_template("subject.txt", "our [name]", workspace, opened="subject.txt") == "subject.txt"
    assert read_template("subject.txt", workspace) == "our [name]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [("\n \n", "is empty"), ("a photo of anna", r"has no line with \[name\], so the new word would not be trained")],
)
def test_a_text_that_would_not_train_the_word_is_refused(workspace: Workspace, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        save_template("faces", text, workspace)
    with pytest.raises(UserError, match=problem):
        preview_prompts(text, [], "anna", False, 0.0)
    with pytest.raises(UserError, match="Template name is empty"):
        save_template(" ", TEXT, workspace)
    assert not workspace.templates.exists()


def test_the_preview_builds_five_prompts_of_the_datasets_captions(dataset: Path) -> None:
    workspace = Workspace(dataset.parents[1])
    captions = captions_of("datasets/anna", workspace)
    prompts = preview_prompts("a photo of [name], [filewords]", captions, "anna-01", False, 0.0)
    assert len(prompts) == 5
    assert {prompt.removeprefix("a photo of anna-01, ") for prompt in prompts} <= {
        f"smiling, red shirt, number {i}" for i in range(4)
    }
    assert preview_prompts("[name]: [filewords]", captions, "x", False, 1.0)[0] == "x:"
    assert captions_of(" ", workspace) == []
    assert preview_prompts("[filewords] of [name]", [], "", False, 0.0)[0].endswith(" of anna-01")
