"""The command line: python -m ti_core create | preprocess | train | recipe | inspect | convert | merge | resume |
models | download. Flags come from the settings' declarations.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ti_core.cli.models import add_model_commands
from ti_core.data.preprocess import check_preprocess
from ti_core.embeddings.formats import written_in_words
from ti_core.errors import Interrupted, UserError, shown_number
from ti_core.events import EmbeddingSaved, Evaluated, Event, Finished, Notice, PreviewSaved, Progress, Started, StepDone
from ti_core.jobs.kinds import KINDS
from ti_core.program.signals import asked_to_end
from ti_core.program.terminal import clean_terminal
from ti_core.settings import CreateSettings, PreprocessSettings, ResumeSettings, TrainSettings
from ti_core.settings.option import Settings
from ti_core.training.checks import check_train
from ti_core.training.create import check_create, create_embedding
from ti_core.training.presets import GUIDE, PRESETS, check_preset, dataset_folder, preprocess_values, preset_values
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace, add_place_flags, clean_name, open_workspace

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding

EXIT_OK, EXIT_USER_ERROR, EXIT_INTERRUPTED = 0, 2, 130
AnySettings = TypeVar("AnySettings", CreateSettings, PreprocessSettings, TrainSettings)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status, and prints one clear line on the error stream for a UserError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file name that the terminal cannot write is no reason to end
            stream.reconfigure(errors="replace")
    clean_terminal()
    parser = _build_parser()
    args = parser.parse_args(argv)
    try:
        return args.run(args, open_workspace(args))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except (Interrupted, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ti_core", description="Textual Inversion without a browser.")
    shared = argparse.ArgumentParser(add_help=False)
    add_place_flags(shared)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace, Workspace], int], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, parents=[shared], help=help, description=help)
        sub.set_defaults(run=run)
        return sub

    create = command("create", _create, "make a new embedding")
    create.add_argument("name", help=CreateSettings.options()["name"].help)
    _add_flags(create, CreateSettings, leave_out={"name"})
    preprocess = command("preprocess", _preprocess, "crop photos to squares, flip them, keep their captions")
    _add_flags(preprocess, PreprocessSettings)
    train = command("train", _train, "train an embedding")
    train.add_argument("embedding", help=TrainSettings.options()["embedding"].help)
    _add_flags(train, TrainSettings, leave_out={"embedding", *OF_THE_PAGE_ONLY})
    resume = command("resume", _resume, "go on with a training that was interrupted or killed, exactly where it was")
    resume.add_argument("run_folder", metavar="RUN_FOLDER", help=ResumeSettings.options()["run_folder"].help)
    recipe = command("recipe", _recipe, "the whole face recipe: create, preprocess, train")
    recipe.add_argument("photos", metavar="PHOTOS", help="folder with photos of one person")
    recipe.add_argument("name", metavar="NAME", help=CreateSettings.options()["name"].help)
    recipe.add_argument(
        "--preset", default=GUIDE, metavar="NAME", help=f"how to train: {', '.join(PRESETS)} (default: %(default)s)"
    )
    recipe.add_argument(
        "--initialization-text",
        default=argparse.SUPPRESS,
        metavar="VALUE",
        help=CreateSettings.options()["initialization_text"].help,
    )
    _add_flags(recipe, TrainSettings, leave_out={"embedding", "dataset_directory", *OF_THE_PAGE_ONLY})
    recipe.add_argument(
        "--overwrite", action="store_true", default=argparse.SUPPRESS, help=CreateSettings.options()["overwrite"].help
    )
    inspect = command("inspect", _inspect, "say what is inside an embedding file")
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    inspect.add_argument("--name", default="", metavar="NAME", help="which embedding, for a LoRA that bundles several")
    convert = command("convert", _convert, "write an embedding file in another format")
    convert.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help=".pt, .bin, .safetensors, .png or .webp; or the two files of an SDXL embedding of diffusers",
    )
    convert.add_argument("out", metavar="OUT", help=written_in_words())
    convert.add_argument("--name", default="", metavar="NAME", help="which embedding, for a LoRA that bundles several")
    convert.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    merge = command("merge", _merge, "make one embedding out of several")
    merge.add_argument("out", metavar="OUT", help=written_in_words())
    merge.add_argument("inputs", nargs="+", metavar="IN")
    merge.add_argument(
        "--mode", default="concatenate", metavar="MODE", help="concatenate (the default), average, or weighted"
    )
    merge.add_argument(
        "--weights",
        default="",
        metavar="LIST",
        help="one number for each IN, separated by commas, such as --weights=0.7,0.3",
    )
    merge.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")
    add_model_commands(command, _watch)
    return parser


OF_THE_PAGE_ONLY = ("preview_from_txt2img",)
ALIASES = {"template_file": "--template", "checkpoint": "--ckpt"}


def _add_flags(parser: argparse.ArgumentParser, settings: type[AnySettings], leave_out: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """One flag for each option; absent flags leave the default to whoever builds the settings."""
    defaults = settings.defaults()
    for name, option in settings.options().items():
        if name in leave_out:
            continue
        flags = ["--" + name.replace("_", "-")] + ([ALIASES[name]] if name in ALIASES else [])
        default = (
            "0, what goes with the checkpoint"
            if option.zero_is_auto
            else "empty"
            if defaults[name] == ""
            else defaults[name]
        )
        text = f"{option.label}: {option.help} (default: {default})".replace("%", "%%")
        if isinstance(defaults[name], bool):
            parser.add_argument(
                *flags, dest=name, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text
            )
        else:
            parser.add_argument(*flags, dest=name, default=argparse.SUPPRESS, metavar="VALUE", help=text)


def _settings(settings: type[AnySettings], args: argparse.Namespace, **values: Any) -> AnySettings:
    """The given values, with the flags that were typed on top of them."""
    typed = {name: value for name, value in vars(args).items() if name in settings.options()}
    return settings.from_dict({**values, **typed})


def _create(args: argparse.Namespace, workspace: Workspace) -> int:
    print(f"Created: {create_embedding(_settings(CreateSettings, args), workspace)}")
    return EXIT_OK


def _preprocess(args: argparse.Namespace, workspace: Workspace) -> int:
    return _do("preprocess", _settings(PreprocessSettings, args), workspace)


def _train(args: argparse.Namespace, workspace: Workspace) -> int:
    return _do("train", _settings(TrainSettings, args), workspace)


def _resume(args: argparse.Namespace, workspace: Workspace) -> int:
    return _do("resume", ResumeSettings(args.run_folder), workspace)


def _do(kind: str, settings: Settings, workspace: Workspace) -> int:
    """Do a job of the page here. Its check comes first, because torch and diffusers, which its work may need, take
    seconds to import.
    """
    what = KINDS[kind]
    what.check(settings, workspace, ())
    return _watch(partial(what.run, settings, workspace))


def _recipe(args: argparse.Namespace, workspace: Workspace) -> int:
    name = clean_name(args.name)
    create = _settings(CreateSettings, args, name=name)
    check_preset(args.preset)
    training = _settings(TrainSettings, args, embedding=name, dataset_directory=dataset_folder(name))
    pictures = {
        "width": training.width,
        "height": training.height,
        "checkpoint": training.checkpoint,
    }  # what is trained at a size is made at that size
    photos = PreprocessSettings.from_dict({**preprocess_values(_typed_here(args.photos), name), **pictures})
    check_train(training, workspace, (name, dataset_folder(name)))
    check_preprocess(photos, workspace)
    check_create(create, workspace)
    if status := _do("preprocess", photos, workspace):
        return status
    print(f"Created: {workspace.shown(create_embedding(create, workspace))}")
    values = preset_values(args.preset, workspace, photos.destination_directory, name)
    return _do("train", _settings(TrainSettings, args, **values), workspace)


def _typed_here(photos: str) -> str:
    """A path as typed in this folder, which need not be the workspace; the sample photos are known by their name
    everywhere.
    """
    here = Path(photos).expanduser().resolve()
    return photos if not here.exists() and photos.startswith(SHOWN_SAMPLE_PHOTOS) else str(here)


def _inspect(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.embeddings.describe import describe
    from ti_core.embeddings.formats import load_embedding

    facts = describe(load_embedding(workspace.path(args.file, "FILE"), name=args.name))
    print(
        json.dumps(facts, ensure_ascii=False)
        if args.json
        else "\n".join(f"{key}: {value}" for key, value in facts.items() if value != [])
    )
    return EXIT_OK


def _convert(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.embeddings.formats import load_embedding

    out = _output(args, workspace)
    if len(args.inputs) > 2:
        raise UserError(
            f"There are {len(args.inputs)} input files.",
            "Give one, or the two of an SDXL embedding of diffusers; merge takes more.",
        )
    inputs = [workspace.path(file, "IN") for file in args.inputs]
    return _save(load_embedding(*inputs, name=args.name), out, workspace)


def _merge(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.embeddings.formats import load_embedding
    from ti_core.embeddings.merge import merge, parse_weights

    out, weights = _output(args, workspace), parse_weights(args.weights) if args.weights.strip() else []
    inputs = [load_embedding(workspace.path(file, "IN")) for file in args.inputs]
    return _save(merge(inputs, args.mode, weights), out, workspace)


def _output(args: argparse.Namespace, workspace: Workspace) -> Path:
    """The path of OUT, if it may be written. Checked first, so that nothing is read in vain."""
    from ti_core.embeddings.formats import check_writable

    out = workspace.path(args.out, "OUT")
    check_writable(out)
    if out.exists() and not args.overwrite:
        raise UserError(f"'{out.name}' exists already.", "Choose another name, or add --overwrite.")
    return out


def _save(embedding: Embedding, out: Path, workspace: Workspace) -> int:
    """Named by its file, as A1111 names it."""
    from ti_core.embeddings.embedding import shown_widths
    from ti_core.embeddings.formats import save_embedding

    save_embedding(out, dataclasses.replace(embedding, name=clean_name(out.stem)))
    for note in embedding.notes:
        print(f"note: {note}")
    print(
        f"Saved: {workspace.shown(out)} ({embedding.count} vector{'s' * (embedding.count > 1)} of"
        f" {shown_widths(embedding.widths)} numbers)"
    )
    return EXIT_OK


def _watch(work: Callable[[Callable[[Event], None], threading.Event], object]) -> int:
    """Do the work and print its events; Ctrl+C, SIGTERM or a closed terminal asks it to stop, and it saves."""
    printer, stop = Printer(), threading.Event()

    def ask_to_stop() -> None:
        stop.set()
        with contextlib.suppress(OSError):
            print("\nStopping; what is done is saved first. Ctrl+C once more ends at once.", file=sys.stderr)

    def show(event: Event) -> None:
        try:
            printer.show(event)
        except OSError:  # who read the output has gone, or its disk is full: no reason to lose a training
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the rest of the program

    with asked_to_end(ask_to_stop):
        work(show, stop)
    return EXIT_INTERRUPTED if printer.interrupted else EXIT_OK


@dataclasses.dataclass
class Printer:
    """Events as lines of text; progress overwrites itself in a terminal and is rare in a log."""

    interrupted: bool = False
    first_step: int = 0
    total: int = 0
    began: float = 0.0
    last: float = 0.0
    folder: str = ""

    def show(self, event: Event) -> None:
        match event:
            case Started():
                self.first_step, self.total, self.began, self.folder = (
                    event.first_step,
                    event.total,
                    time.monotonic(),
                    event.folder,
                )
                print(f"{event.title}. {event.plan}")
            case Progress():
                self._progress(f"{event.text} {event.done}/{event.total}", event.done == event.total)
            case StepDone():
                done = event.step - self.first_step
                pace = (time.monotonic() - self.began) / done
                left = (self.total - event.step) * pace
                text = (
                    f"step {event.step}/{self.total}  loss {event.loss:.4f}  rate {shown_number(event.rate)} "
                    f" {1 / pace:.2f} it/s  {left:.0f} s left"
                )
                self._progress(text, event.step == self.total)
            case PreviewSaved() | EmbeddingSaved():
                print(f"\rsaved {event.path}")
            case Evaluated():
                low, high = event.usual_norms
                print(
                    f"\revaluation of step {event.step}: loss {event.loss:.5f}, norm {event.norm:.2f} (words {low:.2f}"
                    f" to {high:.2f}), best step so far {event.best}"
                )
            case Notice():
                print(f"\rnote: {event.text}")
            case Finished():
                self.interrupted = event.interrupted
                print(f"\r{event.text}")
                if self.folder:
                    print(f"Run folder: {self.folder}")
                for file in event.files[:1] if self.folder else ():
                    print(f"Embedding: {file}")

    def _progress(self, text: str, is_last: bool) -> None:
        now = time.monotonic()
        if is_last or now - self.last > (0.2 if sys.stdout.isatty() else 5.0):
            self.last = now
            end = "" if sys.stdout.isatty() and not is_last else "\n"
            print(f"\r{text:<79}" if sys.stdout.isatty() else text, end=end, flush=True)
