"""The root folder of embeddings, templates, datasets and runs, and how a typed path becomes a real one."""

from __future__ import annotations

import argparse
import functools
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.errors import UserError
from ti_core.other_programs import PROGRAMS, OtherProgram, kept_folders, program_in, programs_in
from ti_core.typed_paths import nearest_folder, plain_path, similar_folder, without_backslashes

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parent
"""The folder that `ti_core` is imported from: the checkout, or the environment that it was installed into."""
SHIPPED = REPOSITORY if (REPOSITORY / "assets" / "families").is_dir() else PACKAGE / "shipped"
"""Where assets/ and templates/ lie: beside the package in a checkout, inside of it in an installed wheel
(pyproject.toml).
"""
ASSETS = SHIPPED / "assets"
SAMPLE_PHOTOS = ASSETS / "sample_photos"
SHOWN_SAMPLE_PHOTOS = "assets/sample_photos"
"""How the sample photos are typed, in whatever workspace one is."""
SHIPPED_TEMPLATES = SHIPPED / "templates"
PORTRAITS_FOLDER = ASSETS / "portraits"
READ_ONLY = tuple(REPOSITORY / part for part in ("assets", "bench", "docs", "tests", "ti_core", "tools"))
"""What ships with the project; the workspace may be the project's own folder, and then these lie inside of it."""


