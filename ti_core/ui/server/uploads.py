"""What people drop on the page is looked at first, and then copied into the workspace under safe names."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ti_core.data.camera_files import read_suffixes
from ti_core.data.caption_tables import TABLE_SUFFIXES, CaptionTable, is_table
from ti_core.data.captions import CAPTION_SUFFIXES, CaptionFiles
from ti_core.data.images import FORMATS, MASK_ENDING, PHONE_SUFFIXES, is_mask, pixels_of
from ti_core.data.zip_files import unpack
from ti_core.embeddings.folder import word_of
from ti_core.embeddings.formats import PICKLE_BEARING, SUFFIXES, format_of, load_embeddings
from ti_core.embeddings.names import new_embedding_name
from ti_core.errors import UserError
from ti_core.files import first_free, reason, save_atomically, save_text
from ti_core.workspace import Workspace, clean_name

MAX_PICTURE_PIXELS = 100_000_000
MAX_CAPTION_BYTES = 64 * 2**10
MAX_TABLE_BYTES = 16 * 2**20
ZIP = ".zip"
SHOWN_NAMES = 10
TAKEN = {*FORMATS, *read_suffixes(), *CAPTION_SUFFIXES, *TABLE_SUFFIXES}


def keep_photos(files: Sequence[Path], name: str, workspace: Workspace) -> tuple[Path, list[str]]:
    """Copy photos and captions to uploads/<name>; returns the folder and a sentence for each reason why files were
    left out.

    A second drop gets a folder with a number, so that two sets of photos never mix. Zip files are unpacked. Raises
    UserError when nothing is left.
    """
    with tempfile.TemporaryDirectory(prefix="ti-zip-") as unpacked:
        loose, in_zips, used_bytes = [file for file in files if not _is_zip(file)], list[str](), 0
        for number, archive in enumerate(file for file in files if _is_zip(file)):
            folder = Path(unpacked, str(number))
            folder.mkdir()
            found, left_out = unpack(archive, folder, TAKEN | PHONE_SUFFIXES, used_bytes)
            used_bytes += sum(file.stat().st_size for file in found)
            loose += found
            in_zips += left_out
        folder, sentences = _keep_loose(loose, name, workspace)
    shown = ", ".join(_shown_name(each) for each in in_zips[:SHOWN_NAMES])
    more = f" and {len(in_zips) - SHOWN_NAMES} more" if len(in_zips) > SHOWN_NAMES else ""
    if in_zips:
        sentences.append(f"Left out of the zip, because they are no photos: {shown}{more}.")
    return folder, sentences


def _is_zip(file: Path) -> bool:
    return file.suffix.lower() == ZIP and not file.is_symlink()


def _keep_loose(files: Sequence[Path], name: str, workspace: Workspace) -> tuple[Path, list[str]]:
    wanted = [file for file in files if _is_photo_or_caption(file)]
    phone = [file for file in files if file.suffix.lower() in PHONE_SUFFIXES]
    tables = [file for file in files if _is_captions_of_many(file)]
    others = [file for file in files if file not in (*wanted, *phone, *tables)]
    if not wanted:
        raise UserError(
            f"None of the dropped files is a photo that can be read: {_names([*phone, *others])}.",
            "Save them as JPG, PNG or WebP, and drop these.",
        )
    unclear = [file for file in wanted if _belongs_to_several(file, wanted)]
    folder = _new_folder(workspace.root / "uploads", clean_name(name) if name.strip(" .") else "photos")
    try:
        kept = {
            folder / (stem + _parts(file, wanted)[1]): file
            for file, stem in _new_stems([file for file in wanted if file not in unclear]).items()
        }
        for path, file in kept.items():
            save_atomically(path, partial(shutil.copyfile, file))
        sentences = [_spread(CaptionTable.load(table), kept, folder) for table in tables]
    except UserError:  # a full disk; half of what was dropped would be taken for all of it
        shutil.rmtree(folder, ignore_errors=True)
        raise
    reasons = {
        "pictures of a phone's or camera's own kind cannot be read; save them as JPEG first": phone,
        "they are not photos, or larger than 100 megapixels": others,
        "several photos have that name, so nobody can know whose caption it is": unclear,
    }
    left = [f"Left out, because {why}: {_names(left_out)}." for why, left_out in reasons.items() if left_out]
    return folder, [*sentences, *left]


def _is_captions_of_many(file: Path) -> bool:
    return is_table(file) and not file.is_symlink() and file.is_file() and file.stat().st_size <= MAX_TABLE_BYTES


def _spread(table: CaptionTable, kept: Mapping[Path, Path], folder: Path) -> str:
    """Write a file with the captions of many photos as one beside each, because their names are others now; those
    that have one stay. `kept` is new path -> what was dropped.
    """
    if table.problem:
        return f"Left out, because {table.problem}: {_names([table.file])}."
    files, written = CaptionFiles.of(folder), 0
    for picture in files.pictures:
        text = None if files.find(picture) else table.text_of(kept[picture], anywhere=True)
        if text is not None:
            save_text(picture.with_suffix(CAPTION_SUFFIXES[0]), text[:MAX_CAPTION_BYTES] + "\n")
            written += 1
    return f"{written} caption{'s' * (written != 1)} taken from {_names([table.file])}."


def _names(files: Sequence[Path]) -> str:
    """For a sentence. What turns the writing direction or the cursor is shown as a sign, because a name may come
    from anybody.
    """
    return ", ".join(_shown_name(file.name) for file in files)


def _shown_name(name: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in name)[:100]


def not_stored(request: Request, error: Exception) -> Response:
    """What the browser is told when gradio could not keep what was sent: a full disk most of the time."""
    assert isinstance(error, OSError), "it is registered for these"
    sentence = f"It could not be stored: {reason(error)}. Ask the owner of this page to make room, then try again."
    return PlainTextResponse(sentence, 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500)


def _belongs_to_several(file: Path, files: Sequence[Path]) -> bool:
    """Whether it is a caption, and there are several photos of its name (out of several folders) but not as many
    captions.
    """
    if file.suffix.lower() not in CAPTION_SUFFIXES:
        return False
    stem, kind = _parts(file, files)
    counts = Counter(suffix for other in files for other_stem, suffix in [_parts(other, files)] if other_stem == stem)
    return max((count for suffix, count in counts.items() if not suffix.endswith(CAPTION_SUFFIXES)), default=0) > max(
        1, counts[kind]
    )


def _parts(file: Path, files: Sequence[Path]) -> tuple[str, str]:
    """Stem and lower-case suffix; those of the caption `a.jpg.txt` are `a` and `.jpg.txt` where the photo `a.jpg`
    is among the files.
    """
    suffix = file.suffix.lower()
    if is_mask(file):  # it keeps the name of its photo
        return file.stem[: -len(MASK_ENDING)], MASK_ENDING + suffix
    if suffix in CAPTION_SUFFIXES and any(photo.name == file.stem for photo in files):
        return Path(file.stem).stem, Path(file.stem).suffix.lower() + suffix
    return file.stem, suffix


def _new_stems(files: Sequence[Path]) -> dict[Path, str]:
    """A safe name without suffix for each file: photo and caption of one name keep one, and no other photo gets it."""
    seen: Counter[tuple[str, str]] = Counter()
    owners: dict[tuple[str, int], str] = {}
    stems = {}
    for file in files:
        kind = _parts(file, files)
        seen[kind] += 1  # out of several folders: the first photo of a name and the first caption belong together
        owner = (kind[0], seen[kind])
        if owner not in owners:
            owners[owner] = first_free(
                partial(_numbered, _clean_stem(kind[0])), lambda stem: stem.lower() in map(str.lower, owners.values())
            )
        stems[file] = owners[owner]
    return stems


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def keep_embedding(file: Path, workspace: Workspace, allow_pickle: bool) -> Path:
    """Put a dropped embedding, or a LoRA that bundles some, into embeddings/ if it can be read. Raises UserError; a
    name that exists is never replaced.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES or file.is_symlink():
        raise UserError(f"'{_names([file])}' is no embedding file.", f"Choose one of: {', '.join(SUFFIXES)}.")
    if not allow_pickle and (suffix in PICKLE_BEARING or format_of(file).may_hold_pickles):  # whatever it is called
        raise UserError(
            f"'{file.name}' is of a format that can hold code, which this shared page does not take.",
            "Convert it to .safetensors, or ask the owner to start with --allow-pickle.",
        )
    found = load_embeddings(file)
    # diffusers calls every file learned_embeds; the token that it was trained under says more
    name = new_embedding_name(clean_name(found[0].token or word_of(file, found[0])), workspace)
    target = workspace.embeddings / f"{name}{suffix}"
    if target.exists():  # a thumbnail
        raise UserError(f"'{target.name}' is there already.", "Give the file another name and drop it again.")
    return save_atomically(target, partial(shutil.copyfile, file))


def _is_photo_or_caption(file: Path) -> bool:
    """By the beginning of the file, not only by its name: a bomb says its size there, and nothing is decoded. Links
    are none: they lead elsewhere.
    """
    if file.suffix.lower() not in TAKEN or file.is_symlink():
        return False
    if file.suffix.lower() in CAPTION_SUFFIXES:
        return file.is_file() and file.stat().st_size <= MAX_CAPTION_BYTES
    return 0 < pixels_of(file) <= MAX_PICTURE_PIXELS


def _clean_stem(stem: str) -> str:
    try:
        return clean_name(stem)
    except UserError:
        return "photo"


def _new_folder(parent: Path, name: str) -> Path:
    return first_free(lambda number: parent / _numbered(name, number), Path.exists)
