"""The loop on a tiny random checkpoint: what is trained, what is saved, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.conftest import TINY, Recorder
from ti_core.data.images import find_images
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import find_embeddings
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.embeddings.png_file import load_picture
from ti_core.errors import SettingsError, UserError
from ti_core.events import EmbeddingSaved, Finished, Notice, PreviewSaved, Started, StepDone
from ti_core.models import checkpoint
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.training import loop, opening, snapshots, update
from ti_core.training.create import create_embedding
from ti_core.training.run import Run
from ti_core.workspace import Workspace


def settings_for(**changes: object) -> TrainSettings:
    values = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "Custom_subject_filewords.txt",
        "learning_rate": "0.05:2, 0.02",
        "batch_size": 2,
        "gradient_accumulation_steps": 4,
        "steps": 4,
        "image_every": 2,
        "save_every": 2,
        "preview_steps": 2,
        "checkpoint": TINY,
        "shuffle_tags": True,
        "tag_drop_out": 0.1,
    }
    return TrainSettings.from_dict({**values, **changes})


@pytest.fixture
def anna(workspace: Workspace, dataset: Path) -> Path:
    return create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2), workspace)


def train(workspace: Workspace, recorder: Recorder | None = None, **changes: object) -> Recorder:
    recorder = recorder or Recorder()
    loop.train(settings_for(**changes), workspace, recorder, recorder.stop)
    return recorder


def rows_of(path: Path) -> torch.Tensor:
    return load_embedding(path).vectors["clip_l"]


@pytest.mark.parametrize("name", ["anna's", "a+b", "bad_prompt(v2)", " lead", "Jose\u0301", "हिन्दी", "n" * 101])
def test_an_embedding_that_another_program_named_is_trained_under_that_name(
    workspace: Workspace, anna: Path, name: str
) -> None:
    anna.rename(anna.with_name(f"{name}.pt"))
    before = rows_of(anna.with_name(f"{name}.pt"))
    run = Path(train(workspace, embedding=name, steps=1, image_every=1, save_every=1).of(Started)[0].folder)
    assert (run.name, load_embedding(anna.with_name(f"{name}.pt")).step) == (name, 1)
    assert (run / "embeddings" / f"{name}-1.pt").is_file() and not torch.equal(
        rows_of(anna.with_name(f"{name}.pt")), before
    )


def test_lines_that_do_not_hold_the_word_are_left_out_and_told(workspace: Workspace, anna: Path) -> None:
    """An update of such lines alone would have no gradient."""
    (workspace.templates / "mixed.txt").parent.mkdir(exist_ok=True)
    (workspace.templates / "mixed.txt").write_text(
        "a photo of [name]\na photo of a woman\nin [name]_style\n", encoding="utf-8"
    )
    events = train(
        workspace, template_file="mixed.txt", batch_size=1, gradient_accumulation_steps=1, steps=12, image_every=0
    )
    assert {event.prompt for event in events.of(StepDone)} == {"a photo of anna"}
    assert any("2 of the 3 lines of mixed.txt" in notice.text for notice in events.of(Notice))
    (workspace.templates / "glued.txt").write_text("[name]の写真\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"\[name\] stand as a word of its own.*Put a space"):
        train(workspace, template_file="glued.txt", steps=20)


def test_a_line_without_the_word_stays_where_every_caption_brings_it(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    (workspace.templates / "brought.txt").parent.mkdir(exist_ok=True)
    (workspace.templates / "brought.txt").write_text("a photo of [name]\n[filewords]\n", encoding="utf-8")
    for file in dataset.glob("*.txt"):
        file.write_text("[name], smiling", encoding="utf-8")
    changes = {
        "template_file": "brought.txt",
        "batch_size": 1,
        "gradient_accumulation_steps": 1,
        "image_every": 0,
        "shuffle_tags": False,
    }
    events = train(workspace, steps=20, tag_drop_out=0, **changes)
    assert {event.prompt for event in events.of(StepDone)} == {"a photo of anna", "anna, smiling"}
    events = train(
        workspace, steps=40, tag_drop_out=0.5, **changes
    )  # where the word may be dropped, the line is not counted on
    assert {event.prompt for event in events.of(StepDone)} == {"a photo of anna"}


def test_file_names_that_serve_as_captions_are_told(workspace: Workspace, anna: Path, dataset: Path) -> None:
    assert not any("file names" in notice.text for notice in train(workspace, steps=1, image_every=0).of(Notice))
    (dataset / "00001-0-photo.txt").unlink()
    notices = [notice.text for notice in train(workspace, steps=2, image_every=0).of(Notice)]
    assert any(text.startswith("1 of 4 pictures has no caption file") and "such as 'photo'" in text for text in notices)
    assert not any(
        "file names" in notice.text
        for notice in train(workspace, steps=3, image_every=0, template_file="subject.txt").of(Notice)
    )


def test_gradients_whose_squares_are_too_large_are_refused(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer would keep an infinite average of squares, and never move again."""
    before = rows_of(anna)
    gradient = loop.take_gradient

    def large(run: Run, step: int) -> tuple[float, str]:
        loss_and_prompt = gradient(run, step)
        for rows in run.state.vectors.values():
            rows.grad = torch.full_like(rows, 1e25)
        return loss_and_prompt

    monkeypatch.setattr(loop, "take_gradient", large)
    with pytest.raises(UserError, match="broke down"):
        train(workspace, steps=9)
    assert torch.equal(rows_of(anna), before)


