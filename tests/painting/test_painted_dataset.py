"""Datasets that the checkpoint paints itself, and which of their pictures are bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import TINY, Recorder
from ti_core.data.bad_pictures import keep_bad
from ti_core.data.dataset import count_originals, scan_dataset
from ti_core.data.images import find_images
from ti_core.errors import SettingsError, UserError
from ti_core.events import Finished, Progress
from ti_core.painting.painted_dataset import BADLY, _requests, paint_dataset
from ti_core.settings import PaintDatasetSettings
from ti_core.settings.word_kind import SLIDER, WordKind
from ti_core.training.kind_presets import painted_prompts
from ti_core.workspace import Workspace


def paint(workspace: Workspace, stop: bool = False, **changes: object) -> tuple[list[Path], Recorder]:
    recorder = Recorder()
    if stop:
        recorder.stop.set()
    values = {"destination_directory": "datasets/smile", "checkpoint": TINY, "sampling_steps": 2, "count": 3, **changes}
    return paint_dataset(PaintDatasetSettings.from_dict(values), workspace, recorder, recorder.stop), recorder


def test_pictures_are_a_dataset_with_their_prompts_as_captions_and_are_added_to(workspace: Workspace) -> None:
    files, recorder = paint(workspace, prompts="a man\n\na woman")
    assert [file.name for file in files] == [f"{i:05d}-0-painted.png" for i in range(3)]
    examples = scan_dataset(workspace.datasets / "smile")
    assert [example.caption for example in examples] == ["a man", "a woman", "a man"]
    assert count_originals(files) == 3 and recorder.of(Progress)[-1].done == 3
    assert "Painted 3 pictures into datasets/smile" in recorder.of(Finished)[0].text
    more, _ = paint(workspace, count=1)
    assert more[0].name == "00003-0-painted.png" and len(find_images(workspace.datasets / "smile")) == 4


def test_the_same_seed_paints_the_same_pictures(workspace: Workspace) -> None:
    first, _ = paint(workspace, count=1)
    second, _ = paint(workspace, count=1, destination_directory="datasets/again")
    assert first[0].read_bytes() == second[0].read_bytes()


def test_bad_pictures_are_painted_in_every_way_with_every_prompt(workspace: Workspace) -> None:
    class Model:
        class file:
            class facts:
                few_steps = ""

    settings = PaintDatasetSettings(prompts="a man\na woman", count=len(BADLY) * 2, badly=True)
    painted = _requests(settings, Model())  # type: ignore[arg-type]
    assert {(r.prompt, r.steps, r.cfg_scale) for r in painted} == {
        (prompt, *way) for prompt in ("a man", "a woman") for way in BADLY
    }
    assert len({r.seed for r in painted}) == len(painted)


def test_interrupt_keeps_what_is_painted_and_says_so(workspace: Workspace) -> None:
    files, recorder = paint(workspace, stop=True)
    assert not files and recorder.of(Finished)[0].interrupted


def test_what_cannot_be_painted_is_refused_before_anything_is_loaded(workspace: Workspace) -> None:
    with pytest.raises(SettingsError, match="What to paint is empty"):
        paint(workspace, prompts=" \n ")
    with pytest.raises(UserError, match="nothing"):
        paint(workspace, checkpoint="nothing")


def test_only_the_ticked_pictures_stay_and_the_others_lie_beside_with_their_captions(workspace: Workspace) -> None:
    folder = workspace.datasets / "bad"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / f"{name}.png").write_bytes(b"x")
        (folder / f"{name}.txt").write_text(name, encoding="utf-8")
    with pytest.raises(UserError, match="No picture is ticked"):
        keep_bad(folder, {"z.png"})
    moved, target = keep_bad(folder, {"b.png"})
    assert (moved, target.name) == (2, "bad-good")
    assert sorted(path.name for path in folder.iterdir()) == ["b.png", "b.txt"]
    assert sorted(path.name for path in target.iterdir()) == ["a.png", "a.txt", "c.png", "c.txt"]
    (folder / "a.png").write_bytes(b"another")
    assert keep_bad(folder, {"b.png"})[0] == 1 and (target / "a-2.png").read_bytes() == b"another"


def test_a_slider_is_trained_on_both_of_its_ends_with_all_that_it_keeps() -> None:
    word = WordKind(SLIDER, "a photo of a person, [filewords]", "smiling", "", "man, woman")
    assert painted_prompts(word) == [
        f"a photo of a person, {kept}{end}" for kept in ("man", "woman") for end in ("", ", smiling", "")
    ]
