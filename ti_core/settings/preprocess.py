"""The options of the Preprocess images tab (A1111 1.6.1, modules/ui.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ti_core.errors import Problem
from ti_core.settings.option import Settings, option
from ti_core.settings.shared import (
    MAX_SIZE_PX,
    MIN_SIZE_PX,
    OWN_SIZE,
    checkpoint_option,
    size_options,
)

CAPTION_ACTIONS = ("ignore", "copy", "prepend", "append")
RESIZING_OBJECTIVES = ("Maximize area", "Minimize error")
BLIP_MODELS = ("blip-image-captioning-base", "blip-image-captioning-large")
TAGGERS = ("wd-vit-tagger-v3", "wd-swinv2-tagger-v3", "wd-convnext-tagger-v3", "wd-eva02-large-tagger-v3")
FLORENCE_MODELS = ("Florence-2-base", "Florence-2-large")
FLORENCE_LENGTHS = ("one sentence", "a few sentences", "a paragraph")
MAX_AREA_PX = MAX_SIZE_PX * MAX_SIZE_PX
_WIDTH, _HEIGHT = size_options("Size of the finished pictures,", "process_")


def _share(default: float, label: str, help: str, highest: float = 1, step: float = 0.05, **more: Any) -> Any:
    return option(default, label, "slider", help, minimum=0, maximum=highest, step=step, **more)


def _dimension(share: float, label: str, help: str, a1111: str) -> Any:
    """A bound of a side: that share of the checkpoint's size, in steps of 8 px; A1111's number where that is 512."""

    def of_size(size_px: int) -> int:
        return min(MAX_SIZE_PX, max(MIN_SIZE_PX, round(size_px * share / 8) * 8))

    return option(
        OWN_SIZE,
        label,
        "slider",
        help,
        minimum=MIN_SIZE_PX,
        maximum=MAX_SIZE_PX,
        step=8,
        of_size=of_size,
        a1111=a1111,
        shown_with="auto_sized_crop",
        changes_plan=True,
    )


def _area(share: float, label: str, help: str, a1111: str) -> Any:
    """A bound of width times height: that of a square with that share of the checkpoint's size as its side; A1111's
    number where that is 512.
    """

    def of_size(size_px: int) -> int:
        return min(MAX_AREA_PX, max(MIN_SIZE_PX * MIN_SIZE_PX, round(size_px * share) ** 2))

    return option(
        OWN_SIZE,
        label,
        "slider",
        help,
        minimum=MIN_SIZE_PX * MIN_SIZE_PX,
        maximum=MAX_AREA_PX,
        step=1,
        of_size=of_size,
        a1111=a1111,
        shown_with="auto_sized_crop",
        changes_plan=True,
    )


@dataclass(frozen=True)
class PreprocessSettings(Settings):
    """The Preprocess images tab (A1111 1.6.1, modules/ui.py), in its order, then ours."""

    source_directory: str = option(
        "",
        "Source directory",
        "textbox",
        "Type the folder with your photos, or drop photos into the box below.",
        placeholder="Path to directory with input images",
        required=True,
        is_path=True,
        a1111="process_src",
        changes_plan=True,
    )
    destination_directory: str = option(
        "",
        "Destination directory",
        "textbox",
        "Type where the finished pictures go. The folder is made if it is missing.",
        placeholder="Path to directory for the pictures to train on",
        required=True,
        is_path=True,
        a1111="process_dst",
    )
    width: int = _WIDTH
    height: int = _HEIGHT
    caption_action: str = option(
        "ignore",
        "Existing Caption txt Action",
        "dropdown",
        "Choose copy to keep the .txt captions beside your photos. prepend and append join them with new ones.",
        choices=CAPTION_ACTIONS,
        a1111="preprocess_txt_action",
    )
    keep_original_size: bool = option(
        False,
        "Keep original size",
        "checkbox",
        "Pictures that no crop changes keep their size. Train them with Do not resize images.",
        a1111="process_keep_original_size",
        changes_plan=True,
    )
    flip: bool = option(
        False,
        "Create flipped copies",
        "checkbox",
        "Adds a mirrored copy of every picture. Tick it if you have few photos.",
        a1111="process_flip",
        changes_plan=True,
    )
    split_oversized: bool = option(
        False,
        "Split oversized images",
        "checkbox",
        "Cuts long or tall photos into several pictures. Not needed for faces.",
        a1111="process_split",
        changes_plan=True,
    )
    focal_crop: bool = option(
        False,
        "Auto focal point crop",
        "checkbox",
        "Crops around what matters, first of all faces, and not around the middle.",
        a1111="process_focal_crop",
        changes_plan=True,
    )
    auto_sized_crop: bool = option(
        False,
        "Auto-sized crop",
        "checkbox",
        "Each picture gets a size that suits its shape. Then tick Do not resize images in the Train tab.",
        a1111="process_multicrop",
        changes_plan=True,
    )
    blip_caption: bool = option(
        False,
        "Use BLIP for caption",
        "checkbox",
        "A model writes a sentence about each picture. The first use downloads about 1 GB.",
        a1111="process_caption",
        changes_plan=True,
    )
    booru_caption: bool = option(
        False,
        "Use deepbooru for caption",
        "checkbox",
        "A model lists tags for each picture. It is the newer WD tagger; the first use downloads it.",
        a1111="process_caption_deepbooru",
    )
    split_threshold: float = _share(
        0.5,
        "Split image threshold",
        "How long a photo must be to be split. Keep 0.5: twice as long as the finished picture. 1 splits whatever is"
        " longer.",
        a1111="split_threshold",
        shown_with="split_oversized",
        changes_plan=True,
    )
    split_overlap: float = _share(
        0.2,
        "Split image overlap ratio",
        "How much neighbouring pieces share, at least. Keep 0.2; more makes more pieces.",
        highest=0.9,
        a1111="overlap_ratio",
        shown_with="split_oversized",
        changes_plan=True,
    )
    face_weight: float = _share(
        0.9,
        "Focal point face weight",
        "How much a face counts for the crop. Keep 0.9; 0 does not look for faces.",
        a1111="process_focal_crop_face_weight",
        shown_with="focal_crop",
    )
    entropy_weight: float = _share(
        0.15,
        "Focal point entropy weight",
        "How much a part counts that is nearly all dark or all light, with a few spots in it. Keep 0.15; 0 turns it"
        " off.",
        a1111="process_focal_crop_entropy_weight",
        shown_with="focal_crop",
    )
    edges_weight: float = _share(
        0.5,
        "Focal point edges weight",
        "How much corners and edges count. Keep 0.5; 0 turns it off.",
        a1111="process_focal_crop_edges_weight",
        shown_with="focal_crop",
    )
    debug_image: bool = option(
        False,
        "Create debug image",
        "checkbox",
        "Also saves pictures that show what pulled the crop, in the folder debug of the destination. They are not"
        " trained on.",
        a1111="process_focal_crop_debug",
        shown_with="focal_crop",
    )
    dimension_lower: int = _dimension(
        0.75,
        "Dimension lower bound",
        "No side of a picture gets shorter than this. Keep three quarters of the checkpoint's own size.",
        "process_multicrop_mindim",
    )
    dimension_upper: int = _dimension(
        1.5,
        "Dimension upper bound",
        "No side of a picture gets longer than this. Keep one and a half times the checkpoint's own size; more needs"
        " more memory.",
        "process_multicrop_maxdim",
    )
    area_lower: int = _area(
        1 / 8,
        "Area lower bound",
        "Width times height is at least this many pixels. Keep it; the bounds above matter more.",
        "process_multicrop_minarea",
    )
    area_upper: int = _area(
        1.25,
        "Area upper bound",
        "Width times height is at most this many pixels. Keep it: 409600, which is 640 x 640, for 512 px. More needs"
        " more memory.",
        "process_multicrop_maxarea",
    )
    resizing_objective: str = option(
        "Maximize area",
        "Resizing objective",
        "radio",
        "Keep Maximize area: the largest size that fits. Minimize error takes the closest shape, so that less is cut"
        " away.",
        choices=RESIZING_OBJECTIVES,
        a1111="process_multicrop_objective",
        shown_with="auto_sized_crop",
        changes_plan=True,
    )
    error_threshold: float = _share(
        0.1,
        "Error threshold",
        "How much of a photo may be cut away at most. Keep 0.1, a tenth.",
        step=0.01,
        a1111="process_multicrop_threshold",
        shown_with="auto_sized_crop",
        changes_plan=True,
    )
    face_crop: bool = option(
        False,
        "Face crop to square",
        "checkbox",
        "Cuts head and shoulders out around the face. Photos with no face or several are named, to crop by hand.",
    )
    blip_model: str = option(
        BLIP_MODELS[0],
        "BLIP model",
        "dropdown",
        "Keep base. large writes a little better and needs more memory.",
        choices=BLIP_MODELS,
        shown_with="blip_caption",
    )
    blip_min_length: int = option(
        24,
        "BLIP: minimum description length",
        "slider",
        "How many words at least, its own first words among them. A1111's 24 makes it repeat itself; choose 8.",
        minimum=1,
        maximum=128,
        step=1,
        shown_with="blip_caption",
        changes_plan=True,
    )
    blip_max_length: int = option(
        48,
        "BLIP: maximum description length",
        "slider",
        "How many words at most, roughly. Keep 48.",
        minimum=1,
        maximum=256,
        step=1,
        shown_with="blip_caption",
        changes_plan=True,
    )
    blip_beams: int = option(
        1,
        "BLIP: num_beams",
        "slider",
        "How many sentences are tried at a time. Keep 1; more may write better and take longer.",
        minimum=1,
        maximum=16,
        step=1,
        shown_with="blip_caption",
    )
    booru_model: str = option(
        TAGGERS[0],
        "deepbooru: tagger",
        "dropdown",
        "Keep vit. By its author's test eva02 tags best; it is the largest and slowest.",
        choices=TAGGERS,
        shown_with="booru_caption",
    )
    booru_threshold: float = _share(
        0.5,
        "deepbooru: score threshold",
        "How sure the model must be of a tag. Keep 0.5; a lower number lists more tags.",
        step=0.01,
        shown_with="booru_caption",
    )
    booru_character_threshold: float = _share(
        0.85,
        "deepbooru: score threshold of characters",
        "How sure the model must be of a character's name. Keep 0.85: a wrong name harms more than a missing one.",
        step=0.01,
        shown_with="booru_caption",
    )
    florence_caption: bool = option(
        False,
        "Use Florence-2 for caption",
        "checkbox",
        "A newer model than BLIP describes each picture. The first use downloads it.",
    )
    florence_model: str = option(
        FLORENCE_MODELS[0],
        "Florence-2: model",
        "dropdown",
        "Keep base. large sees more and needs three times the memory.",
        choices=FLORENCE_MODELS,
        shown_with="florence_caption",
    )
    florence_length: str = option(
        FLORENCE_LENGTHS[0],
        "Florence-2: length",
        "dropdown",
        "Keep one sentence: a prompt holds about 75 tokens at a time, and a paragraph is longer.",
        choices=FLORENCE_LENGTHS,
        shown_with="florence_caption",
    )

    checkpoint: str = checkpoint_option()

    def problems(self, own_px: int = 0) -> list[Problem]:
        """Those of each value, and bounds that exclude each other."""
        return super().problems(own_px) + self.bound_problems()

    def bound_problems(self) -> list[Problem]:
        """One sentence for each lower bound above its upper one; a bound that is not known yet (0) is left out."""
        pairs = [("dimension_lower", "dimension_upper"), ("area_lower", "area_upper")] if self.auto_sized_crop else []
        pairs += [("blip_min_length", "blip_max_length")] if self.blip_caption else []
        found: list[Problem] = []
        options = self.options()
        for low, high in pairs:
            least, most = getattr(self, low), getattr(self, high)
            if least > most and most:
                sentence = (
                    f"{options[low].label} is {least}, more than {options[high].label}, {most}. Lower the first or"
                    " raise the second."
                )
                found.append(Problem(sentence, low))
        return found