def test_a_run_leaves_a1111s_files_in_a1111s_places(workspace: Workspace, anna: Path) -> None:
    before = rows_of(anna)
    events = train(workspace)
    folder = Path(events.of(Started)[0].folder)
    assert folder.parent.parent == workspace.root / "textual_inversion" and folder.name == "anna"
    for place, suffix in (("embeddings", "pt"), ("images", "png"), ("image_embeddings", "png")):
        states = [".pt.optim"] * (place == "embeddings")
        of_a1111 = {f"anna-{n}{end}" for n in (2, 4) for end in (f".{suffix}", *states)}
        ours = {"anna-0.png", *(f"anna-{n}-prompt2.png" for n in (0, 2, 4))} if place == "images" else set[str]()
        assert {path.name for path in (folder / place).iterdir()} == of_a1111 | ours
    with (folder / "textual_inversion_loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["epoch"], row["epoch_step"], row["learn_rate"]) for row in rows] == [
        ("1", "0", "0", "0.05"),
        ("2", "1", "0", "0.05"),
        ("3", "2", "0", "0.02"),
        ("4", "3", "0", "0.02"),
    ]
    assert [f"{event.loss:.7f}" for event in events.of(StepDone)] == [row["loss"] for row in rows]
    written = json.loads(next(folder.glob("settings-*.json")).read_text())
    assert (
        written["model_name"],
        written["num_of_dataset_images"],
        written["num_vectors_per_token"],
        written["steps"],
    ) == (TINY, 4, 2, 4)
    assert (written["embedding_name"], written["learn_rate"], written["gradient_step"], written["training_width"]) == (
        "anna",
        "0.05:2, 0.02",
        4,
        16,
    )
    assert TrainSettings.from_dict(written["settings"]) == replace(settings_for(), width=16, height=16)
    assert json.loads((folder / "events.jsonl").read_text().splitlines()[0])["event"] == "Started"
    last = load_embedding(anna)
    assert (last.step, last.checkpoint_name, len(last.checkpoint_hash or "")) == (4, TINY, 10)
    assert not torch.equal(last.vectors["clip_l"], before)
    assert "Each step looks at 4 of them (batch 2 x accumulation 2)" in events.of(Started)[0].plan


def test_a_copy_named_2_holds_two_updates_and_its_card_carries_it(workspace: Workspace, anna: Path) -> None:
    folder = Path(train(workspace).of(Started)[0].folder)
    copy, card = (
        load_embedding(folder / "embeddings" / "anna-2.pt"),
        load_picture(folder / "image_embeddings" / "anna-2.png"),
    )
    assert (copy.step, card.step, card.name) == (2, 2, "anna-2")
    assert torch.equal(copy.vectors["clip_l"], card.vectors["clip_l"])
    train_two = create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    train(workspace, steps=2)
    assert torch.equal(rows_of(train_two), copy.vectors["clip_l"])


