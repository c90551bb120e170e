"""Masks: which part of a picture counts. White counts, black does not, greys count in between.

The mask of `anna.jpg` is `anna-masklabel.png` beside it (as OneTrainer has it), else the picture of the same name in a
folder `masks` or `mask` there (as kohya's scripts have it), else what is opaque in the picture itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from ti_core.data.crops import Face, Size
from ti_core.data.images import FORMATS, MASK_ENDING, Problem, is_mask, open_on_black, problem_of
from ti_core.errors import UserError
from ti_core.files import save_atomically

MASK_FOLDERS = ("masks", "mask")
MASK_SHAPES = ("head", "head and shoulders")
_DRAWN_PX = 1024
"""A mask is drawn with its longer side at most so large, and then enlarged: its edges are soft anyway."""
_SHAPE_TOLERANCE = 1.05
"""How far the aspect of a mask may be from its picture's: more than the rounding of a smaller copy is another crop."""
_NAMED = 5


def mask_file(picture: Path) -> Path:
    """Where the mask of a picture is written: `anna-masklabel.png` beside `anna.jpg`."""
    return picture.with_name(f"{picture.stem}{MASK_ENDING}.png")


def find_mask(picture: Path) -> Path | None:
    """The file with the mask of a picture, None where there is none."""
    try:
        beside = mask_file(picture)
        if beside.is_file():
            return beside
        for folder in (picture.parent / name for name in MASK_FOLDERS):
            if folder.is_dir():
                named = [folder / f"{picture.stem}{suffix}" for suffix in (".png", *FORMATS)]
                if found := next((file for file in named if file.is_file()), None):
                    return found
    except OSError:  # a name that is too long with the ending
        return None
    return None


def load_mask(file: Path, size: Size) -> Image.Image:
    """The mask in a file as greyscale of `size` px, which is that of its picture. What is transparent in it does not
    count. Raises UserError, naming the file, for one that cannot be read or has another shape than its picture.
    """
    mask = open_on_black(file)
    stretched = (mask.width / mask.height) / (size[0] / size[1])
    if not 1 / _SHAPE_TOLERANCE < stretched < _SHAPE_TOLERANCE:
        raise UserError(
            f"Mask '{file.name}' cannot be used: it has another shape than its picture"
            f" ({mask.width} x {mask.height} for {size[0]} x {size[1]} px).",
            "Save it with the size of the picture.",
        )
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def mask_of(picture: Path, size: Size, alpha: Image.Image | None = None) -> tuple[Image.Image | None, Problem | None]:
    """The mask of a picture that is `size` px large, greyscale; `alpha` is its own transparency, which serves where no
    file does. The second is what is wrong with its file, which is then not used.
    """
    file = find_mask(picture)
    if alpha is not None and alpha.getextrema()[0] == 255:  # opaque all over
        alpha = None
    if file is None:
        return alpha, None
    try:
        return load_mask(file, size), None
    except UserError as error:
        reason = "it has another shape than its picture" if error.__cause__ is None else problem_of(file, error).reason
        return alpha, Problem(file.name, reason)


def save_mask(picture: Path, mask: Image.Image) -> Path:
    """Write the mask of a picture beside it, greyscale. Raises UserError if that cannot be done."""
    return save_atomically(mask_file(picture), partial(mask.convert("L").save, format="PNG"))


def face_mask(size: Size, face: Face, shape: str = MASK_SHAPES[0], softness: float = 0.12) -> Image.Image:
    """A mask for a picture of `size` px, greyscale: an ellipse around the whole head of a found face (left, upper,
    width, height in px), and with "head and shoulders" what lies below it too. The edge fades over `softness` heights
    of the face to either side.
    """
    scale = min(1.0, _DRAWN_PX / max(size))
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left, upper, width, height = (side * scale for side in face)
    middle, mask = left + width / 2, Image.new("L", small, 0)
    draw = ImageDraw.Draw(mask)
    # a found face reaches from the brows or the hairline to the chin, so the head is larger, above all upwards
    head = (middle - 0.8 * width, upper - 0.5 * height, middle + 0.8 * width, upper + 1.2 * height)
    draw.ellipse(head, fill=255)
    if shape == MASK_SHAPES[1]:
        neck, shoulders = 0.35 * width, 1.7 * width
        draw.rectangle((middle - neck, upper + 0.9 * height, middle + neck, upper + 1.6 * height), fill=255)
        below = max(small[1], upper + 3 * height)
        draw.ellipse((middle - shoulders, upper + 1.25 * height, middle + shoulders, upper + 3.2 * height), fill=255)
        draw.rectangle((middle - shoulders, upper + 2.2 * height, middle + shoulders, below), fill=255)
    blurred = mask.filter(ImageFilter.GaussianBlur(softness * height))
    return blurred if small == size else blurred.resize(size, Image.Resampling.BICUBIC)


def mask_sentences(pictures: Sequence[Path], used: bool) -> list[str]:
    """What is to be known of the masks beside a folder's pictures before the start: that they are not used, that there
    are none, and masks without a picture. `used` is whether "Use masks as loss weight" is ticked.
    """
    if not pictures:
        return []
    masked = sum(1 for picture in pictures if find_mask(picture))
    said = []
    count = f"{masked} of {len(pictures)} picture{'s' * (len(pictures) > 1)}"
    if masked and not used:
        have = "has a mask, which is" if masked == 1 else "have masks, which are"
        said.append(f"{count} {have} not used. To learn only what they show, tick Use masks as loss weight.")
    elif used and masked:
        have = "has a mask" if masked == 1 else "have masks"
        others = " The others count whole, or where they are not transparent." if masked < len(pictures) else ""
        said.append(f"{count} {have}.{others}")
    elif used:
        said.append("No picture has a mask beside it, so only transparent parts are left out.")
    return said + _orphan_sentences(pictures)


def _orphan_sentences(pictures: Iterable[Path]) -> list[str]:
    stems: dict[Path, set[str]] = {}
    for picture in pictures:
        stems.setdefault(picture.parent, set()).add(picture.stem)
    alone: list[str] = []
    for folder, known in stems.items():
        with contextlib.suppress(OSError):
            names = sorted(file.name for file in folder.iterdir() if is_mask(file))
            alone += [name for name in names if Path(name).stem.removesuffix(MASK_ENDING) not in known]
    if not alone:
        return []
    more = f" and {len(alone) - _NAMED} more" if len(alone) > _NAMED else ""
    are = "is the mask of no picture" if len(alone) == 1 else "are masks of no picture"
    return [f"{', '.join(alone[:_NAMED])}{more} {are} and {'is' if len(alone) == 1 else 'are'} not used."]
