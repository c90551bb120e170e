"""What a photo goes through on its way to the dataset. Each step turns a list of pieces into another.

The steps chain, as in A1111's Extras tab since 1.7 (A1111 1.10.1, scripts/postprocessing_*.py): a split photo can
be cropped around its focal point, then get an automatic size. In the older tab each ticked way made pictures of its
own out of the whole photo, so that one ticked box more put a second, different copy of every photo into the
dataset.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from PIL import Image, ImageOps

from ti_core.data.by_hand import UNTOUCHED, HandEdit
from ti_core.data.captioners import CaptionWriter, make_caption_writer
from ti_core.data.captions import combine_captions, mirrored_caption
from ti_core.data.crops import Box, Face, Size, auto_size, covering_size, head_and_shoulders, largest_box, plan_split
from ti_core.data.images import cover
from ti_core.data.origin import Origin
from ti_core.errors import Interrupted
from ti_core.events import Emit
from ti_core.settings import PreprocessSettings
from ti_core.workspace import Workspace

MOST_PIXELS = 100_000_000
NO_FACE = "No face was found, so the middle was kept"
SEVERAL_FACES = "Several faces were found, so the middle was kept"
SMALL_FACE = "The face is small, so the finished picture is blurred"
NO_SIZE = "No size within the bounds and the Error threshold fits, so it was cropped to Width and Height"


@dataclass(frozen=True)
class Piece:
    """A picture on its way, and which part of which photo it shows. `sized` ones have their final size; `mirrored`
    is set on flipped copies; `note` says why a person should look at it. `mask` is greyscale and as large as the image.
    """

    image: Image.Image
    origin: Origin
    caption: str = ""
    mirrored: bool = False
    sized: bool = False
    note: str = ""
    debug: Image.Image | None = None
    mask: Image.Image | None = None

    def covering(self, width: int, height: int) -> Piece:
        """Resized to cover that size, and cut to it around the middle."""
        return replace(
            self,
            image=cover(self.image, width, height),
            origin=self.origin.covering((width, height), self.image.size),
            mask=self.mask and cover(self.mask, width, height),
        )

    def cropped(self, scaled: Image.Image, box: Box) -> Piece:
        """The part of this picture, `scaled`, that lies in `box`; it has its final size."""
        left, upper, right, lower = box
        return replace(
            self,
            image=scaled.crop(box),
            origin=self.origin.part(left, upper, right - left, lower - upper, scaled.size),
            mask=self.mask and _as_large(self.mask, scaled.size).crop(box),
            sized=True,
        )


Step = Callable[[list[Piece]], list[Piece]]


class Steps:
    """The ticked steps of a job, with the detectors and captioners that they share."""

    def __init__(
        self,
        settings: PreprocessSettings,
        workspace: Workspace,
        emit: Emit,
        stop: threading.Event,
        tells_place: bool = False,
    ) -> None:
        """`tells_place` gives a face's square its place in the photo as its origin, for drawing it there."""
        self.settings, self.stop, self.tells_place = settings, stop, tells_place
        self.target = (settings.width, settings.height)
        self.writer: CaptionWriter = make_caption_writer(settings, workspace, emit, stop)
        if settings.face_crop or (settings.focal_crop and settings.face_weight > 0):
            from ti_core.data.faces import load_face_finder  # loads OpenCV, which a plain crop does not need

            # OpenCV's detectors are not for several threads
            self.find_faces = _one_at_a_time(load_face_finder(workspace, emit))
        else:
            self.find_faces = lambda image: []

    def is_line(self, size: Size) -> bool:
        """Whether a photo is so slender that scaled to cover the finished pictures it would take gigabytes."""
        settings = self.settings
        width, height = covering_size(size, self.target)
        return width * height > MOST_PIXELS and (
            settings.split_oversized or settings.focal_crop or not settings.keep_original_size
        )

    def enough_px(self, edit: HandEdit = UNTOUCHED) -> int:
        """Of a large photo's shorter side; 0 where all of it counts. Twice the finished size, so that nothing of
        its sharpness is lost, and more where a part is cut out of it.
        """
        settings = self.settings
        finds_a_part = settings.face_crop and edit.middle is None
        if finds_a_part or (settings.keep_original_size and not (settings.focal_crop or settings.auto_sized_crop)):
            return 0
        bounds = settings.dimension_upper if settings.auto_sized_crop else 0
        return round(2 * max(*self.target, bounds) / edit.scale)

    def cut(
        self, image: Image.Image, origin: Origin, edit: HandEdit = UNTOUCHED, mask: Image.Image | None = None
    ) -> list[Piece]:
        """The pieces of one photo, without captions. Several threads may do this at the same time. Where a person has
        put the crop (`edit`), no other way of cropping is asked. `mask` is the photo's, as large as the image; each
        piece gets its part of it.
        """
        pieces = [Piece(edit.turned(image), origin.turned(edit.turn), mask=mask and edit.turned(mask))]
        if edit.middle is not None:
            pieces = [self._around(pieces[0], edit.middle, edit.scale)]
        for step in self._ticked(by_hand=edit.middle is not None):
            pieces = step(pieces)
        return pieces

    def _around(self, piece: Piece, middle: tuple[float, float], scale: float) -> Piece:
        """The part of the picture that has the finished pictures' shape and lies around `middle`."""
        left, upper, width, height = largest_box(piece.image.size, self.target, middle, scale)
        box = (round(left), round(upper), round(left + width), round(upper + height))
        return replace(piece.cropped(piece.image, box), sized=False)

    def caption(self, pieces: list[Piece], existing_caption: str) -> list[Piece]:
        """The pieces with their captions. A captioner's model is for one thread. Raises Interrupted between two."""
        captioned: list[Piece] = []
        for piece in pieces:
            if captioned and self.stop.is_set():
                raise Interrupted
            captioned.append(self._captioned(existing_caption, piece))
        return captioned

    def _ticked(self, by_hand: bool = False) -> list[Step]:
        settings = self.settings
        of_shape = not by_hand
        ticked: list[tuple[bool, Step]] = [
            (settings.face_crop and of_shape, _each(self._around_face)),
            (settings.split_oversized and of_shape, self._split),
            (settings.focal_crop and of_shape, _each(self._around_focus)),
            (settings.auto_sized_crop and of_shape, _each(self._auto_sized)),
            (not settings.keep_original_size, _each(self._fitted)),
            (settings.flip, _with_mirrored),
        ]
        return [step for is_ticked, step in ticked if is_ticked]

    def _around_face(self, piece: Piece) -> Piece:
        """Head and shoulders around the one face; with none or several nobody can know what is wanted, so the
        middle stays.

        The square is a picture of its own: its pixels are the original ones, and nothing of it is cut away.
        """
        faces = self.find_faces(piece.image)
        if len(faces) != 1:
            side = min(piece.image.size)
            return replace(piece.covering(side, side), note=SEVERAL_FACES if faces else NO_FACE)
        cut = piece.cropped(piece.image, head_and_shoulders(faces[0], piece.image.size))
        note = SMALL_FACE if 2 * cut.image.width < min(self.target) else piece.note
        origin = cut.origin if self.tells_place else Origin.whole(cut.image.size, piece.origin.drawn)
        return replace(cut, origin=origin, note=note, sized=piece.sized)

    def _split(self, pieces: list[Piece]) -> list[Piece]:
        made: list[Piece] = []
        for piece in pieces:
            plan = plan_split(piece.image.size, self.target, self.settings.split_threshold, self.settings.split_overlap)
            if plan is None:
                made.append(piece)
            else:
                scaled = piece.image.resize(plan.scaled, Image.Resampling.BICUBIC)
                made.extend(piece.cropped(scaled, box) for box in plan.boxes)
        return made

    def _around_focus(self, piece: Piece) -> Piece:
        from ti_core.data.focal_crop import FocalWeights, focal_crop, render_debug

        weights = FocalWeights(self.settings.face_weight, self.settings.entropy_weight, self.settings.edges_weight)
        crop = focal_crop(piece.image, self.target, weights, self.find_faces)
        return replace(
            piece.cropped(crop.scaled, crop.box), debug=render_debug(crop) if self.settings.debug_image else None
        )

    def _auto_sized(self, piece: Piece) -> Piece:
        settings = self.settings
        sides, areas = (settings.dimension_lower, settings.dimension_upper), (settings.area_lower, settings.area_upper)
        size = auto_size(piece.image.size, sides, areas, settings.resizing_objective, settings.error_threshold)
        if size is None:
            return replace(piece, note=NO_SIZE)
        return replace(piece.covering(*size), sized=True)

    def _fitted(self, piece: Piece) -> Piece:
        return piece if piece.sized else replace(piece.covering(*self.target), sized=True)

    def _captioned(self, existing_caption: str, piece: Piece) -> Piece:
        """Mirrored copies are described anew, because left and right have changed; nothing is described where the
        old caption replaces it.
        """
        existing = mirrored_caption(existing_caption) if piece.mirrored else existing_caption
        replaced = existing and self.settings.caption_action == "copy"
        generated = "" if replaced else self.writer.describe(piece.image)
        return replace(piece, caption=combine_captions(self.settings.caption_action, existing, generated))


def _one_at_a_time(find: Callable[[Image.Image], list[Face]]) -> Callable[[Image.Image], list[Face]]:
    lock = threading.Lock()

    def locked(image: Image.Image) -> list[Face]:
        with lock:
            return find(image)

    return locked


def _each(change: Callable[[Piece], Piece]) -> Step:
    return lambda pieces: [change(piece) for piece in pieces]


def _with_mirrored(pieces: list[Piece]) -> list[Piece]:
    """Each piece and, right after it, its mirrored copy."""
    return [each for piece in pieces for each in (piece, _mirrored(piece))]


def _mirrored(piece: Piece) -> Piece:
    return replace(
        piece,
        image=ImageOps.mirror(piece.image),
        origin=piece.origin.mirrored(),
        mirrored=True,
        debug=None,
        mask=piece.mask and ImageOps.mirror(piece.mask),
    )


def _as_large(mask: Image.Image, size: Size) -> Image.Image:
    """The mask as large as its scaled picture."""
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)