@dataclass(frozen=True)
class Workspace:
    """Where everything is. `confined` is set when the page has a login: then typed paths must be relative and stay
    inside `root` (or among the sample photos).

    `ckpt_dirs` are more folders of checkpoints. `ui_dirs` are folders of other programs (other_programs.py), whose
    models and templates are used where they are. Embeddings are kept where the first of them looks, so what is
    trained appears in its list at once.
    """

    root: Path
    confined: bool = False
    ckpt_dirs: tuple[Path, ...] = ()
    ui_dirs: tuple[Path, ...] = ()

    @property
    def programs(self) -> tuple[OtherProgram, ...]:
        """Other programs: those of the flags, then those that somebody named on the page, which lend their models and
        take copies of embeddings.
        """
        named = (folder for folder in kept_folders(self.programs_file) if folder not in self.ui_dirs)
        return programs_in((*self.ui_dirs, *named))

    @property
    def programs_file(self) -> Path:
        """The folders of other programs that were named on the page."""
        return self.root / "models" / "other_programs.json"

    @property
    def embeddings(self) -> Path:
        """Where embeddings are saved and found: where the first program of the flags looks for them."""
        programs = programs_in(self.ui_dirs)
        return programs[0].embeddings[0] if programs else self.root / "embeddings"

    @property
    def templates(self) -> Path:
        """The user's own prompt templates."""
        return self.root / "templates"

    @property
    def datasets(self) -> Path:
        """Where the page suggests to put preprocessed pictures."""
        return self.root / "datasets"

    @property
    def checkpoints(self) -> Path:
        """The workspace's own folder of checkpoints, where downloads go."""
        return self.root / "models" / "Stable-diffusion"

    @property
    def checkpoint_folders(self) -> tuple[Path, ...]:
        """Where checkpoints are looked for, in this order."""
        lent = (folder for program in self.programs for folder in program.checkpoints)
        return tuple(dict.fromkeys((self.checkpoints, *self.ckpt_dirs, *lent)))

    @property
    def vae_folders(self) -> tuple[Path, ...]:
        """Where separate VAEs are looked for, in this order."""
        lent = (folder for program in self.programs for folder in program.vaes)
        return tuple(dict.fromkeys((self.root / "models" / "VAE", *lent)))

    @property
    def template_folders(self) -> tuple[Path, ...]:
        """The first that has a name wins; new ones are written into the first."""
        lent = (folder for program in self.programs for folder in program.templates)
        return (self.templates, *lent, SHIPPED_TEMPLATES)

    @property
    def hashes_file(self) -> Path:
        """Cache of the checkpoints' hashes."""
        return self.root / "models" / "hashes.json"

    @property
    def latent_cache(self) -> Path:
        """Encoded pictures of earlier trainings; may be deleted at any time."""
        return self.root / ".cache" / "latents"

    # ---- to another process and back

    def to_dict(self) -> dict[str, Any]:
        """The values as JSON, for another process."""
        return {
            "root": str(self.root),
            "confined": self.confined,
            "ckpt_dirs": [str(folder) for folder in self.ckpt_dirs],
            "ui_dirs": [str(folder) for folder in self.ui_dirs],
        }

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Workspace:
        """The workspace of what `to_dict` gave."""
        folders = (tuple(Path(folder) for folder in kept[name]) for name in ("ckpt_dirs", "ui_dirs"))
        return cls(Path(kept["root"]), kept["confined"], *folders)

    # ---- typed paths

    def path(self, text: str, what: str) -> Path:
        """The absolute path of a typed one, which may be relative to the root. `what` names the field in the error.

        Raises UserError for an empty or forbidden path. In a confined workspace what is no plain relative path is
        refused before it is resolved, because on Windows resolving a network path already contacts that computer.
        """
        typed = plain_path(text)
        if not typed or "\0" in typed:
            raise UserError(f"{what} is empty.", "Type the path of a folder.")
        if self.confined and (not _is_plainly_relative(typed) or _names_a_hidden_part(typed)):
            raise UserError(
                f"{what} '{typed}' is outside the workspace.",
                "Use a folder inside the workspace, such as datasets/anna.",
            )
        if "\\" in typed and not os.path.lexists(self.root / typed):
            typed = without_backslashes(typed)
        path = Path(os.path.expanduser(typed))
        in_samples = path.as_posix().startswith(SHOWN_SAMPLE_PHOTOS) and not (self.root / path).exists()
        try:
            path = (path if path.is_absolute() else (SHIPPED if in_samples else self.root) / path).resolve()
            path.exists()
        except (OSError, RuntimeError, ValueError) as error:  # circular links, too long a name, a lone surrogate
            raise UserError(f"{what} is no path that can be used.", "Check the spelling.") from error
        if self.confined and not any(path.is_relative_to(place) for place in (self.root.resolve(), SAMPLE_PHOTOS)):
            raise UserError(
                f"{what} '{typed}' is outside the workspace.",
                "Use a folder inside the workspace, such as datasets/anna.",
            )
        return path

    def writable(self, text: str, what: str) -> Path:
        """Like `path`, for something that will be written. Raises UserError for one among the program's own files
        too.
        """
        path = self.path(text, what)
        if any(path.is_relative_to(place) for place in READ_ONLY):
            raise UserError(
                f"{what} '{text.strip()}' comes with this program and is for reading only.",
                "Use a folder of your own, such as datasets/anna.",
            )
        return path

    def writable_folder(self, text: str, what: str) -> Path:
        """Like `writable`, for an existing folder."""
        self.writable(text, what)
        return self.folder(text, what)

    def folder(self, text: str, what: str) -> Path:
        """Like `path`, for an existing folder."""
        path = self.path(text, what)
        if path.is_file():
            raise UserError(f"{what} '{plain_path(text)}' is a file.", "Type the folder that it lies in.")
        if not path.is_dir():
            raise UserError(f"{what} '{plain_path(text)}' does not exist.", self._near(path, plain_path(text)))
        return path

    def _near(self, path: Path, typed: str) -> str:
        """What to do about a folder that is not there: what was looked for, and what there is instead. A confined
        workspace tells nothing of what lies outside.
        """
        root = self.root.resolve()
        whole = self.shown(path) if self.confined else str(path)
        looked_for = f"Looked for {whole}. " if whole != typed else ""
        if not self.confined and not Path(typed).is_absolute() and os.path.isdir(f"/{typed}"):
            return f"{looked_for}Did you mean '/{typed}', with a / at its beginning?"
        if self.confined and not path.is_relative_to(root):
            return "Check the spelling."
        found = similar_folder(path)
        if found and not (self.confined and not found.is_relative_to(root)):
            return f"{looked_for}Did you mean '{self.shown(found)}'?"
        near = nearest_folder(path)
        exists = "" if near in (path.parent, root) else f"Of it only {self.shown(near)} exists. "
        return f"{looked_for}{exists}Check the spelling, or make the folder and put your pictures into it."

    # ---- paths for users

    def shown(self, path: Path) -> str:
        """The path as users should see it: relative to the root if it lies inside; else whole, or in a confined
        workspace its name only.
        """
        path = path.resolve()
        if path.is_relative_to(self.root.resolve()):
            return path.relative_to(self.root.resolve()).as_posix()
        return path.name if self.confined else str(path)

    def without_paths(self, text: str) -> str:
        """The text without folders of this computer, which a confined page must not reveal."""
        for place in _places(self.root) if self.confined and text else ():
            text = text.replace(f"{place}{os.sep}", "").replace(place, "the workspace")
        return text


@functools.cache
def _places(root: Path) -> list[str]:
    return [str(place) for place in (root.resolve(), REPOSITORY, Path.home()) if len(place.parts) > 1]


