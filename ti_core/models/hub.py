"""Fetches models from the Hugging Face hub, checkpoints into models/Stable-diffusion: only the files that are
needed, and going on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ti_core.checkpoints.facts import facts_of
from ti_core.checkpoints.library import CHECKPOINT_SUFFIXES
from ti_core.errors import Interrupted, UserError
from ti_core.events import Emit, Finished, Notice, Progress
from ti_core.files import reason, save_text
from ti_core.program.child import shown_command
from ti_core.workspace import Workspace

TIMEOUT_S = 20.0
TRIES = 5
"""Each continues the file where the connection broke."""
MB = 10**6
COMMIT = ".commit"
"""In a folder that waits: the state of the repository that its files are of."""
_NAME = re.compile(
    r"(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/)?(?P<repository>\w[\w.-]*/\w[\w.-]*)"
    r"(?:/(?:(?:blob|resolve|tree)/(?P<revision>[^/]+)(?:/|$))?(?P<file>.+)?)?"
)
_SMALL = re.compile(
    r"model_index\.json|(unet|vae|text_encoder|text_encoder_2)/config\.json|scheduler/scheduler_config\.json"
    r"|tokenizer(_2)?/[\w.-]+\.(json|txt)"
)
_WEIGHTS = re.compile(
    r"(unet|vae|text_encoder|text_encoder_2)/(diffusion_pytorch_model|model|pytorch_model)"
    r"((?:\.fp16)?)\.(safetensors|bin)"
)


@dataclass(frozen=True)
class HubFile:
    """`saved_as` is its path in our folder, `sha256` empty for small files."""

    name: str
    saved_as: str
    bytes: int
    sha256: str


def download_checkpoint(
    name: str,
    workspace: Workspace,
    emit: Emit,
    stop: threading.Event,
    revision: str = "main",
    endpoint: str | None = None,
) -> Path:
    """Fetch OWNER/NAME (a diffusers folder) or OWNER/NAME/file.safetensors, and give its place; the address of the
    page does as well.

    A folder is called OWNER/NAME afterwards, so the hub's name is its title. It appears in the list when it is
    complete. Raises Interrupted between two pieces of a file, and UserError; what has arrived is kept in a hidden
    folder, and the next try goes on from there.
    """
    repository, in_address, wanted = check_download(name, workspace)
    hub = _Hub(repository, in_address or revision, endpoint)
    files = _chosen_file(hub, wanted) if wanted else _folder_files(hub)
    target = workspace.checkpoints / (files[0].saved_as if wanted else repository)
    if target.exists():
        raise UserError(
            f"'{target.relative_to(workspace.checkpoints)}' is in {workspace.shown(workspace.checkpoints)} already.",
            "Delete it first to fetch it again.",
        )
    waiting = (
        workspace.checkpoints
        / ".download"
        / "-".join([repository.replace("/", "--"), *([files[0].saved_as] if wanted else [])])
    )
    try:
        _reopen(waiting, files, hub.commit)
        _fetch_all(hub, files, waiting, emit, stop)
        (waiting / COMMIT).unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(waiting / files[0].saved_as if wanted else waiting, target)
        shutil.rmtree(waiting, ignore_errors=True)
        with contextlib.suppress(OSError):  # other downloads may wait there
            waiting.parent.rmdir()
    except OSError as error:
        raise UserError(
            f"'{name}' could not be saved in {workspace.checkpoints}: {reason(error)}.",
            "Make room, then try again; what has arrived is kept.",
        ) from error
    if problem := facts_of(target).problem:
        emit(Notice(problem))
    emit(Finished(f"Downloaded: {workspace.shown(target)}", files=(str(target),)))
    return target


def check_download(name: str, workspace: Workspace) -> tuple[str, str, str]:
    """OWNER/NAME, the revision in an address and the file, both perhaps empty. Raises UserError on a shared page
    and for what is no name.
    """
    if workspace.confined:
        raise UserError(
            "A shared page downloads no checkpoints.",
            f"On the computer that it runs on: {shown_command('python -m ti_core download')} OWNER/NAME, then open the"
            " list again.",
        )
    match = _NAME.fullmatch(re.split(r"[?#]", name.strip())[0].removesuffix("/"))
    if match is None:
        raise UserError(
            f"'{name}' is no name of a model on the hub.",
            "Write OWNER/NAME, or OWNER/NAME/file.safetensors for a single file.",
        )
    return match["repository"], match["revision"] or "", match["file"] or ""


def fetch_files(
    repository: str,
    wanted: Sequence[str],
    more: Sequence[str],
    folder: Path,
    emit: Emit,
    stop: threading.Event,
    endpoint: str | None,
) -> None:
    """Fetch these files of a model into `folder`; those of `more` only if it has them. Raises UserError and
    Interrupted, and goes on next time.
    """
    hub = _Hub(repository, "main", endpoint)
    if lost := [name for name in wanted if name not in hub.files]:
        raise UserError(f"'{repository}' has no {', '.join(lost)}.")
    try:
        _fetch_all(hub, [hub.files[name] for name in (*wanted, *more) if name in hub.files], folder, emit, stop)
    except OSError as error:
        raise UserError(f"{folder.name} could not be saved: {reason(error)}.") from error


class _Hub:
    """One repository at one state (`commit`); turns the hub's and the network's errors into sentences."""

    def __init__(self, repository: str, revision: str, endpoint: str | None) -> None:
        from huggingface_hub import HfApi

        self.repository, self.revision, self.endpoint = repository, revision, endpoint
        info = self.ask(
            lambda: HfApi(endpoint=endpoint).model_info(
                repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S
            )
        )
        self.commit: str = info.sha or revision
        self.files = {
            file.rfilename: HubFile(file.rfilename, file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else "")
            for file in info.siblings or []
        }

    def ask(self, question: Any) -> Any:
        """The answer to `question()`. Raises UserError for what the hub refuses, and for no answer."""
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            HTTPError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        where, by_hand = (
            f"huggingface.co/{self.repository}",
            "Or fetch the files elsewhere and put them into models/Stable-diffusion.",
        )
        try:
            return question()
        except HFValidationError as error:
            raise UserError(
                f"'{self.repository}' is no name of a model on the hub.", "Write OWNER/NAME, as its page shows it."
            ) from error
        except GatedRepoError as error:
            raise UserError(
                f"'{self.repository}' may be downloaded only by those who accepted its licence.",
                f"Accept it on {where}, run '{shown_command('hf auth login')}', then try again.",
            ) from error
        except RepositoryNotFoundError as error:
            raise UserError(
                f"The hub has no model '{self.repository}', or it is private.",
                f"Check the spelling; for a private one run '{shown_command('hf auth login')}' first.",
            ) from error
        except RevisionNotFoundError as error:
            raise UserError(
                f"'{self.repository}' has no revision '{self.revision}'.",
                "Leave the revision out for the newest state.",
            ) from error
        except OfflineModeIsEnabled as error:
            raise UserError(
                "HF_HUB_OFFLINE is set, so nothing is downloaded.", f"Unset it to download. {by_hand}"
            ) from error
        except HfHubHTTPError as error:
            raise UserError(
                f"The hub answered '{self.repository}' with error {error.response.status_code}.",
                f"Try again later. {by_hand}",
            ) from error
        except HTTPError as error:
            raise UserError(
                f"The hub could not be reached, so '{self.repository}' was not downloaded.",
                f"Check the network, then try again. {by_hand}",
            ) from error


def _chosen_file(hub: _Hub, wanted: str) -> list[HubFile]:
    file = hub.files.get(wanted)
    if file is None or not wanted.lower().endswith(CHECKPOINT_SUFFIXES):
        problem = "is neither a .safetensors nor a .ckpt file" if file else "is not there"
        raise UserError(
            f"'{wanted}' {problem} in '{hub.repository}'.",
            f"There are: {', '.join(_single_files(hub)) or 'no single files'}.",
        )
    return [HubFile(file.name, Path(file.name).name, file.bytes, file.sha256)]


def _single_files(hub: _Hub) -> list[str]:
    return [name for name in hub.files if "/" not in name and name.lower().endswith(CHECKPOINT_SUFFIXES)]


def _folder_files(hub: _Hub) -> list[HubFile]:
    """Configs, tokenizers, and one file of weights for each part: fp16 before the full one (half the size),
    safetensors before .bin.

    fp16 files lose the mark in their name, so that the folder is complete for every program.
    """
    if "model_index.json" not in hub.files:
        files = [f"{hub.repository}/{name}" for name in _single_files(hub)]
        hint = (
            f"Fetch a single file of it: {', '.join(files)}."
            if files
            else "Choose a model of Stable Diffusion 1, 2 or XL in diffusers' format."
        )
        raise UserError(f"'{hub.repository}' is no diffusers folder: it has no model_index.json.", hint)
    best: dict[str, tuple[tuple[bool, bool], HubFile]] = {}
    for name, file in hub.files.items():
        if match := _WEIGHTS.fullmatch(name):
            rank = (match[4] == "safetensors", bool(match[3]))
            saved = HubFile(name, name.replace(".fp16", ""), file.bytes, file.sha256)
            best[match[1]] = max(best.get(match[1], (rank, saved)), (rank, saved), key=lambda one: one[0])
    if lost := next(
        (
            part
            for part in ("unet", "vae", "text_encoder")
            if part not in best and (part != "text_encoder" or "text_encoder_2" not in best)
        ),
        "",
    ):
        raise UserError(
            f"'{hub.repository}' has no file of weights in {lost}/.",
            "Choose a model of Stable Diffusion 1, 2 or XL in diffusers' format.",
        )
    return [file for name, file in hub.files.items() if _SMALL.fullmatch(name)] + [file for _, file in best.values()]


def _reopen(folder: Path, files: list[HubFile], commit: str) -> None:
    """Make a folder that was begun at another state of the repository fit for this one: what has a hash is kept, to
    be checked by it.
    """
    marker = folder / COMMIT
    if marker.is_file() and marker.read_text(encoding="utf-8") == commit:
        return
    checked = {folder / file.saved_as for file in files if file.sha256}
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path in checked:
            os.replace(path, _part(path))
        elif path not in map(_part, checked):
            path.unlink()
    save_text(marker, commit)


def _fetch_all(hub: _Hub, files: list[HubFile], folder: Path, emit: Emit, stop: threading.Event) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    left = [file for file in files if not (folder / file.saved_as).is_file()]
    bytes = sum(file.bytes - _arrived(folder / file.saved_as) for file in left)
    free = shutil.disk_usage(folder).free
    if bytes > free:
        raise UserError(
            f"'{hub.repository}' needs {bytes / 1e9:.1f} GB more, but {free / 1e9:.1f} GB are free.",
            f"Make room on the disk of {folder.parent}.",
        )
    meter = _Meter(emit, bytes)
    for file in left:
        (folder / file.saved_as).parent.mkdir(parents=True, exist_ok=True)
        _fetch(hub, file, folder / file.saved_as, meter, stop)


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _arrived(target: Path) -> int:
    return _part(target).stat().st_size if _part(target).is_file() else 0


def _fetch(hub: _Hub, file: HubFile, target: Path, meter: _Meter, stop: threading.Event) -> None:
    """One file, checked by its size and its SHA-256 where the hub tells it. Raises Interrupted, UserError and
    OSError.
    """
    part = _part(target)
    goes_on = _arrived(target) > 0
    for tried in range(1, TRIES + 1):
        before = _arrived(target)
        try:
            hub.ask(lambda: _stream(hub, file, part, meter, stop))
        except UserError:
            if tried == TRIES or _arrived(target) == before:  # nothing came: there is no connection to wait for
                raise
            continue
        break
    if part.stat().st_size != file.bytes or (file.sha256 and _sha256(part, meter, stop) != file.sha256):
        meter.done -= _arrived(target)
        part.unlink()
        if goes_on:  # what was there before may have been of another file
            return _fetch(hub, file, target, meter, stop)
        raise UserError(f"'{file.name}' arrived damaged, so it was deleted.", "Try again.")
    os.replace(part, target)


def _stream(hub: _Hub, file: HubFile, part: Path, meter: _Meter, stop: threading.Event) -> None:
    """Add to `part` what is missing. huggingface_hub 2 begins a broken file anew, so its client is used, but not
    its downloader.
    """
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    there = part.stat().st_size if part.is_file() else 0
    if there > file.bytes:  # of another file
        meter.done -= there
        part.unlink()
        there = 0
    if there == file.bytes and part.is_file():
        return
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", **({"Range": f"bytes={there}-"} if there else {})}
    url = hf_hub_url(hub.repository, file.name, revision=hub.commit, endpoint=hub.endpoint)
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True) as answer:
        hf_raise_for_status(answer)
        goes_on = answer.status_code == 206
        meter.done -= 0 if goes_on else there
        with part.open("ab" if goes_on else "wb") as stream:
            for block in answer.iter_bytes(2**20):
                stream.write(block)
                meter.add(len(block), f"Downloading {file.saved_as}")
                if stop.is_set():
                    raise Interrupted


def _sha256(path: Path, meter: _Meter, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(4 * 2**20):
            digest.update(block)
            meter.add(0, f"Checking {path.name.removesuffix('.part')}")
            if stop.is_set():
                raise Interrupted
    return digest.hexdigest()


class _Meter:
    """Counts the bytes that arrive and emits a Progress at most five times a second, in MB, with the seconds left."""

    def __init__(self, emit: Emit, total: int) -> None:
        self.emit, self.total, self.done = emit, total, 0
        self.began, self.emitted_at = time.monotonic(), 0.0

    def add(self, bytes: int, text: str) -> None:
        """Count `bytes` more; `text` says what is being done."""
        self.done += bytes
        now = time.monotonic()
        if now - self.emitted_at < 0.2 and (self.done < self.total or not bytes):
            return
        self.emitted_at = now
        pace = self.done / max(now - self.began, 0.001)
        left_s = (self.total - self.done) / pace if pace > 0 else 0
        self.emit(
            Progress(
                f"{text}, {pace / MB:.0f} MB/s, {left_s:.0f} s left, MB",
                max(self.done, 0) // MB,
                max(self.total // MB, 1),
            )
        )
