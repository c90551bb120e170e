"""The command recipe: a new embedding from a folder of photos, in one go."""

from __future__ import annotations

import argparse
from pathlib import Path

from ti_core.cli.flags import AddCommand, add_flags, settings_of
from ti_core.cli.jobs import do_job
from ti_core.cli.printer import EXIT_OK
from ti_core.data.preprocess import check_preprocess
from ti_core.embeddings.names import typed_embedding_name
from ti_core.jobs.kinds import KINDS
from ti_core.settings import CreateSettings, PreprocessSettings, TrainSettings
from ti_core.training.checks import check_train
from ti_core.training.create import check_create, create_embedding
from ti_core.training.presets import (
    FAST,
    GUIDE,
    PRESETS,
    check_preset,
    dataset_folder,
    preprocess_values,
    preset_values,
)
from ti_core.training.suited_preset import suited_preset
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace


def add_recipe_command(command: AddCommand) -> None:
    """recipe PHOTOS NAME, with the flags of a training."""
    recipe = command("recipe", _recipe, "the whole face recipe: create, preprocess, train")
    recipe.add_argument("photos", metavar="PHOTOS", help="folder with photos of one person")
    presets = ", ".join(PRESETS)
    recipe.add_argument(
        "--preset",
        default="",
        metavar="NAME",
        help=f"how to train: {presets} (default: {GUIDE} for Stable Diffusion 1 and Portraits, else {FAST})",
    )
    add_flags(recipe, CreateSettings, only=("name", "initialization_text"))
    add_flags(recipe, TrainSettings, leave_out=("embedding", "dataset_directory"))
    overwrite = CreateSettings.options()["overwrite"].help
    recipe.add_argument("--overwrite", action="store_true", default=argparse.SUPPRESS, help=overwrite)


def _recipe(args: argparse.Namespace, workspace: Workspace) -> int:
    # all is checked before anything is written
    name = typed_embedding_name(args.name)
    create = settings_of(CreateSettings, args, name=name)
    training = settings_of(TrainSettings, args, embedding=name, dataset_directory=dataset_folder(name))
    suited, reason = suited_preset(training.checkpoint, workspace)
    preset = args.preset or suited
    check_preset(preset)
    pictures = {"width": training.width, "height": training.height, "checkpoint": training.checkpoint}
    photos = PreprocessSettings.from_dict({**preprocess_values(typed_here(args.photos), name), **pictures})
    check_train(training, workspace, (name, dataset_folder(name)))
    check_preprocess(photos, workspace)
    check_create(create, workspace)

    # the three jobs
    if reason and not args.preset:
        print(f"note: {reason}")
    if status := do_job(KINDS["preprocess"], photos, workspace):
        return status
    print(f"Created: {workspace.shown(create_embedding(create, workspace))}")
    values = preset_values(preset, workspace, photos.destination_directory, name)
    return do_job(KINDS["train"], settings_of(TrainSettings, args, **values), workspace) or EXIT_OK


def typed_here(photos: str) -> str:
    """A path as typed in this folder, which need not be the workspace; the sample photos are known by their name
    everywhere.
    """
    here = Path(photos).expanduser().resolve()
    return photos if not here.exists() and photos.startswith(SHOWN_SAMPLE_PHOTOS) else str(here)
