"""What a picture says of how it was made, ours or A1111's, and the txt2img form that would paint it again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ti_core.checkpoints.library import find_checkpoint
from ti_core.data.images import OPENED, pixels_of
from ti_core.embeddings.folder import stored_embeddings
from ti_core.errors import UserError
from ti_core.painting.txt2img import OUTPUTS
from ti_core.settings import SAMPLERS, Txt2ImgSettings
from ti_core.settings.emphasis import read_otherwise
from ti_core.workspace import Workspace

MOST_CHARACTERS = 50_000
"""Of an infotext; a longer one is no description of a picture."""
MOST_PIXELS = 100_000_000
NEGATIVE = "Negative prompt:"
_FACT = re.compile(r'(\w[\w /-]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_FACTS_OF_A_LINE = 3
"""A last line with fewer facts belongs to the prompt (A1111 1.10.1, infotext_utils.py: parse_generation_parameters)."""
_MAKE_NO_DIFFERENCE = frozenset(
    {"Model hash", "Model", "VAE hash", "VAE", "TI hashes", "Version", "Batch size", "Batch pos", "Schedule type"}
    | {"Noise Schedule", "Clip skip", "Prediction type", "Hashes", "User", "Emphasis"}
)
"""Facts that are no field of the form; those of them that matter get a sentence of their own."""


@dataclass(frozen=True)
class PictureInfo:
    """An infotext in its parts. `facts` are the last line's, by their name in A1111."""

    prompt: str
    negative_prompt: str = ""
    facts: dict[str, str] = field(default_factory=dict)


def read_infotext(path: Path) -> str:
    """The text by which A1111 and its kin, and we, tell how a picture was made: the PNG's chunk `parameters`, or the
    EXIF comment of a JPEG or WebP. Raises UserError for a file that is no picture, or holds no such text.
    """
    if not 0 < pixels_of(path) <= MOST_PIXELS:
        raise UserError(f"'{path.name}' is no picture that can be read.", "Choose a PNG, JPEG or WebP.")
    try:
        with Image.open(path, formats=OPENED) as image:
            found = image.info.get("parameters") or _comment(image)
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, KeyError) as error:
        raise UserError(f"'{path.name}' cannot be read.", "Choose another picture.") from error
    text = str(found or "").replace("\0", "").strip()
    if not text:
        raise UserError(
            f"'{path.name}' does not tell how it was made.",
            "Take the file itself as it was painted: pictures that were edited, or sent by a messenger, have lost it.",
        )
    return text[:MOST_CHARACTERS]


def _comment(image: Image.Image) -> str:
    """EXIF's UserComment begins with eight bytes that name its encoding; UNICODE is UTF-16, most significant byte
    first where A1111 wrote it.
    """
    comment = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment, b"")
    if isinstance(comment, str):
        return comment
    encoding, text = bytes(comment[:8]), bytes(comment[8:])
    if not encoding.startswith(b"UNICODE"):
        return text.decode("utf-8", "replace")
    is_little = text[1:2] == b"\0"  # of ASCII text, whose other half is 0
    return text.decode("utf-16-le" if is_little else "utf-16-be", "replace")