def test_previews_tell_how_they_were_made_and_take_their_own_size_and_sampler(workspace: Workspace, anna: Path) -> None:
    preview = train(
        workspace, steps=1, image_every=1, preview_sampler="Euler", preview_width=64, preview_height=72, preview_seed=9
    ).of(PreviewSaved)[0]
    with Image.open(preview.path) as picture:
        assert picture.size == (64, 72)
        assert picture.text["parameters"].startswith(
            f"{preview.prompt}\nSteps: 2, Sampler: Euler, CFG scale: 7, Seed: 9, Size: 64x72, Model hash: "
        )


def test_other_embeddings_in_captions_and_previews_act_and_stay_as_they_are(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    for caption in dataset.glob("*.txt"):
        caption.write_text(caption.read_text() + ", oldstyle")
    before = train(workspace)
    without, plain = rows_of(anna), Image.open(before.of(PreviewSaved)[0].path)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    rows = torch.randn(2, 32, generator=torch.Generator().manual_seed(1))
    other = save_embedding(workspace.embeddings / "oldstyle.pt", Embedding("oldstyle", {"clip_l": rows}))
    content = other.read_bytes()
    events = train(workspace, preview_prompt="a photo of anna, oldstyle")
    assert any("also name oldstyle" in notice.text for notice in events.of(Notice))
    assert not torch.equal(rows_of(anna), without) and other.read_bytes() == content
    with Image.open(events.of(PreviewSaved)[0].path) as picture:
        assert 'TI hashes: "oldstyle: ' in picture.info["parameters"] and "TI hashes" not in plain.info["parameters"]


def test_a_preview_tells_of_the_embeddings_in_its_own_prompt_alone(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    save_embedding(workspace.embeddings / "oldstyle.pt", Embedding("oldstyle", {"clip_l": torch.ones(1, 32)}))
    next(dataset.glob("*.txt")).write_text("oldstyle")
    preview = train(workspace, steps=1, image_every=1, preview_prompt="a photo of anna").of(PreviewSaved)[0]
    with Image.open(preview.path) as picture:
        assert "TI hashes" not in picture.text["parameters"]  # type: ignore[attr-defined]


def test_training_refuses_an_embedding_of_sdxl_in_a_pt(workspace: Workspace, anna: Path) -> None:
    save_embedding(anna, Embedding("anna", {"clip_l": torch.ones(1, 32), "clip_g": torch.ones(1, 48)}))
    with pytest.raises(UserError, match=r"'anna\.pt' is an embedding of SDXL"):
        train(workspace)


def test_only_the_vectors_change(workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(
        opening, "warm_checkpoint", lambda *args: loaded.append(checkpoint.load_checkpoint(*args)) or loaded[0]
    )
    train(workspace)
    fresh = checkpoint.load_checkpoint(TINY, workspace)
    for trained, untouched in (
        (loaded[0].unet, fresh.unet),
        (loaded[0].text_encoders[0], fresh.text_encoders[0]),
        (loaded[0].vae, fresh.vae),
    ):
        for (name, a), (_, b) in zip(trained.named_parameters(), untouched.named_parameters(), strict=True):
            assert torch.equal(a.cpu(), b.cpu()) and a.grad is None, name


def test_previews_and_copies_change_nothing_in_the_training(workspace: Workspace, anna: Path) -> None:
    train(workspace)
    with_previews = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    train(workspace, image_every=0, save_every=0)
    assert torch.equal(rows_of(anna), with_previews)


def test_a_fused_update_has_the_gradient_of_accumulated_micro_batches(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=2, precision="float32")
    fused = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    train(workspace, steps=2, micro_batch=1, precision="float32")
    assert torch.allclose(rows_of(anna), fused, atol=1e-5)


@pytest.mark.parametrize("method", ["once", "deterministic", "random"])
def test_the_same_seed_gives_the_same_embedding_and_another_seed_another(
    workspace: Workspace, anna: Path, method: str
) -> None:
    results = []
    for seed in (1, 1, 2):
        create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
        train(workspace, seed=seed, latent_sampling_method=method, image_every=0)
        results.append(rows_of(anna))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_interrupt_saves_the_completed_steps_and_says_so(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, Recorder(stop_at=2), steps=50, image_every=0)
    finished = events.of(Finished)[0]
    assert finished.interrupted and "interrupted at 2 steps" in finished.text
    assert load_embedding(anna).step == 2
    assert events.of(EmbeddingSaved)[-1].path == str(anna)


def test_interrupt_while_a_preview_is_painted_ends_there_and_keeps_the_step(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, paint = Recorder(), snapshots.sample_images

    def stopped(*given: object, **named: object) -> object:
        if recorder.of(StepDone):
            recorder.stop.set()
        return paint(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "sample_images", stopped)
    train(workspace, recorder, steps=50)
    assert {event.step for event in recorder.of(PreviewSaved)} == {0}
    assert recorder.of(Finished)[0].interrupted and load_embedding(anna).step == 2


def test_interrupt_acts_within_one_micro_batch_and_leaves_the_half_step_out(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, calls, noise_predict_loss = Recorder(), [], update.noise_predict_loss

    def counted(*given: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:  # the second of four micro-batches of step 2
            recorder.stop.set()
        return noise_predict_loss(*given)

    monkeypatch.setattr(update, "noise_predict_loss", counted)
    train(workspace, recorder, steps=50, micro_batch=1, image_every=0, save_every=0)
    assert len(calls) == 6
    assert load_embedding(anna).step == 1


def test_training_on_continues_from_the_files_step(workspace: Workspace, anna: Path) -> None:
    train(workspace, steps=2)
    events = train(workspace, steps=5, image_every=5)
    assert [event.step for event in events.of(StepDone)] == [3, 4, 5]
    assert [event.step for event in events.of(PreviewSaved)] == [5, 5]
    with pytest.raises(UserError, match="has 5 steps already"):
        train(workspace, steps=5)


@pytest.mark.parametrize("suffix", [".safetensors", ".png"])
def test_a_file_of_another_format_is_trained_on_into_a_pt(workspace: Workspace, anna: Path, suffix: str) -> None:
    train(workspace, steps=2)
    save_embedding(anna.with_suffix(suffix), load_embedding(anna))
    unbroken = train(workspace, steps=3, save_optimizer_state=False) and rows_of(anna)
    anna.unlink()
    assert find_embeddings(workspace) == ["anna"]
    events = train(workspace, steps=3, save_optimizer_state=False)
    assert [event.step for event in events.of(StepDone)] == [3]
    assert torch.equal(rows_of(anna), unbroken)


def test_a_schedule_that_has_passed_goes_on_at_its_last_rate_and_says_so(workspace: Workspace, anna: Path) -> None:
    events = train(workspace, learning_rate="0.05:1, 0.02:2", image_every=0)
    assert [event.rate for event in events.of(StepDone)] == [0.05, 0.02, 0.02, 0.02]
    assert any("end at step 2; the last one, 0.02, goes on until step 4" in event.text for event in events.of(Notice))


def test_a_second_fresh_run_of_a_day_does_not_mix_with_the_first(workspace: Workspace, anna: Path) -> None:
    first = train(workspace).of(Started)[0].folder
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, overwrite=True), workspace)
    second = train(workspace).of(Started)[0].folder
    assert second == f"{first}-2"


@pytest.mark.parametrize(("bad", "halvings"), [({3}, 1), ({3, 5, 6}, 3)])
def test_updates_that_are_not_finite_are_refused_and_halve_the_rate(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch, bad: set[int], halvings: int
) -> None:
    poison(monkeypatch, bad)
    events = train(workspace, steps=9, save_every=0, image_every=0)
    done = events.of(StepDone)
    assert {event.step for event in done} == set(range(1, 10)) - bad
    assert done[-1].rate == 0.02 / 2**halvings
    assert sum("halved" in event.text for event in events.of(Notice)) == halvings
    assert bool(rows_of(anna).isfinite().all()) and load_embedding(anna).step == 9


def test_a_refused_update_leaves_the_optimizer_as_it_was(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, {3})
    train(workspace, steps=3, save_every=0, image_every=0)
    with_refusal = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    train(workspace, steps=2, save_every=0, image_every=0)
    assert torch.equal(rows_of(anna), with_refusal)


def test_when_halving_does_not_help_the_run_fails_with_the_last_good_vectors_saved(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, set(range(3, 99)))
    events = Recorder()
    with pytest.raises(UserError, match=r"At step 6 .*broke down.*0\.0025.*last good vectors are saved.*lower"):
        train(workspace, events, steps=9, save_every=0, image_every=0)
    assert not events.of(Finished)
    stopped = rows_of(anna)
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    monkeypatch.undo()
    train(workspace, steps=2, save_every=0, image_every=0)
    assert torch.equal(rows_of(anna), stopped)


def poison(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Noise that is not a number at these steps."""
    noise_of_step = update.noise_of_step

    def poisoned(
        clean: list[torch.Tensor], seed: int, step: int, timestep_count: int
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        noise, timesteps = noise_of_step(clean, seed, step, timestep_count)
        return [one * (float("nan") if step in steps else 1) for one in noise], timesteps

    monkeypatch.setattr(update, "noise_of_step", poisoned)


def test_a_template_that_never_names_the_embedding_is_refused(workspace: Workspace, anna: Path) -> None:
    workspace.templates.mkdir()
    (workspace.templates / "bad.txt").write_text("a photo of a person\n")
    with pytest.raises(UserError, match=r"bad\.txt.*\[name\]"):
        train(workspace, template_file="bad.txt")


def test_every_bad_setting_is_told_at_once_and_nothing_is_written(workspace: Workspace, dataset: Path) -> None:
    with pytest.raises(SettingsError) as error:
        train(
            workspace,
            embedding="nobody",
            dataset_directory="datasets/none",
            template_file="nothing.txt",
            learning_rate="0.05:x",
            steps=0,
            checkpoint="datasets",
        )
    text = str(error.value)
    for part in (
        "'nobody' does not exist",
        "'datasets/none' does not exist",
        "nothing.txt",
        "'0.05:x'",
        "Max steps is 0",
        "no model_index.json",
    ):
        assert part in text, part
    assert not (workspace.root / "textual_inversion").exists() and not find_images(workspace.root)


def test_an_unreadable_picture_among_good_ones_is_named_and_skipped(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    (dataset / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Image.new("RGB", (1, 1)).save(dataset / "pixel.png")
    events = train(workspace)
    assert any("broken.png" in event.text for event in events.events if type(event).__name__ == "Notice")
    assert any(notice.text.startswith("pixel.png was skipped: it is only 1 x 1") for notice in events.of(Notice))
    assert "4 images" in events.of(Started)[0].plan


def test_an_embedding_of_another_width_is_refused_by_its_numbers(workspace: Workspace, anna: Path) -> None:
    from ti_core.embeddings.embedding import Embedding
    from ti_core.embeddings.pt_file import save_pt

    save_pt(anna, Embedding("anna", {"clip_l": torch.zeros(1, 768)}))
    with pytest.raises(UserError, match=r"another kind of checkpoint than tiny.*768 numbers, not 32"):
        train(workspace)


def test_a_full_disk_ends_the_run_with_the_last_good_file(
    workspace: Workspace, anna: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(anna)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ti_core.files.os.replace", full)
    with pytest.raises(UserError, match="disk is full"):
        train(workspace)
    assert torch.equal(rows_of(anna), before)


@pytest.mark.parametrize(("mode", "largest"), [("value", lambda g: g.abs().max()), ("norm", lambda g: g.norm())])
def test_clipping_limits_the_true_gradient_by_its_own_schedule(
    workspace: Workspace,
    anna: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    largest: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    seen = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW) -> None:
        seen.append(float(largest(self.param_groups[0]["params"][0].grad)))
        step(self)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    train(workspace, clip_grad_mode="disabled", image_every=0)
    free, seen[:] = list(seen), []
    create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
    low, high = min(free) / 10, min(free) / 5
    train(workspace, clip_grad_mode=mode, clip_grad_value=f"{low!r}:2, {high!r}", image_every=0)
    assert seen == pytest.approx([low, low, high, high], rel=1e-3)


def test_pictures_of_different_sizes_train_together_and_a_mask_changes_what_is_learned(
    workspace: Workspace, anna: Path, dataset: Path
) -> None:
    Image.new("RGBA", (32, 16), (200, 30, 30, 255)).save(dataset / "wide.png")
    half = Image.new("RGBA", (16, 24), (30, 30, 200, 255))
    half.paste((0, 0, 0, 0), (0, 0, 16, 12))
    half.save(dataset / "half.png")
    results = []
    for alpha in (False, True):
        create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=2, overwrite=True), workspace)
        train(workspace, keep_size=True, alpha_as_weight=alpha, steps=2, gradient_accumulation_steps=3)
        results.append(rows_of(anna))
    assert bool(results[0].isfinite().all()) and bool(results[1].isfinite().all())
    assert not torch.equal(results[0], results[1])
