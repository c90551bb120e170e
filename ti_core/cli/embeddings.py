"""The commands about embedding files: inspect, convert, merge."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ti_core.cli.flags import AddCommand
from ti_core.cli.printer import EXIT_OK
from ti_core.embeddings.formats import written_in_words
from ti_core.errors import UserError
from ti_core.typed_names import typed_name
from ti_core.workspace import Workspace, clean_name

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding

WHICH = "which embedding, for a LoRA that bundles several (default: all)"


def add_embedding_commands(command: AddCommand) -> None:
    """inspect, convert and merge."""
    inspect = command("inspect", _inspect, "say what is inside an embedding file")
    inspect.add_argument("file", metavar="FILE")
    inspect.add_argument("--json", action="store_true", help="print one JSON object")
    inspect.add_argument("--name", default="", metavar="NAME", help=WHICH)
    convert = command("convert", _convert, "write an embedding file in another format")
    taken = ".pt, .bin, .safetensors, .png or .webp; or the two files of an SDXL embedding of diffusers"
    convert.add_argument("inputs", nargs="+", metavar="IN", help=taken)
    convert.add_argument("--name", default="", metavar="NAME", help=WHICH)
    convert.add_argument("--onetrainer", action="store_true", help="write the .safetensors as OneTrainer lays it out")
    _add_output(convert)
    merge = command("merge", _merge, "make one embedding out of several")
    _add_output(merge)
    merge.add_argument("inputs", nargs="+", metavar="IN")
    modes = "concatenate (the default), average, weighted, or slerp"
    merge.add_argument("--mode", default="concatenate", metavar="MODE", help=modes)
    weights = "one number for each IN, separated by commas, such as --weights=0.7,0.3"
    merge.add_argument("--weights", default="", metavar="LIST", help=weights)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help=written_in_words())
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


def _inspect(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.embeddings.describe import describe
    from ti_core.embeddings.folder import word_of
    from ti_core.embeddings.formats import load_embedding, load_embeddings

    path = workspace.path(args.file, "FILE")
    found = [load_embedding(path, name=args.name)] if args.name else load_embeddings(path)
    facts = [describe(dataclasses.replace(one, name=word_of(path, one, len(found)))) for one in found]
    if args.json:
        print(json.dumps(facts[0] if len(facts) == 1 else facts, ensure_ascii=False))
        return EXIT_OK
    texts = ["\n".join(f"{key}: {value}" for key, value in one.items() if value != []) for one in facts]
    print("\n\n".join(texts))
    return EXIT_OK


def _convert(args: argparse.Namespace, workspace: Workspace) -> int:
    from ti_core.embeddings.formats import load_embedding, load_embeddings

    out = _output(args, workspace)
    if len(args.inputs) > 2:
        raise UserError(
            f"There are {len(args.inputs)} input files.",
            "Give one, or the two of an SDXL embedding of diffusers; merge takes more.",
        )
    inputs = [workspace.path(file, "IN") for file in args.inputs]
    if len(inputs) == 1 and not args.name and len(words := load_embeddings(inputs[0])) > 1:
        files = [out.with_name(f"{clean_name(word.name)}{out.suffix}") for word in words]
        if taken := [file.name for file in files if file.exists() and not args.overwrite]:
            raise UserError(f"'{taken[0]}' exists already.", "Choose another folder, or add --overwrite.")
        print(f"{inputs[0].name} bundles {len(words)} words; each gets a file of its own beside {out.name}.")
        return max(_save(word, file, workspace, args.onetrainer) for word, file in zip(words, files, strict=True))
    return _save(load_embedding(*inputs, name=args.name), out, workspace, args.onetrainer)


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
    typed_name(out.stem, "OUT")
    check_writable(out)
    if out.exists() and not args.overwrite:
        raise UserError(f"'{out.name}' exists already.", "Choose another name, or add --overwrite.")
    return out


def _save(embedding: Embedding, out: Path, workspace: Workspace, onetrainer: bool = False) -> int:
    """Named by its file, as A1111 names it."""
    from ti_core.embeddings.embedding import shown_widths
    from ti_core.embeddings.formats import save_embedding
    from ti_core.embeddings.safetensors_file import KEY_OF_ONETRAINER, save_safetensors

    if onetrainer and out.suffix.lower() != ".safetensors":
        raise UserError(
            f"'{out.name}' is no .safetensors.", "OneTrainer's layout is for these; leave --onetrainer out."
        )
    named = dataclasses.replace(embedding, name=typed_name(out.stem, "OUT"))
    if onetrainer:
        save_safetensors(out, named, KEY_OF_ONETRAINER)
    else:
        save_embedding(out, named)
    for note in embedding.notes:
        print(f"note: {note}")
    print(
        f"Saved: {workspace.shown(out)} ({embedding.count} vector{'s' * (embedding.count > 1)} of"
        f" {shown_widths(embedding.widths)} numbers)"
    )
    return EXIT_OK