def parse_infotext(text: str) -> PictureInfo:
    """Any text is understood: what is no fact is prompt."""
    lines = text.strip().split("\n")
    found = _FACT.findall(lines[-1])
    if len(found) < _FACTS_OF_A_LINE:
        found = []
    else:
        lines.pop()
    at = next((i for i, line in enumerate(lines) if line.strip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).strip().removeprefix(NEGATIVE).strip()
    facts = {key.strip(): _unquoted(value.strip()) for key, value in found}
    return PictureInfo("\n".join(lines[:at]).strip(), negative, facts)


def _unquoted(value: str) -> str:
    try:
        return str(loads(value)) if value.startswith('"') else value
    except (JSONDecodeError, RecursionError):
        return value


def form_values(text: str, workspace: Workspace, checkpoint: str = "") -> tuple[dict[str, Any], list[str]]:
    """Values of the txt2img form, by the names of its settings, and a sentence for each thing that was not understood
    or will be another. `checkpoint` is the one that is chosen now.
    """
    info = parse_infotext(text)
    values: dict[str, Any] = {"prompt": info.prompt, "negative_prompt": info.negative_prompt}
    notes: list[str] = []
    readers: tuple[tuple[str, Callable[[str], dict[str, Any]]], ...] = (
        ("Steps", lambda said: {"steps": int(said)}),
        ("CFG scale", lambda said: {"cfg_scale": float(said)}),
        ("Seed", lambda said: {"seed": int(said)}),
        ("Size", lambda said: dict(zip(("width", "height"), map(int, said.split("x")), strict=True))),
        ("Sampler", lambda said: {"sampler": _sampler(said, info.facts.get("Schedule type", ""))}),
    )
    for name, read in readers:
        if name not in info.facts:
            continue
        try:
            found = read(info.facts[name])
        except ValueError:
            notes.append(f"{name} '{info.facts[name][:60]}' is not known here, so the form keeps its own.")
            continue
        unfit = [key for key, value in found.items() if not _fits(key, value)]
        notes += [f"{name} {info.facts[name][:60]} is out of the form's range, so it keeps its own."] if unfit else []
        values |= {} if unfit else found
    return values, [*notes, *_differences(info, workspace, checkpoint)]


def _sampler(said: str, schedule: str) -> str:
    """A1111 1.9 and later say the schedule on its own, and mean Karras by the automatic one of DPM++ 2M."""
    names = (f"{said} {schedule}".strip(), f"{said} Karras" if schedule in ("", "Automatic") else "", said)
    plain = schedule in ("", "Automatic", "Uniform")
    for name in names if plain else names[:1]:
        if name in SAMPLERS:
            return name
    raise ValueError(said)


def _fits(name: str, value: Any) -> bool:
    """Whether the form's own limits allow it."""
    option = Txt2ImgSettings.options()[name]
    if not isinstance(value, int | float):
        return True
    least, most = option.minimum, option.maximum
    return (least is None or value >= least) and (most is None or value <= most)


def _differences(info: PictureInfo, workspace: Workspace, checkpoint: str) -> list[str]:
    """Sentences on facts of the picture for which the form has no field."""
    facts, notes = info.facts, read_otherwise(info.prompt, info.negative_prompt)
    model = facts.get("Model", "")
    if model and checkpoint and model not in _names(checkpoint, workspace):
        notes.append(f"It was painted with the checkpoint {model[:100]}; {checkpoint} is chosen.")
    if facts.get("Clip skip", "1") != "1":
        notes.append(f"It was painted with Clip skip {facts['Clip skip'][:10]}: set it at the top of the page.")
    there = {stored.name.lower() for stored in stored_embeddings(workspace)} if "TI hashes" in facts else set()
    named = [piece.split(":")[0].strip() for piece in facts.get("TI hashes", "").split(",") if ":" in piece]
    missing = [name[:100] for name in named if name.lower() not in there]
    if missing:
        notes.append(f"It needs embeddings that are not here: {', '.join(missing[:10])}.")
    known = {"Steps", "CFG scale", "Seed", "Size", "Sampler", *_MAKE_NO_DIFFERENCE}
    others = [name for name in facts if name not in known]
    if others:
        notes.append(f"Not used here: {', '.join(f'{name} {facts[name][:40]}' for name in others[:10])}.")
    return notes


def _names(checkpoint: str, workspace: Workspace) -> tuple[str, ...]:
    """What an infotext may call the chosen checkpoint."""
    try:
        file = find_checkpoint(checkpoint, workspace)
    except UserError:
        return (checkpoint,)
    return file.path.name, file.path.stem, file.title


def painted_pictures(workspace: Workspace, most: int) -> list[str]:
    """The last pictures of the txt2img tab, newest first, as day/file below its folder; no grids."""
    folder = workspace.root / OUTPUTS
    found: list[str] = []
    for day in sorted((d for d in folder.glob("*") if d.is_dir()), reverse=True):
        files = sorted((f.name for f in day.glob("[0-9]*.png")), reverse=True)
        found += [f"{day.name}/{name}" for name in files]
        if len(found) >= most:
            break
    return found[:most]


def painted_file(name: str, workspace: Workspace) -> Path:
    """The file of a name that `painted_pictures` gave. Raises UserError for any other."""
    match = re.fullmatch(r"(\d{4}-\d{2}-\d{2})/(\d[\w-]*\.png)", name)
    path = workspace.root / OUTPUTS / match[1] / match[2] if match else None
    if path is None or not path.is_file():
        raise UserError(f"The picture '{name[:100]}' is not there any more.", "Choose another one.")
    return path
