"""The folders of other programs: which one it is, by what lies in it, and where it keeps its models."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ti_core.errors import UserError
from ti_core.files import save_text

PROGRAMS = ("AUTOMATIC1111", "Forge", "Forge Neo", "SD.Next", "ComfyUI", "InvokeAI", "Stability Matrix")


@dataclass(frozen=True)
class OtherProgram:
    """A program in the folder `root`. It looks for embeddings in each of `embeddings`; new ones go into the first,
    which need not exist yet.
    """

    name: str
    root: Path
    checkpoints: tuple[Path, ...]
    embeddings: tuple[Path, ...]
    vaes: tuple[Path, ...] = ()
    templates: tuple[Path, ...] = ()

    @property
    def sentence(self) -> str:
        """For the start: what is used of it."""
        return (
            f"{self.name} in {self.root}: its checkpoints are listed, and it looks for embeddings in"
            f" {self.embeddings[0]}"
        )


def recognise(folder: Path) -> OtherProgram | None:
    """The program in `folder`, or in the folder inside of it that its download has; None for none that is known."""
    places = [folder, *(folder / inside for inside in ("ComfyUI", "webui", "Data", "invokeai"))]
    if folder.name.lower() == "models":
        places.append(folder.parent)
    return next((found for place in places for look in _LOOKS if (found := look(place))), None)


_RECOGNISED: dict[Path, OtherProgram] = {}


def programs_in(folders: Sequence[Path]) -> tuple[OtherProgram, ...]:
    """The programs in those of the folders that have one, each looked for until it is found, then known."""
    for folder in folders:
        if folder not in _RECOGNISED and (found := recognise(folder)):
            _RECOGNISED[folder] = found
    return tuple(_RECOGNISED[folder] for folder in folders if folder in _RECOGNISED)


@functools.lru_cache(maxsize=8)
def _kept(file: Path, changed_ns: int) -> tuple[Path, ...]:
    folders = _json(file).get("folders")
    return tuple(Path(text) for text in folders if isinstance(text, str)) if isinstance(folders, list) else ()


def kept_folders(file: Path) -> tuple[Path, ...]:
    """The folders that a workspace's file lists; none if there is no such file."""
    try:
        return _kept(file, file.stat().st_mtime_ns)
    except OSError:
        return ()


def keep_folders(file: Path, folders: Sequence[Path]) -> None:
    """Write that file. Raises UserError if the disk is full."""
    save_text(file, json.dumps({"folders": [str(folder) for folder in folders]}, indent=1))


def program_in(folder: Path, typed: str, what: str) -> OtherProgram:
    """`recognise`, for what somebody typed into `what`. Raises UserError."""
    if found := recognise(folder):
        return found
    if not folder.is_dir():
        problem = f"{what} '{typed}' is not a folder."
        raise UserError(problem, "Check the spelling; write the whole path, in quotes if it has spaces.")
    listed = f"{', '.join(PROGRAMS[:-1])} or {PROGRAMS[-1]}"
    raise UserError(
        f"{what} '{typed}' is no folder of {listed}.",
        "Give the folder that its start script and its models folder lie in; for single files use --ckpt-dir.",
    )


# ---- one look for each kind of layout


def _webui(root: Path) -> OtherProgram | None:
    """A1111, and what was made of it."""
    models = root / "models"
    if not (models / "Stable-diffusion").is_dir():
        return None
    said, name, embeddings = {}, "AUTOMATIC1111", root / "embeddings"
    if (root / "installer.py").is_file() or (models / "Diffusers").is_dir():
        said, name, embeddings = _json(root / "config.json"), "SD.Next", models / "embeddings"
    elif _keeps_embeddings_in_models(root):
        name, embeddings = "Forge Neo", models / "embeddings"
    elif (root / "modules_forge").is_dir():
        name = "Forge"

    def place(key: str, usual: Path) -> Path:
        """Where SD.Next's settings say that it is."""
        typed = said.get(key)
        return (root / typed) if isinstance(typed, str) and typed.strip() else usual

    checkpoints = [place("ckpt_dir", models / "Stable-diffusion")]
    if name == "SD.Next":
        checkpoints.append(place("diffusers_dir", models / "Diffusers"))
    return OtherProgram(
        name,
        root,
        tuple(checkpoints),
        (place("embeddings_dir", embeddings),),
        (place("vae_dir", models / "VAE"),),
        (root / "textual_inversion_templates",),
    )


