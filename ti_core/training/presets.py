"""The face recipe of the guide and the other presets as settings of the three tabs, adapted to the photos at hand.
Page and command line share them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ti_core.checkpoints.library import find_checkpoint
from ti_core.data.aspect_buckets import bucket_sizes
from ti_core.data.captions import CaptionFiles, caption_notes, word_note
from ti_core.data.dataset import (
    CaptionRules,
    Example,
    count_originals,
    dataset_notes,
    fallback_notes,
    plan_training,
    read_examples,
)
from ti_core.data.dataset_parts import DatasetParts, find_parts, parts_of
from ti_core.data.findings import finding_sentences, findings_of, look_within
from ti_core.data.images import find_images
from ti_core.data.masks import mask_sentences
from ti_core.data.picture_checks import photo_sentences, picture_sentences, shown
from ti_core.data.preprocess import not_left_out, with_own_sizes
from ti_core.embeddings.folder import optimizer_file
from ti_core.embeddings.formats import SAVED_BY_TRAINING
from ti_core.embeddings.kind_in_file import kind_of_file
from ti_core.embeddings.names import free_name
from ti_core.errors import UserError, about
from ti_core.models.device import DeviceState
from ti_core.models.memory import facts_by_size, plan_fit
from ti_core.runs.pace import find_pace
from ti_core.runs.plan import RunPlan
from ti_core.settings import PreprocessSettings, TrainSettings
from ti_core.settings.prompts import ensure_recipe_template, find_template, load_template
from ti_core.workspace import SAMPLE_PHOTOS, SHOWN_SAMPLE_PHOTOS, Workspace, clean_name

LEARNING_RATE = "0.05:10, 0.02:20, 0.01:60, 0.004:500, 0.002:1000, 0.001:3000, 0.0005"
STEPS = 150
EVERY = 10
BATCH_SIZE = 2
TAG_DROP_OUT = 0.1
GUIDE, A1111, FAST = "Face recipe (guide)", "A1111 defaults", "Fast and faithful"
_GUIDE_VALUES = {
    "learning_rate": LEARNING_RATE,
    "batch_size": BATCH_SIZE,
    "steps": STEPS,
    "image_every": EVERY,
    "save_every": EVERY,
    "shuffle_tags": True,
    "tag_drop_out": TAG_DROP_OUT,
    "latent_sampling_method": "deterministic",
}
_FAST_VALUES = {
    "learning_rate": "0.005:15, 0.0025:40, 0.001:100, 0.0005",
    "batch_size": 2,
    "gradient_accumulation_steps": 1,
    "steps": 300,
    "image_every": 60,
    "save_every": 60,
    "norm_control": "direction only",
    "early_stop": 2,
}
PRESETS: dict[str, dict[str, Any]] = {GUIDE: _GUIDE_VALUES, A1111: {}, FAST: {**_GUIDE_VALUES, **_FAST_VALUES}}
"""What each preset sets beside the defaults. docs/quality.md tells how the values of the fast one were found."""
LOOKED_WITHIN_S = 0.2
"""So long the plan looks for near duplicates and blur each time it is made; it remembers how far it came."""
HOLD_OUT_FROM = 40
"""From so many photos on, the fast preset holds a tenth of them out for the evaluation."""
SAMPLE_PEOPLE: tuple[str, ...] = tuple(sorted(p.name for p in SAMPLE_PHOTOS.glob("*") if p.is_dir()))


def dataset_folder(name: str) -> str:
    """Where the finished pictures of an embedding go, relative to the workspace."""
    return f"datasets/{clean_name(name)}"


def preprocess_values(photos: str, name: str) -> dict[str, Any]:
    """Guide's steps 1 and 3: square pictures, mirrored copies, captions kept."""
    return {
        "source_directory": photos,
        "destination_directory": dataset_folder(name),
        "flip": True,
        "caption_action": "copy",
    }


