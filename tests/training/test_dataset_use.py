"""Repeats, several captions, keep-first, drop-out of whole captions and pruned tags are functions of (seed, step,
index): a run that goes on, or is shared by several processes, sees the same.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch

from tests.conftest import Recorder
from tests.training.test_loop import anna, rows_of, settings_for, train
from tests.training.test_resume import anew, cut_at, go_on
from ti_core.data.dataset import CaptionRules, scan_dataset
from ti_core.events import Notice, StepDone
from ti_core.runs.plan import plan_run
from ti_core.settings import ONE_LINE, TrainSettings
from ti_core.training.distributed.ranks import Ranks
from ti_core.training.evaluate import _prompt_of
from ti_core.training.opening import open_run
from ti_core.training.run_state import describe_inputs
from ti_core.training.step_inputs import caption_of_step, images_of_step
from ti_core.training.update import prompts_of_step
from ti_core.workspace import Workspace

OPTIONS = {
    "caption_lines": ONE_LINE,
    "keep_first": 1,
    "caption_drop_out": 0.3,
    "tag_drop_out": 0.5,
    "pruned_tags": "number 1",
    "batch_size": 3,
    "gradient_accumulation_steps": 2,
    "template_file": "subject_filewords.txt",
}


@pytest.fixture
def parted(dataset: Path) -> Path:
    """The dataset in two folders of kohya's kind, the first picture with two captions."""
    pictures = sorted(dataset.glob("*.png"))
    for number, picture in enumerate(pictures):
        folder = dataset / ("3_anna woman" if number < len(pictures) // 2 else "1_others")
        folder.mkdir(exist_ok=True)
        for file in (picture, picture.with_suffix(".txt")):
            shutil.move(file, folder / file.name)
    first = min((dataset / "3_anna woman").glob("*.txt"))
    first.write_text("red hat, long_hair, smiling\nblue hat, outdoors\n", encoding="utf-8")
    return dataset


def test_a_pass_takes_each_image_as_often_as_it_is_repeated() -> None:
    plan = plan_run(3, 2, 3, 100, repeats=(1, 3, 2))
    assert (plan.images_per_step, plan.steps_per_epoch) == (6, 1)
    for step in (1, 2, 50):
        drawn = images_of_step(plan, 0, step)
        assert Counter(drawn) == {0: 1, 1: 3, 2: 2} and drawn == images_of_step(plan, 0, step)
    assert images_of_step(plan, 0, 1) != images_of_step(plan, 0, 2)
    small = plan_run(3, 2, 1, 100, repeats=(1, 3, 2))
    in_a_pass = Counter(image for step in (1, 2, 3) for image in images_of_step(small, 7, step))
    assert in_a_pass == {0: 1, 1: 3, 2: 2}
    plain = plan_run(5, 2, 2, 9)
    assert images_of_step(plain, 0, 3) == images_of_step(plan_run(5, 2, 2, 9, repeats=(1,) * 5), 0, 3)


def test_a_caption_is_drawn_for_each_use_and_left_out_as_often_as_asked() -> None:
    lines = ["one", "two", "three"]
    drawn = [caption_of_step(lines, 0.25, 3, step, index) for step in range(1, 400) for index in range(3)]
    assert drawn == [caption_of_step(lines, 0.25, 3, step, index) for step in range(1, 400) for index in range(3)]
    counts = Counter(drawn)
    assert abs(counts[""] / len(drawn) - 0.25) < 0.04
    assert all(abs(counts[line] / len(drawn) - 0.25) < 0.04 for line in lines)
    kept = [caption_of_step(lines, 0.0, 3, step, 0) for step in range(1, 50)]
    dropped = [caption_of_step(lines, 0.9, 3, step, 0) for step in range(1, 50)]
    assert all(b in ("", a) for a, b in zip(kept, dropped, strict=True))  # the choice does not depend on the chance
    assert caption_of_step(lines, 1.0, 3, 1, 0) == "" and caption_of_step(["x"], 0.0, 3, 1, 0) == "x"


def test_the_prompts_of_a_run_show_all_of_it(workspace: Workspace, anna: Path, parted: Path) -> None:
    recorder = Recorder()
    settings = settings_for(**OPTIONS, steps=40, image_every=0)
    run = open_run(settings, workspace, Ranks(), recorder, recorder.stop)
    try:
        first = [e.path.parent.name for e in run.inputs.examples].index("3_anna woman")
        prompts = [prompts_of_step(run, [first] * 3, step) for step in range(1, 40)]
        flat = [prompt for of_step in prompts for prompt in of_step]
        hats = Counter("red" if "red hat" in p else "blue" if "blue hat" in p else "none" for p in flat)
        assert all(hats[kind] > 15 for kind in ("red", "blue", "none"))  # both captions, and none of them
        assert not any("smiling" in prompt and "red hat" not in prompt for prompt in flat)  # the first tag stays
        assert any("red hat" in prompt and "smiling" not in prompt for prompt in flat)  # others may go
        of_all = [prompt for step in range(1, 9) for prompt in prompts_of_step(run, [0, 1, 2, 3], step)]
        assert not any("number 1" in prompt for prompt in of_all)
        assert prompts == [prompts_of_step(run, [first] * 3, step) for step in range(1, 40)]
        evaluated = {_prompt_of(run, index, first) for index in range(2)}
        assert any("red hat, long_hair, smiling" in p for p in evaluated) and any("blue hat" in p for p in evaluated)
    finally:
        run.writer.finish()
    notices = " ".join(notice.text for notice in recorder.of(Notice))
    for part in ("1 of 4 pictures has several captions, up to 2", "1 tag is left out of 1 caption: number 1."):
        assert part in notices, notices
    assert "Folder 1_others:" in run.inputs.plan.sentence()


def test_a_run_that_died_goes_on_to_the_same_vectors(workspace: Workspace, anna: Path, parted: Path) -> None:
    values = {**OPTIONS, "steps": 6, "save_every": 3, "image_every": 0}
    unbroken_prompts = [event.prompt for event in train(workspace, **values).of(StepDone)]
    unbroken = rows_of(anna)
    anew(workspace)
    events = go_on(workspace, cut_at(workspace, 5, **values))
    assert torch.equal(rows_of(anna), unbroken)
    prompts = [event.prompt for event in events.of(StepDone)]
    assert prompts == unbroken_prompts[-len(prompts) :]


def test_a_resume_notices_changed_repeats_and_lines(parted: Path) -> None:
    rules = CaptionRules.of(TrainSettings(caption_lines=ONE_LINE))
    before = describe_inputs(scan_dataset(parted, rules=rules), {})
    assert describe_inputs(scan_dataset(parted, rules=rules), {}) == before
    assert describe_inputs(scan_dataset(parted), {}) != before
    (parted / "3_anna woman").rename(parted / "2_anna woman")
    assert describe_inputs(scan_dataset(parted, rules=rules), {}) != before


def test_the_traits_of_a_character_are_left_out_of_prompts_and_files_stay(parted: Path) -> None:
    rules = CaptionRules.of(TrainSettings(prune_traits=True, pruned_tags="Smiling"))
    captions = [example.caption for example in scan_dataset(parted, rules=rules)]
    assert "red hat, blue hat, outdoors" in captions
    assert "long_hair" in min((parted / "3_anna woman").glob("*.txt")).read_text()
