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
from ti_core.workspace import Workspace

if TYPE_CHECKING:
    from ti_core.embeddings.embedding import Embedding

WHICH = "which embedding, for a LoRA that bundles several"


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
    _add_output(convert)
    merge = command("merge", _merge, "make one embedding out of several")
    _add_output(merge)
    merge.add_argument("inputs", nargs="+", metavar="IN")
    modes = "concatenate (the default), average, or weighted"
    merge.add_argument("--mode", default="concatenate", metavar="MODE", help=modes)
    weights = "one number for each IN, separated by commas, such as --weights=0.7,0.3"
    merge.add_argument("--weights", default="", metavar="LIST", help=weights)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help=written_in_words())
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it exists")


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
    typed_name(out.stem, "OUT")
    check_writable(out)
    if out.exists() and not args.overwrite:
        raise UserError(f"'{out.name}' exists already.", "Choose another name, or add --overwrite.")
    return out


def _save(embedding: Embedding, out: Path, workspace: Workspace) -> int:
    """Named by its file, as A1111 names it."""
    from ti_core.embeddings.embedding import shown_widths
    from ti_core.embeddings.formats import save_embedding

    save_embedding(out, dataclasses.replace(embedding, name=typed_name(out.stem, "OUT")))
    for note in embedding.notes:
        print(f"note: {note}")
    print(
        f"Saved: {workspace.shown(out)} ({embedding.count} vector{'s' * (embedding.count > 1)} of"
        f" {shown_widths(embedding.widths)} numbers)"
    )
    return EXIT_OK