def sample_recipe(
    person: str, workspace: Workspace, taken: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the Create embedding and the Preprocess images form for one of the sample people. Once there is an
    embedding or a dataset of that name, or one of `taken`, it gets a number, so that nothing is written over.
    """
    name = free_name(person, workspace, taken)
    return {"name": name, "overwrite": False}, preprocess_values(f"{SHOWN_SAMPLE_PHOTOS}/{person}", name)


def check_preset(preset: str) -> None:
    """Raises UserError, naming the presets, if there is none of that name."""
    if preset not in PRESETS:
        hint = f"Choose one of: {', '.join(PRESETS)}."
        raise UserError(f"There is no preset called '{preset}'.", hint, field="preset")


def preset_values(preset: str, workspace: Workspace, dataset_directory: str, embedding: str) -> dict[str, Any]:
    """Values of the Train form for this dataset. What presets reset (`Settings.reset_values`) gets its default where
    the preset is silent; how pictures are painted and loaded stays as it is.

    Raises UserError if there is no such preset, or if a recipe's dataset holds no pictures.
    """
    check_preset(preset)
    values = TrainSettings.reset_values() | PRESETS[preset]
    values |= {"embedding": embedding, "dataset_directory": dataset_directory}
    if preset == A1111:
        return values
    with about("dataset_directory"):
        parts = find_parts(workspace.folder(dataset_directory, "Dataset directory"))
        if not (images := parts.pictures):
            raise parts.no_pictures("Dataset directory", dataset_directory.strip())
    photos = count_originals(images)
    values["template_file"] = ensure_recipe_template(workspace)
    if preset == GUIDE:
        values["gradient_accumulation_steps"] = photos
    elif photos >= HOLD_OUT_FROM:
        values["held_out"] = photos // 10
    return values


def describe_preprocess(workspace: Workspace, settings: PreprocessSettings) -> str:
    """What becomes of the photos of the Preprocess form, and what a person should know of them before, or what is
    missing for that.
    """
    if not settings.source_directory.strip():
        return "Choose a source directory, or drop photos, to see what becomes of them."
    found: list[Path] = find_images(workspace.folder(settings.source_directory, "Source directory"))
    if not found:
        return f"Source directory '{settings.source_directory}' holds no pictures yet."
    photos = not_left_out(found, workspace)
    settings = with_own_sizes(settings, workspace)
    if problems := settings.bound_problems():
        return " ".join(problems)
    if min(settings.width, settings.height) < 1:
        return "Width and Height must be at least 1."
    varies = settings.auto_sized_crop or settings.keep_original_size
    size = "pictures of different sizes" if varies else f"pictures of {shown((settings.width, settings.height))} px"
    flipped = ", each with a mirrored copy" if settings.flip else ""
    said = f"{len(photos)} photo{'s become' if len(photos) > 1 else ' becomes'} {size}{flipped}."
    left_out = f" {len(found) - len(photos)} left out by hand." if len(photos) < len(found) else ""
    seen = finding_sentences(findings_of(look_within(photos, LOOKED_WITHIN_S)))
    return " ".join([said + left_out, *photo_sentences(settings, photos, workspace), *seen])


def describe_plan(workspace: Workspace, settings: TrainSettings, device: DeviceState | None = None) -> str:
    """What the numbers of the Train form come to, in one sentence, or what is missing for that."""
    if not settings.dataset_directory.strip():
        return "Choose a dataset directory to see what one step will look at."
    parts = parts_of(settings, workspace)
    if not (images := parts.pictures):
        return str(parts.no_pictures("Dataset directory", settings.dataset_directory.strip()))
    if min(settings.batch_size, settings.gradient_accumulation_steps, settings.steps) < 1:
        return "Batch size, Gradient accumulation steps and Max steps must be at least 1."
    files = CaptionFiles.of(parts.folder, parts.folders)
    examples = read_examples(files, parts, CaptionRules.of(settings))
    _, plan = plan_training(examples, settings, most_held_out=count_originals(images) - 1)  # the start refuses more
    text = plan.sentence()
    if plan.accumulation < settings.gradient_accumulation_steps or plan.batch < settings.batch_size:
        text += " One step looks at each picture at most once, so larger numbers are cut down to that."
    if any(
        optimizer_file(workspace.embeddings / f"{settings.embedding}{suffix}").is_file() for suffix in SAVED_BY_TRAINING
    ):
        text += (
            " This embedding was trained before: steps that it has already are not done again, so Max steps must be"
            " higher than them."
        )
    said = [
        *_caption_sentences(workspace, settings, parts, files, examples),
        *_picture_sentences(workspace, settings, images),
    ]
    text = time_sentence(workspace, settings, plan) + text
    return " ".join([text + memory_sentence(workspace, settings, plan.images_per_step, device), *said])


def _picture_sentences(workspace: Workspace, settings: TrainSettings, images: list[Path]) -> list[str]:
    try:
        size_px = find_checkpoint(settings.checkpoint, workspace).size_px
    except UserError:
        return []
    width, height = settings.width or size_px, settings.height or size_px
    target = None if settings.keep_size or min(width, height) < 1 else (width, height)
    buckets = bucket_sizes(*target) if target and settings.aspect_buckets else ()
    return [
        *picture_sentences(images, target, settings.checkpoint, workspace, buckets),
        *mask_sentences(images, settings.masks_as_weight),
        *finding_sentences(findings_of(look_within(images, LOOKED_WITHIN_S))),
    ]


def _caption_sentences(
    workspace: Workspace, settings: TrainSettings, parts: DatasetParts, files: CaptionFiles, examples: list[Example]
) -> list[str]:
    """What is to be known about the captions; that file names serve as such only where the template uses them."""
    try:
        uses_captions = any(
            "[filewords]" in line for line in load_template(find_template(settings.template_file, workspace))
        )
    except UserError:  # the start says what is wrong with it
        uses_captions = False
    captions = [caption for example in examples for caption in example.captions]
    return [
        *caption_notes(files),
        *dataset_notes(examples, files, parts, CaptionRules.of(settings)),
        *(fallback_notes(examples) if uses_captions else []),
        *filter(None, [word_note(settings.embedding.strip(), captions if uses_captions else [])]),
    ]


def time_sentence(workspace: Workspace, settings: TrainSettings, plan: RunPlan) -> str:
    """How long the steps will take by the pace of earlier runs here; that it is not known where there was none."""
    image_every = settings.image_every
    try:
        size_px = find_checkpoint(settings.checkpoint, workspace).size_px
    except UserError:
        return ""
    of_kind = settings.of_kind(settings.word_kind(kind_of_file(settings.embedding, workspace)))
    pace = find_pace(of_kind, size_px, workspace)
    if pace is None:
        return "How long it takes is not known before the first steps. "
    return f"About {_clock(pace.seconds(plan.images_per_step, plan.steps, image_every))}. "


def _clock(seconds: float) -> str:
    """A time as people say it, no more exact than it is known."""
    if seconds < 95:
        return f"{max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 95 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"


def memory_sentence(workspace: Workspace, settings: TrainSettings, images: int, device: DeviceState | None) -> str:
    """What the training needs of the device's memory, and what is free; empty until the device is known, which the
    page does not wait for.
    """
    try:
        checkpoint = find_checkpoint(settings.checkpoint, workspace)
        checkpoint.facts.check(other_vae=True)
    except UserError:
        return ""
    if device is None:
        return ""
    facts = facts_by_size(checkpoint.facts)
    width, height = settings.width or checkpoint.size_px, settings.height or checkpoint.size_px
    fit = plan_fit(settings, device, facts, width, height, -(-images // max(1, settings.gpus)))
    free = f"{device.free_bytes / 2**30:.1f} GB are free ({device.name})."
    verdict = "" if fit.fits else " It may not fit: choose a smaller Width and Height."
    return f" It needs {fit.need.sentence()}; {free}{verdict}"
