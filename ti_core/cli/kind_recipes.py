"""The commands recipe-slider and recipe-negative: such a word from nothing, or from a folder of pictures, in one go."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from ti_core.cli.flags import AddCommand, add_flags, settings_of
from ti_core.cli.jobs import do_job
from ti_core.cli.printer import EXIT_OK
from ti_core.cli.recipe import typed_here
from ti_core.embeddings.names import typed_embedding_name
from ti_core.jobs.kinds import KINDS
from ti_core.settings import CreateSettings, PaintDatasetSettings, PreprocessSettings, TrainSettings
from ti_core.settings.option import Settings
from ti_core.settings.word_kind import NEGATIVE, SLIDER
from ti_core.training.checks import check_train
from ti_core.training.create import check_create, create_embedding
from ti_core.training.kind_presets import (
    BAD_PROMPTS,
    PAINTED,
    PAINTED_BADLY,
    PRESET_OF_KIND,
    VECTORS,
    kind_preset_values,
    painted_prompts,
)
from ti_core.training.presets import dataset_folder, preprocess_values
from ti_core.workspace import Workspace

LINES = ("slider_on", "slider_more", "slider_less", "slider_keep")
FOUND_HERE = ("embedding", "dataset_directory", "template_file", "kind", *LINES, "seed")
"""What the recipe itself finds out, or has flags for."""


def add_kind_recipe_commands(command: AddCommand) -> None:
    """recipe-slider NAME and recipe-negative NAME, with the flags of painting and of a training."""
    slider = command("recipe-slider", partial(_recipe, SLIDER), "a slider word: create it, paint pictures, train")
    negative = command("recipe-negative", partial(_recipe, NEGATIVE), "a negative word: create, paint badly, train")
    for parser, lines in ((slider, LINES), (negative, ())):
        add_flags(parser, CreateSettings, only=("name", "initialization_text", "vectors", *lines))
        parser.add_argument(
            "--pictures", default="", metavar="FOLDER", help="train on these pictures instead of painted ones"
        )
        add_flags(parser, PaintDatasetSettings, only=("prompts", "count"))
        add_flags(parser, TrainSettings, leave_out=FOUND_HERE)
        parser.add_argument(
            "--seed", default=argparse.SUPPRESS, metavar="VALUE", help="of the pictures and the training"
        )
        overwrite = CreateSettings.options()["overwrite"].help
        parser.add_argument("--overwrite", action="store_true", default=argparse.SUPPRESS, help=overwrite)


def _recipe(kind: str, args: argparse.Namespace, workspace: Workspace) -> int:
    # all is checked before anything is written
    name = typed_embedding_name(args.name)
    folder = dataset_folder(name)
    create = settings_of(CreateSettings, args, name=name, kind=kind, vectors=VECTORS)
    check_create(create, workspace)
    values = kind_preset_values(PRESET_OF_KIND[kind], folder, name, create.word_kind)
    training = settings_of(TrainSettings, args, **values)
    check_train(training, workspace, (name, folder))
    job, pictures = _pictures(args, kind, create, training)
    KINDS[job].check(pictures, workspace, ())

    # the three jobs
    if status := do_job(KINDS[job], pictures, workspace):
        return status
    print(f"Created: {workspace.shown(create_embedding(create, workspace))}")
    return do_job(KINDS["train"], training, workspace) or EXIT_OK


def _pictures(
    args: argparse.Namespace, kind: str, create: CreateSettings, training: TrainSettings
) -> tuple[str, Settings]:
    """The job that makes the dataset: from the folder that was named, else painted, badly for a negative word."""
    if args.pictures:
        size = {"width": training.width, "height": training.height, "checkpoint": training.checkpoint}
        photos = {**preprocess_values(typed_here(args.pictures), create.name), "flip": False, **size}
        return "preprocess", PreprocessSettings.from_dict(photos)
    values: dict[str, Any] = {
        "destination_directory": training.dataset_directory,
        "prompts": "\n".join(painted_prompts(create.word_kind)) if kind == SLIDER else BAD_PROMPTS,
        "count": PAINTED if kind == SLIDER else PAINTED_BADLY,
        "badly": kind == NEGATIVE,
    }
    return "paint_dataset", settings_of(PaintDatasetSettings, args, **values)
