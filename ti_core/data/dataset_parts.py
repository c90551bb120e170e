"""The folders that a dataset is made of, and how often the pictures of each are trained on: one folder of pictures as
in A1111, kohya's `10_anna woman` (sd-scripts, library/config_util.py), OneTrainer's concepts.json, or all sub-folders.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ti_core.data.captions import REPEATED
from ti_core.data.concept_options import not_taken_sentence
from ti_core.data.images import find_images
from ti_core.errors import UserError
from ti_core.files import sendable
from ti_core.settings import TrainSettings
from ti_core.settings.train_captions import MOST_REPEATS, parse_repeats
from ti_core.workspace import Workspace

CONCEPTS = "concepts.json"
_NO_PART = re.compile(r"earlier-\d+|debug|masks?", re.IGNORECASE)
"""What an earlier preprocessing left behind, pictures of the focal crop, and masks are never trained on."""
DEEPEST, MOST_FOLDERS = 8, 2000
MOST_NAME_CHARACTERS = 100
"""Of what a file calls a concept, in a sentence."""
NAMED = 8


@dataclass(frozen=True)
class Part:
    """A folder with pictures. `name` is its path in the dataset, empty for the dataset's own folder; `repeats` says how
    often one pass over the dataset takes each picture.
    """

    folder: Path
    name: str
    pictures: tuple[Path, ...] = ()
    repeats: int = 1


@dataclass(frozen=True)
class DatasetParts:
    """The parts of a dataset, in the order of their names, those inside of it that are not used, and what is to be
    said of either.
    """

    folder: Path
    used: tuple[Part, ...] = ()
    unused: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    _of: dict[Path, Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._of.update({part.folder: part for part in self.used})

    @property
    def pictures(self) -> list[Path]:
        """All pictures that are used, in the order of their paths."""
        return sorted(picture for part in self.used for picture in part.pictures)

    @property
    def folders(self) -> list[Path]:
        """The folders that are used."""
        return [part.folder for part in self.used]

    def part_of(self, picture: Path) -> Part:
        """The part that a picture of the dataset belongs to."""
        return self._of[picture.parent]

    def no_pictures(self, what: str, shown: str) -> UserError:
        """The error for a dataset without pictures, which offers the folders inside of it. `what` is the field's label,
        `shown` the folder as it is typed.
        """
        if not self.unused:
            return UserError(
                f"{what} '{shown}' holds no pictures.", "Preprocess your photos first, or choose another folder."
            )
        inside = _counted(self.unused)
        return UserError(
            f"{what} '{shown}' holds no pictures itself, but folders in it do: {inside}.",
            f"Choose one of them, such as {shown.rstrip('/')}/{self.unused[0].name}."
            " To train on all of them together, tick Use subfolders too.",
        )

    def no_single_folder(self, what: str = "Dataset folder") -> UserError:
        """The error where one folder with pictures is wanted, and this one holds none itself; `what` is the field's
        label.
        """
        inside = [part for part in (*self.used, *self.unused) if part.name]
        if not inside:
            return UserError(
                f"{what} '{self.folder.name}' holds no pictures.",
                "Choose another folder, or preprocess your photos first.",
            )
        return UserError(
            f"{what} '{self.folder.name}' holds no pictures itself, but folders in it do: {_counted(inside)}.",
            f"Choose one of them, such as {self.folder.name}/{inside[0].name}.",
        )

    def sentences(self) -> list[str]:
        """What somebody should know before the start: what is not used, and why."""
        if not self.unused or not self.used:
            return list(self.notes)
        inside = "a folder inside" if len(self.unused) == 1 else f"{len(self.unused)} folders inside"
        return [
            *self.notes,
            f"Pictures of {inside} are not used: {_counted(self.unused)}. Tick Use subfolders too if they belong here.",
        ]


def find_parts(folder: Path, subfolders: bool = False, repeats: str = "") -> DatasetParts:
    """The parts of the dataset in `folder`: its own pictures, and those of folders with a number of repeats in their
    name; with `subfolders` those of all others too. What OneTrainer's concepts.json names is used instead, if there is
    one. `repeats` overrules the numbers (`parse_repeats`).

    Only the proportion of repeats counts, so they have no common divisor: ten of each picture are one of each. Raises
    UserError for a folder that cannot be read, for too many folders, and for repeats of what is not there.
    """
    found = _concepts(folder) or _folders(folder, subfolders)
    numbers = {part.folder: Fraction(part.repeats) for part in found.used} | dict(found.balance)
    for name, number in parse_repeats(repeats).items():
        meant = [part for part in found.used if name.lower() in _names_of(part)]
        if not meant:
            there = ", ".join(part.name or part.folder.name for part in found.used[:NAMED])
            raise UserError(
                f"Folder repeats names '{name}', which is no folder of this dataset.",
                f"Name one of: {there}." if there else "Leave it empty.",
                field="folder_repeats",
            )
        numbers |= {part.folder: Fraction(number) for part in meant}
    used = [part for part in found.used if numbers[part.folder] > 0]
    whole = _whole([numbers[part.folder] for part in used])
    parts = tuple(replace(part, repeats=number) for part, number in zip(used, whole, strict=True))
    return DatasetParts(folder, parts, tuple(found.unused), tuple(found.notes))


def folders_to_edit(folder: Path) -> list[Path]:
    """The folder itself, or those inside of it that hold pictures where it holds none itself."""
    try:
        parts = find_parts(folder)
    except UserError:  # whoever opens it says what is wrong with it
        return [folder]
    inside = sorted(part.folder for part in (*parts.used, *parts.unused))
    return inside if inside and folder not in inside else [folder]


def parts_of(settings: TrainSettings, workspace: Workspace) -> DatasetParts:
    """The parts of the dataset of the Train tab. Raises UserError."""
    folder = workspace.folder(settings.dataset_directory, "Dataset directory")
    return find_parts(folder, settings.subfolders, settings.folder_repeats)


def _names_of(part: Part) -> set[str]:
    """What a person may call it, in small letters."""
    plain = REPEATED.fullmatch(part.folder.name)
    names = {part.name, part.folder.name, plain[2] if plain else "", part.name.rpartition("/")[2]}
    return {name.lower() for name in names if name} | ({"."} if not part.name else set())


def _whole(numbers: Sequence[Fraction]) -> list[int]:
    """The smallest whole numbers of the same proportion."""
    if not numbers:
        return []
    all_of = math.lcm(*(number.denominator for number in numbers))
    whole = [int(number * all_of) for number in numbers]
    return [number // math.gcd(*whole) for number in whole]


def _counted(parts: Sequence[Part]) -> str:
    """`anna (20 pictures), ben (18)`."""
    named = [f"{part.name} ({len(part.pictures)})" for part in parts[:NAMED]]
    named[0] = f"{parts[0].name} ({len(parts[0].pictures)} picture{'s' * (len(parts[0].pictures) != 1)})"
    return ", ".join(named) + (f" and {len(parts) - NAMED} more" if len(parts) > NAMED else "")


# ---- by the names of folders


@dataclass
class _Found:
    used: list[Part] = field(default_factory=list)
    unused: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    balance: dict[Path, Fraction] = field(default_factory=dict)


def _folders(root: Path, subfolders: bool) -> _Found:
    found = _Found()
    if own := find_images(root):
        found.used.append(Part(root, "", tuple(own)))
    for folder in _inside(root, DEEPEST if subfolders else 1):
        if not (pictures := _pictures(folder)):
            continue
        name = folder.relative_to(root).as_posix()
        numbers = [match for part in folder.relative_to(root).parts if (match := REPEATED.fullmatch(part))]
        repeats = int(numbers[-1][1]) if numbers else 1
        part = Part(folder, name, tuple(pictures), repeats)
        if not numbers and not subfolders:
            found.unused.append(part)
        elif repeats:
            found.used.append(part)
        else:
            found.notes.append(f"Folder '{name}' has 0 repeats, so it is not used.")
    return found


def _pictures(folder: Path) -> list[Path]:
    """One folder that cannot be read is no reason to leave out the others."""
    try:
        return find_images(folder)
    except UserError:
        return []


def _inside(root: Path, deepest: int) -> list[Path]:
    """The folders inside that may be parts, by their paths. A link that leads back is followed once."""
    found, waiting, seen = list[Path](), [(root, 0)], {os.path.realpath(root)}
    while waiting:
        folder, depth = waiting.pop()
        try:
            inside = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
        except OSError:
            continue
        for path in inside:
            real = os.path.realpath(path)
            if real in seen or path.name.startswith(".") or _NO_PART.fullmatch(path.name):
                continue
            seen.add(real)
            found.append(path)
            if len(found) > MOST_FOLDERS:
                raise UserError(
                    f"'{root.name}' holds more than {MOST_FOLDERS} folders.", "Choose the folder of one dataset."
                )
            if depth + 1 < deepest:
                waiting.append((path, depth + 1))
    return sorted(found)


# ---- OneTrainer's concepts


def _concepts(root: Path) -> _Found | None:
    """What the file names (OneTrainer, modules/util/config/ConceptConfig.py): folders with a balance. They are looked
    for in the dataset's folder alone, by their last name, because the paths are those of another computer.
    """
    listed = _load_list(root / CONCEPTS)
    if not listed:
        return None
    found, taken = _Found(), list[Mapping[str, Any]]()
    for each in listed:
        name = sendable(str(each.get("name") or "") or str(each["path"]))[:MOST_NAME_CHARACTERS]
        folder = _folder_of(root, str(each["path"]))
        if each.get("enabled") is False or each.get("validation_concept") or each.get("type") == "VALIDATION":
            found.notes.append(f"Concept '{name}' of {CONCEPTS} is switched off or for validation, so it is not used.")
            continue
        if folder is None:
            found.notes.append(f"Concept '{name}' of {CONCEPTS} is no folder in this one, so it is not used.")
            continue
        taken.append(each)
        deep = bool(each.get("include_subdirectories"))
        for part in [folder, *(_inside(folder, DEEPEST) if deep else [])]:
            if (pictures := _pictures(part)) and part not in found.balance:
                inside = part.relative_to(root).as_posix()
                found.used.append(Part(part, "" if inside == "." else inside, tuple(pictures)))
                found.balance[part] = _balance(each, len(pictures))
    if left := not_taken_sentence(CONCEPTS, taken):
        found.notes.append(left)
    found.used.sort(key=lambda part: part.folder)
    known = {part.folder for part in found.used}
    found.unused = [part for part in _folders(root, subfolders=False).unused if part.folder not in known]
    return found if found.used or found.notes else None


def _load_list(file: Path) -> list[Mapping[str, Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return (
        [each for each in content if isinstance(each, dict) and isinstance(each.get("path"), str)]
        if (isinstance(content, list))
        else []
    )


def _folder_of(root: Path, typed: str) -> Path | None:
    """The concept's folder, where it lies in `root` or is `root`."""
    parts = [part for part in re.split(r"[\\/]", typed) if part not in ("", ".", "..")][-DEEPEST:]
    for start in range(len(parts)):
        folder = root.joinpath(*parts[start:])
        with contextlib.suppress(OSError):  # too long a name
            if folder.is_relative_to(root) and folder.is_dir():  # on Windows D: as a part leads to another disk
                return folder
    return root if parts and parts[-1].lower() == root.name.lower() else None


def _balance(each: Mapping[str, Any], pictures: int) -> Fraction:
    """Repeats of each picture; the strategy SAMPLES says how many pictures of the folder one pass takes."""
    number = each.get("balancing", each.get("repeats", 1))
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= MOST_REPEATS:
        return Fraction(1)
    exact = Fraction(number).limit_denominator(100)
    return Fraction(exact, pictures).limit_denominator(100) if each.get("balancing_strategy") == "SAMPLES" else exact