def _keeps_embeddings_in_models(root: Path) -> bool:
    """Whether it is Forge Neo, which may lie over an older Forge: by its own default, else by which folder there is."""
    try:
        flags = (root / "modules" / "cmd_args.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        flags = ""
    if said := re.search(r"""["']--embeddings-dir["'][^\n]*""", flags):
        return "models" in said[0].lower()
    return (root / "models" / "embeddings").is_dir() and not (root / "embeddings").is_dir()


def _comfyui(root: Path) -> OtherProgram | None:
    models, extra = root / "models", ExtraPaths(root / "extra_model_paths.yaml")
    if not (models / "checkpoints").is_dir():
        return None
    return OtherProgram(
        "ComfyUI",
        root,
        (models / "checkpoints", *extra.places("checkpoints")),
        (models / "embeddings", *extra.places("embeddings")),
        (models / "vae", *extra.places("vae")),
    )


def _invokeai(root: Path) -> OtherProgram | None:
    """Its own models lie in folders by base and kind; what is to be imported, in autoimport/."""
    if not any((root / mark).exists() for mark in ("invokeai.yaml", "databases/invokeai.db", "autoimport")):
        return None
    own = [path for path in sorted((root / "models").glob("*/main")) if path.is_dir()]
    return OtherProgram("InvokeAI", root, (*own, root / "autoimport" / "main"), (root / "autoimport" / "embedding",))


def _stability_matrix(root: Path) -> OtherProgram | None:
    """The folder that it shares among its programs."""
    for models in (root / "Models", root):
        if (models / "StableDiffusion").is_dir():
            older = models / "TextualInversion"
            embeddings = older if older.is_dir() and not (models / "Embeddings").is_dir() else models / "Embeddings"
            return OtherProgram(
                "Stability Matrix", root, (models / "StableDiffusion",), (embeddings,), (models / "VAE",)
            )
    return None


_LOOKS: tuple[Callable[[Path], OtherProgram | None], ...] = (_webui, _comfyui, _invokeai, _stability_matrix)


def _json(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class ExtraPaths:
    """ComfyUI's extra_model_paths.yaml: sections with a `base_path`, and folders below it by kind, one or several.

    A few lines of YAML that this file has, read without a library; what is not understood is left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self.sections: list[dict[str, list[str]]] = []
        self._read(text.splitlines())

    def _read(self, lines: list[str]) -> None:
        key, indent = "", 0
        for raw in lines:
            line = re.sub(r"(^|\s)#.*", "", raw).rstrip()
            if not line.strip():
                continue
            here = len(line) - len(line.lstrip())
            name, colon, value = line.strip().partition(":")
            if here == 0:
                self.sections.append({})
                key = ""
            elif key and here > indent:
                self.sections[-1].setdefault(key, []).append(_plain(line.strip().removeprefix("- ")))
            elif colon and self.sections:
                key, indent = name.strip(), here
                if _plain(value) not in ("", "|", ">"):
                    self.sections[-1].setdefault(key, []).append(_plain(value))

    def places(self, kind: str) -> Iterator[Path]:
        """The folders of a kind, such as checkpoints, that there are."""
        for section in self.sections:
            base = self.path.parent / Path(*section.get("base_path", [""])[:1]).expanduser()
            for folder in section.get(kind, []):
                if (base / folder).is_dir():
                    yield base / folder


def _plain(value: str) -> str:
    return value.strip().strip("\"'")