def _is_plainly_relative(typed: str) -> bool:
    """Whether the path has no root, drive, NTFS stream, network share or home in it, and no `..`, on any system."""
    pieces = re.split(r"[\\/]", typed)
    return not (
        typed.startswith(("~", "/", "\\"))
        or ":" in typed
        or ".." in (piece.strip() for piece in pieces)
        or any(ord(c) < 32 for c in typed)
    )


def _names_a_hidden_part(typed: str) -> bool:
    """Whether a part of the path begins with a dot, such as .git or .cache: programs keep these for themselves."""
    return any(piece.strip().startswith(".") and piece.strip() != "." for piece in re.split(r"[\\/]", typed))


# ---- flags


def add_place_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the workspace's folders, which `open_workspace` reads; page and command line share them."""
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        default=".",
        help="folder that holds embeddings, datasets and runs (default: the current one)",
    )
    parser.add_argument(
        "--ckpt-dir",
        metavar="DIR",
        action="append",
        default=[],
        help="one more folder with checkpoints, beside models/Stable-diffusion; may be given several times",
    )
    parser.add_argument(
        "--ui-dir",
        "--a1111-dir",
        dest="ui_dir",
        metavar="DIR",
        action="append",
        default=[],
        help=(
            f"folder of another program ({', '.join(PROGRAMS)}): its checkpoints, VAEs and templates are listed, and"
            " embeddings are kept where it looks for them; may be given several times, the first keeps the embeddings"
        ),
    )


def open_workspace(options: argparse.Namespace, confined: bool = False) -> Workspace:
    """The workspace by the flags of `add_place_flags`. Raises UserError for a folder that does not exist."""
    ckpt_dirs = tuple(_given_folder("--ckpt-dir", typed) for typed in options.ckpt_dir)
    ui_dirs = tuple(program_in(Path(typed).expanduser().resolve(), typed, "--ui-dir").root for typed in options.ui_dir)
    return Workspace(Path(options.workspace).expanduser().resolve(), confined, ckpt_dirs, ui_dirs)


def _given_folder(flag: str, typed: str) -> Path:
    folder = Path(typed).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(
            f"{flag} '{typed}' is not a folder.",
            "Check the spelling; write the whole path, in quotes if it has spaces.",
        )
    return folder


# ---- names


_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{i}" for port in ("com", "lpt") for i in "123456789\u00b9\u00b2\u00b3"),
}
MOST_NAME_BYTES = 200
"""File systems end a name at 255 bytes; the rest is for a step's number, a suffix and the mark of a temporary file."""


MOST_TYPED_LETTERS, MOST_TYPED_BYTES = 100, 180
"""Of a name that is typed, in letters and in UTF-8: a run adds more to it than other files' names get."""


def may_stand_in_names(sign: str) -> bool:
    """Whether this one sign may stand in the name of a file, as in A1111 1.10.1 (textual_inversion.py:
    create_embedding): letters and digits of any script, dot, underscore, dash and space.
    """
    return re.fullmatch(r"[\w.\- ]", sign) is not None


def clean_name(text: str, what: str = "Name") -> str:
    """A foreign name made safe as a file name on every system: what may not stand in names is left out, and dots and
    spaces at its ends, and what is longer than 100 letters or 180 bytes, are cut off. For what people type there is
    `typed_name`, which changes nothing in silence.

    Raises UserError if nothing is left, and for a name that Windows reserves. `what` is the field's label.
    """
    composed = unicodedata.normalize("NFC", text)
    # A letter that is cut in half is left out.
    name = (
        "".join(sign for sign in composed if may_stand_in_names(sign))
        .strip(" .")[:MOST_TYPED_LETTERS]
        .encode(errors="ignore")[:MOST_TYPED_BYTES]
        .decode(errors="ignore")
        .strip(" .")
    )
    if not name:
        raise UserError(
            f"{what} is empty."
            if not text.strip()
            else f"{what} '{text[:MOST_TYPED_LETTERS]}' has no letter or digit.",
            "Type a new word for the person, such as anna-01.",
        )
    if name.split(".")[0].lower() in _RESERVED:
        raise UserError(f"{what} '{name}' is reserved by Windows.", "Choose another one, such as anna-01.")
    return name


def is_file_name(name: str) -> bool:
    """Whether a name out of a file can be a file name on every system, and is no path.

    It is weaker than `clean_name`, whose result may differ from the names that other programs give to embeddings.
    """
    is_short = len(name.encode(errors="replace")) <= MOST_NAME_BYTES
    return (
        name not in ("", ".", "..") and is_short and not any(c in "/\\:" or ord(c) < 32 or ord(c) == 127 for c in name)
    )
