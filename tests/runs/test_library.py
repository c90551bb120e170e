"""The list of runs on disk: what is in it, and that viewers are told only what is new."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.runs.disk import make_a1111_run, make_run
from ti_core.errors import UserError
from ti_core.runs import library as module
from ti_core.runs.library import ListedRun, RunLibrary
from ti_core.workspace import Workspace


def read(library: RunLibrary) -> RunLibrary:
    library.refresh()
    return library


def test_every_run_is_listed_the_newest_first_with_what_can_be_done(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-01-30", "berta")
    stopped = make_run(tmp_path, "2026-01-31", "anna", steps=(10, 20), total=150)
    make_a1111_run(tmp_path)
    (tmp_path / "textual_inversion" / "2026-01-31" / "empty").mkdir()
    runs = read(RunLibrary(Workspace(tmp_path))).newest()
    assert {run.run for run in runs[1:]} == {"textual_inversion/2026-01-30/berta", "textual_inversion/2026-01-31/anna"}
    assert runs[0].run == "textual_inversion/2023-05-01/old"  # its files are of now
    anna, berta = runs[1], runs[2]
    assert (anna.name, anna.day, anna.step, anna.total, anna.can_resume) == ("anna", "2026-01-31", 20, 150, True)
    assert anna.picture == stopped.preview(20)
    assert (berta.step, berta.total, berta.can_resume) == (30, 30, False)
    assert (runs[0].step, runs[0].total, runs[0].can_resume) == (1000, 1000, False)


def test_a_viewer_is_told_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    make_run(tmp_path, "2026-01-30", "berta")
    anna = make_run(tmp_path, "2026-01-31", "anna", steps=(10,), total=30)
    library = read(RunLibrary(Workspace(tmp_path)))
    rows, gone, is_whole = library.changes("", 200)
    assert ([row.name for row in rows], gone, is_whole) == (["anna", "berta"], [], True)
    mark = library.mark
    read(library)
    assert library.mark == mark and library.changes(mark, 200) == ([], [], False)
    anna.copy(20).write_bytes(b"x")
    read(library)
    rows, gone, is_whole = library.changes(mark, 200)
    assert ([(row.name, row.step) for row in rows], gone, is_whole) == ([("anna", 20)], [], False)
    mark = library.mark
    anna.root.rename(anna.root.with_name("clara"))
    read(library)
    rows, gone, is_whole = library.changes(mark, 200)
    assert ([row.name for row in rows], gone, is_whole) == (["clara"], ["textual_inversion/2026-01-31/anna"], False)
    for wrong in ("x", "1.2", library.mark + "0" * 5, library.mark.replace(".", ".-"), "²." + "9" * 40):
        assert library.changes(wrong, 200)[2], "the mark of another server is told everything"
    assert [row.name for row in library.changes("", 1)[0]] == ["clara"]


def test_a_folder_that_did_not_change_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        make_run(tmp_path, "2026-01-30", f"berta{number}", steps=(1,), total=1)
    library = read(RunLibrary(Workspace(tmp_path)))
    opened: list[str] = []
    look = module._look_at
    monkeypatch.setattr(module, "_look_at", lambda run, folder: opened.append(run) or look(run, folder))
    read(library)
    assert not opened
    os.utime(tmp_path / "textual_inversion/2026-01-30/berta3/images")
    read(library)
    assert opened == ["textual_inversion/2026-01-30/berta3"]


def test_a_look_at_the_disk_takes_a_fiftieth_of_the_time_at_most(tmp_path: Path) -> None:
    library = RunLibrary(Workspace(tmp_path))
    assert library.is_due and not library.was_read
    read(library)
    assert library.was_read and not library.is_due
    library._looked_at = time.monotonic() - 3
    assert library.is_due
    library._took_s = 1.0  # a slow disk
    assert not library.is_due


def test_a_confined_page_lists_no_run_that_lies_outside(tmp_path: Path) -> None:
    outside = make_run(tmp_path / "other", name="secret").root
    root = tmp_path / "workspace"
    make_run(root, name="anna")
    (root / "textual_inversion" / "2026-01-31" / "link").symlink_to(outside)
    assert [run.name for run in read(RunLibrary(Workspace(root, confined=True))).newest()] == ["anna"]
    with pytest.raises(UserError, match="no run"):
        RunLibrary(Workspace(root, confined=True)).find("../other/textual_inversion/2026-01-31/secret")
    others = RunLibrary(Workspace(root), lambda: [str(outside)])
    assert {run.name for run in read(others).newest()} == {"anna", "secret"}, "a link to it is the same run"


def test_a_files_time_may_be_anything(tmp_path: Path) -> None:
    run = ListedRun("a/b/c", tmp_path, "c", 1, 1, False, 1e18, None)
    assert run.day == ""


def test_many_who_ask_for_what_is_not_there_cost_one_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who may look only could else keep every thread of the server busy with a slow disk."""
    library, looks, all_ask = RunLibrary(Workspace(tmp_path)), [], threading.Barrier(21)

    def folders() -> list[Path]:
        looks.append(1)
        if len(looks) == 1:
            all_ask.wait(10)
        return []

    monkeypatch.setattr(library, "_folders", folders)

    def ask() -> None:
        first = threading.Thread(target=all_ask.wait, args=(10,))  # says that this one asks
        first.start()
        with pytest.raises(UserError, match="no run"):
            library.find("nothing")

    askers = [threading.Thread(target=ask) for _ in range(20)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(10)
    assert 1 <= len(looks) < 10
