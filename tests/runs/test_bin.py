"""Runs are renamed, put into the bin and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runs.disk import make_run
from ti_core.errors import UserError
from ti_core.runs.bin import binned_runs, empty_bin, put_into_bin, rename_run, take_back
from ti_core.workspace import Workspace


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_gets_a_cleaned_name_and_keeps_its_files(tmp_path: Path) -> None:
    run, workspace = make_run(tmp_path).root, Workspace(tmp_path)
    before = files(run)
    new = rename_run(run, " ../best: of anna? ", workspace)
    assert new == run.with_name("best of anna") and not run.exists() and files(new) == before
    make_run(tmp_path, name="berta")
    for typed, told in (("berta", "There is a run"), ("best of anna", "already"), ("/", "no letter"), ("", "empty")):
        with pytest.raises(UserError, match=told):
            rename_run(new, typed, workspace)
    assert files(new) == before


def test_a_run_goes_into_the_bin_and_comes_back(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    run = make_run(tmp_path).root
    before, named = files(run), "textual_inversion/2026-01-31/anna"
    (tmp_path / "bin" / "embeddings").mkdir(parents=True)  # what other parts put there is no run
    lies = put_into_bin(run, workspace)
    assert lies == tmp_path / "bin" / named and files(lies) == before and not run.parent.exists()
    assert binned_runs(workspace) == [named]
    assert take_back(named, workspace) == run and files(run) == before and not binned_runs(workspace)

    put_into_bin(run, workspace)
    put_into_bin(make_run(tmp_path).root, workspace)  # another one of the same name
    assert sorted(binned_runs(workspace)) == [named, f"{named}-2"]
    make_run(tmp_path)  # its place is taken
    assert take_back(named, workspace) == run.with_name("anna-2")
    for wrong in ("nothing", "../textual_inversion/2026-01-31/anna", "", f"{named}/embeddings"):
        with pytest.raises(UserError, match="no run"):
            take_back(wrong, workspace)


def test_the_bin_is_emptied_of_runs_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    stays = make_run(tmp_path, name="berta").root
    deleted = tmp_path / "bin" / "embeddings" / "2026-01-31 12.00.00" / "anna.pt"
    deleted.parent.mkdir(parents=True)
    deleted.write_bytes(b"x")
    outside = tmp_path / "outside.txt"
    outside.write_text("stays")
    for _ in range(2):
        run = make_run(tmp_path).root
        (run / "link").symlink_to(outside)
        put_into_bin(run, workspace)
    assert empty_bin(workspace) == 2 and not binned_runs(workspace)
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["embeddings"] and deleted.is_file()
    assert stays.is_dir() and outside.is_file() and empty_bin(workspace) == 0


def test_what_lies_outside_of_the_workspace_is_left_alone(tmp_path: Path) -> None:
    outside, workspace = make_run(tmp_path / "other").root, Workspace(tmp_path / "workspace")
    link = workspace.root / "textual_inversion" / "2026-01-31" / "link"
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    for folder in (outside, link, workspace.root):
        with pytest.raises(UserError, match="outside the workspace"):
            put_into_bin(folder, workspace)
        with pytest.raises(UserError, match="outside the workspace"):
            rename_run(folder, "new", workspace)
    assert outside.is_dir()


def test_deleted_embeddings_are_no_runs_whatever_their_folders_are_called(tmp_path: Path) -> None:
    """Emptying the bin would delete them for ever."""
    workspace = Workspace(tmp_path)
    deleted = tmp_path / "bin" / "embeddings" / "2026-01-31 12.00.00" / "styles" / "embeddings" / "anna.pt"
    deleted.parent.mkdir(parents=True)
    deleted.write_bytes(b"x")
    assert binned_runs(workspace) == [] and empty_bin(workspace) == 0 and deleted.is_file()
