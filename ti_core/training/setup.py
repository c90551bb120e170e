"""Reads everything a run needs but the checkpoint."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ti_core.checkpoints.library import CheckpointFile, find_usable_checkpoint
from ti_core.data.aspect_buckets import bucket_sizes
from ti_core.data.captions import word_note
from ti_core.data.crops import Size
from ti_core.data.dataset import CaptionRules, Example, fallback_notes, nothing_usable, plan_training, scan_dataset
from ti_core.data.dataset_parts import parts_of
from ti_core.data.findings import finding_sentences, findings_of, look_within
from ti_core.data.images import Problem
from ti_core.data.masks import mask_sentences
from ti_core.data.picture_checks import picture_sentences, without_tiny
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.folder import find_embedding
from ti_core.embeddings.formats import load_embedding, suffix_of_training
from ti_core.embeddings.names import known_name
from ti_core.errors import UserError
from ti_core.events import Emit, Notice
from ti_core.models.families import FAMILIES
from ti_core.models.families.family import Family
from ti_core.runs.plan import RunPlan
from ti_core.settings import AUTOMATIC, PREDICTION_TYPES, TrainSettings, prediction_label
from ti_core.settings.prompts import build_prompt, find_template, load_template, split_at_names, split_tags
from ti_core.settings.schedule import Schedule, parse_schedule
from ti_core.settings.word_kind import ORDINARY, ORDINARY_WORD, WordKind
from ti_core.training.checks import check_train
from ti_core.training.kinds import kind_of
from ti_core.workspace import Workspace

LOOKED_WITHIN_S = 5.0
"""So long the start looks for near duplicates and blur at most: some hundred finished pictures."""


@dataclass(frozen=True)
class Prepared:
    """The checked inputs of a run, all read but the checkpoint. `suffix` is the format that the result is saved in."""

    embedding: Embedding
    examples: list[Example]
    lines: list[str]
    schedule: Schedule
    log_directory: Path
    plan: RunPlan
    suffix: str
    latent_cache: Path | None = None
    kind: WordKind = ORDINARY_WORD


def _load_for_training(name: str, family: Family, title: str, workspace: Workspace) -> Embedding:
    """The embedding of that name from a file of any format, its vectors under the names of the family's text
    encoders.
    """
    path = find_embedding(name, workspace, first=suffix_of_training(family.encoders))
    assert path is not None, "check_train looks for the file"
    found = load_embedding(path)
    if len(found.vectors) != len(family.encoders):
        is_for = (
            "SDXL, with vectors for two text encoders"
            if len(found.vectors) > 1
            else "Stable Diffusion 1 or 2, with vectors for one text encoder"
        )
        raise UserError(
            f"'{path.name}' is an embedding of {is_for}, but {title} is {family.title}.",
            "Create a new embedding with this checkpoint selected.",
        )
    vectors = found.vectors if len(family.encoders) > 1 else {family.encoders[0]: next(iter(found.vectors.values()))}
    return replace(found, name=name, vectors=vectors)


def _lines_of(
    word: WordKind, settings: TrainSettings, workspace: Workspace, name: str, examples: Sequence[Example], emit: Emit
) -> list[str]:
    """The lines that are trained, with a Notice of what is to be known about them. Raises UserError."""
    if word.kind != ORDINARY:
        return kind_of(word, settings).lines([])
    captions = [caption for example in examples for caption in example.captions]
    lines = _teaching_lines(settings, workspace, name, captions, emit)
    notes = fallback_notes(examples) if any("[filewords]" in line for line in lines) else []
    for sentence in filter(None, (*notes, word_note(name, captions))):
        emit(Notice(sentence))
    return lines


def _teaching_lines(
    settings: TrainSettings, workspace: Workspace, name: str, captions: list[str], emit: Emit
) -> list[str]:
    """The template's lines whose prompts hold the name as a word of its own, each with every caption: the others
    would not train it.

    A Notice tells of them; raises UserError if none is left.
    """
    lines, template = load_template(find_template(settings.template_file, workspace)), settings.template_file
    certain = captions
    if settings.caption_drop_out:  # what may be left out is nothing to count on
        certain = [""]
    elif settings.tag_drop_out:
        certain = list({", ".join(split_tags(caption)[: settings.keep_first]) for caption in captions})
    teaching = [
        line
        for line in lines
        if all(_names(build_prompt(line, caption, name, random.Random(0), False, 0), name) for caption in certain)
    ]
    if not teaching:
        raise UserError(
            f"In no line of the Prompt template '{template}' does [name] stand as a word of its own, so the new word"
            " would not be trained.",
            "Put a space before and after [name].",
        )
    if left := len(lines) - len(teaching):
        emit(
            Notice(
                f"{left} of the {len(lines)} lines of {template} do not hold [name] as a word of its own. They would"
                " teach nothing and are left out."
            )
        )
    return teaching


def _names(prompt: str, name: str) -> bool:
    return any(found for found, _ in split_at_names(prompt, [name]))


def as_begun(settings: TrainSettings, checkpoint: CheckpointFile, prediction: str, emit: Emit) -> TrainSettings:
    """The settings of a run that goes on, with what it trained on until here where its checkpoint now says
    something else; a Notice tells.

    `prediction` is what the run's state says, empty where it was begun before zero terminal SNR was read from a
    single file: such a run did without.
    """
    facts = checkpoint.facts
    says = prediction_label(facts.prediction, facts.zero_terminal_snr)
    began = prediction or (facts.prediction if facts.form == "file" else says)
    if settings.prediction_type != AUTOMATIC or began == says or began not in PREDICTION_TYPES:
        return settings
    if facts.prediction:  # else it was measured, and is not measured again
        emit(
            Notice(
                f"{checkpoint.title} says {says}, but this run began with {began}, so it goes on with {began}. Train"
                f" again from the start to train with {says}."
            )
        )
    return replace(settings, prediction_type=began)


def prepare(
    settings: TrainSettings, workspace: Workspace, emit: Emit, stop: threading.Event, resumed: Embedding | None = None
) -> Prepared:
    """Check and read everything; raises SettingsError or UserError with nothing written. Pictures that cannot be
    read become a Notice.

    `resumed` is the embedding of a run that goes on, instead of the one in embeddings/.
    """
    # The embedding, and whether it has steps to go
    check_train(settings, workspace, coming=[settings.embedding] if resumed else ())
    checkpoint = find_usable_checkpoint(settings.checkpoint, workspace)
    family = FAMILIES[checkpoint.facts.family]
    embedding = resumed or _load_for_training(
        known_name(settings.embedding, workspace), family, checkpoint.title, workspace
    )
    first_step = embedding.step or 0
    if first_step >= settings.steps and not resumed:
        raise UserError(
            f"Embedding '{embedding.name}' has {first_step} steps already, and Max steps is {settings.steps}.",
            "Set Max steps higher to train on, or create a new embedding.",
        )

    # Pictures and captions, by headers and text files alone
    examples = scan_dataset(parts_of(settings, workspace), emit, stop, CaptionRules.of(settings))
    target = (
        None if settings.keep_size else (settings.width or checkpoint.size_px, settings.height or checkpoint.size_px)
    )
    buckets = bucket_sizes(*target) if target and settings.aspect_buckets else ()
    examples = _without_tiny(examples, target, emit)
    paths = [example.path for example in examples]
    for sentence in (
        *picture_sentences(paths, target, settings.checkpoint, workspace, buckets),
        *mask_sentences(paths, settings.masks_as_weight),
        *finding_sentences(findings_of(look_within(paths, LOOKED_WITHIN_S))),
    ):
        emit(Notice(sentence))

    # The template, or the lines of the kind of word
    word = settings.word_kind(embedding.kind)
    lines = _lines_of(word, settings, workspace, embedding.name, examples, emit)

    # How many images make a step, and which photos are held out
    examples, plan = plan_training(examples, settings, first_step)
    return Prepared(
        embedding,
        examples,
        lines,
        replace(
            parse_schedule(settings.learning_rate),
            form=settings.rate_form,
            warm_up=settings.warm_up,
            steps=settings.steps,
        ),
        workspace.writable(settings.log_directory, "Log directory"),
        plan,
        suffix_of_training(family.encoders),
        workspace.latent_cache,
        word,
    )


def _without_tiny(examples: list[Example], target: Size | None, emit: Emit) -> list[Example]:
    """Those whose pictures are large enough; a Notice for each of the others. Raises UserError if none is."""
    paths, tiny = without_tiny([example.path for example in examples], target)
    for problem in tiny:
        emit(Notice(problem.sentence()))
    if not paths:
        raise nothing_usable(examples[0].path.parent, tiny)
    usable = set(paths)
    return [example for example in examples if example.path in usable]


def leave_out(problems: Mapping[Path, Problem], inputs: Prepared, settings: TrainSettings) -> Prepared:
    """The inputs without the pictures that could not be decoded; which photos are held out, and how many images make a
    step, is decided anew. Raises UserError if no picture is left.
    """
    usable = sorted((e for e in inputs.examples if e.path not in problems), key=lambda example: example.path)
    if not usable:
        raise nothing_usable(inputs.examples[0].path.parent, list(problems.values()))
    examples, plan = plan_training(usable, settings, inputs.plan.first_step)
    return replace(inputs, examples=examples, plan=plan)
