"""What the run panel asks for about one step of a run: its files, its vectors as .safetensors, its name in a prompt,
and a training photo to compare it with.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ti_core.data.dataset_parts import parts_of
from ti_core.embeddings.folder import find_embeddings
from ti_core.embeddings.formats import load_embedding, save_embedding
from ti_core.errors import UserError
from ti_core.files import save_atomically, sendable
from ti_core.jobs.job import Job
from ti_core.runs.folder import embedding_name, saved_settings
from ti_core.runs.history import all_saved_steps, files_of_one_step
from ti_core.runs.in_use import step_in_use
from ti_core.settings import TrainSettings
from ti_core.settings.prompts import split_at_names
from ti_core.ui.app_context import AppContext
from ti_core.ui.small_pictures import small_webp

STEP, SAFETENSORS, PHOTO = "/live/step", "/live/step.safetensors", "/live/photo"
PHOTO_PX = 512


def chosen_step_routes(context: AppContext) -> list[Route]:
    """`live/step?job=...&step=...` and so on; AccessMiddleware has asked for the login before."""

    # None is async: they read the disk.
    def files(request: Request) -> Response:
        return json_answer(step_answer(context, request.query_params))

    def safetensors(request: Request) -> Response:
        try:
            name, data = step_as_safetensors(context, request.query_params)
        except UserError as error:
            return PlainTextResponse(context.workspace.without_paths(str(error)), 404)
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(sendable(name))}"}
        return Response(data, media_type="application/octet-stream", headers=headers)

    def photo(request: Request) -> Response:
        try:
            return picture_answer(training_photo(context, context.job(request.query_params.get("job", ""))))
        except UserError as error:
            return PlainTextResponse(context.workspace.without_paths(str(error)), 404)

    return [
        Route(STEP, files, methods=["GET"]),
        Route(SAFETENSORS, safetensors, methods=["GET"]),
        Route(PHOTO, photo, methods=["GET"]),
    ]


def json_answer(content: Any) -> Response:
    """JSON that no browser keeps, in ASCII: the name of a file may be no UTF-8."""
    return Response(json.dumps(content), media_type="application/json", headers={"Cache-Control": "no-store"})


def picture_answer(path: Path, size_px: int = PHOTO_PX) -> Response:
    """A small copy of the picture. Raises UserError if it cannot be read."""
    return Response(small_webp(path, size_px), media_type="image/webp", headers={"Cache-Control": "max-age=3600"})


# ---- the files of a step


def run_of(context: AppContext, job_id: str) -> Path | None:
    """The folder of a job's run, or of an opened one. The id comes from outside, so it may be anything."""
    job = context.job(job_id)
    return context.workspace.root / job.run_folder if job and job.run_folder else None


def step_answer(context: AppContext, asked: Mapping[str, str]) -> dict[str, Any]:
    """The step's files as [kind, name, address], kinds copy, card, picture and safetensors; where there is no copy,
    `nearest` is the closest step that has one, 0 if none has.
    """
    job_id, step, run = asked.get("job", ""), _whole(asked.get("step", "")), run_of(context, asked.get("job", ""))
    if run is None:
        return {"step": step, "files": [], "nearest": 0}
    found = files_of_one_step(run, step)
    files = [[kind, path.name, context.url(str(path), job_id)] for kind, path in found.items()]
    copy = found.get("copy")
    if copy and copy.suffix != ".safetensors":
        address = f"{SAFETENSORS[1:]}?job={quote(job_id)}&step={step}"
        files.append(["safetensors", f"{copy.stem}.safetensors", address])
    nearest = step if copy else min(all_saved_steps(run), key=lambda saved: abs(saved - step), default=0)
    return {"step": step, "files": files, "nearest": nearest}


def step_as_safetensors(context: AppContext, asked: Mapping[str, str]) -> tuple[str, bytes]:
    """The file's name and bytes, converted now; nothing is left on disk. Raises UserError if there is no such copy."""
    run, step = run_of(context, asked.get("job", "")), _whole(asked.get("step", ""))
    copy = files_of_one_step(run, step).get("copy") if run else None
    if copy is None:
        raise UserError(f"There is no copy of step {step}.", "Reload the page, and choose another step.")
    with tempfile.TemporaryDirectory() as folder:
        made = save_embedding(Path(folder) / f"{copy.stem}.safetensors", load_embedding(copy))
        return made.name, made.read_bytes()


def _whole(typed: str) -> int:
    return int(typed) if typed.isdecimal() and len(typed) < 16 else 0


# ---- trying a step


def named_step(context: AppContext, run: Path, step: int) -> str:
    """The word that means this step in a prompt: the embedding's name if the step is in use, else the copy's name,
    such as anna-120; the copy is then put into embeddings/ beside the others. Raises UserError.
    """
    copies = all_saved_steps(run)
    if step not in copies:
        raise UserError(f"There is no copy of step {step}.", "Choose a step that has one.")
    copy = copies[step]
    if step_in_use(run, context.workspace) == step:
        return embedding_name(copy)
    target = context.workspace.embeddings / copy.name
    if not target.exists():
        save_atomically(target, lambda part: shutil.copyfile(copy, part))
    elif target.read_bytes() != copy.read_bytes():
        raise UserError(
            f"embeddings/{copy.name} is another embedding.", "Rename or delete it in the Embeddings tab first."
        )
    return copy.stem


def prompt_of_step(prompt: str, name: str, word: str, others: Iterable[str] = ()) -> str:
    """The prompt of a preview with the embedding's name changed to `word`; the word is added where the name is not
    there. The names of `others` stay: in "anna-02" the word is not "anna".
    """
    pieces = split_at_names(prompt, [name, *others])
    changed = "".join(word if named == name else piece for named, piece in pieces)
    return changed if any(named == name for named, _ in pieces) else f"{changed}, {word}".lstrip(", ")


def prompt_to_try(context: AppContext, asked: Any) -> str:
    """A prompt for txt2img that paints what a preview shows, with the vectors of its step. What is asked comes from
    outside, so it may be anything. Raises UserError.
    """
    wish = asked if isinstance(asked, dict) else {}
    run, step, prompt = run_of(context, str(wish.get("job"))), wish.get("step"), wish.get("prompt")
    if run is None or type(step) is not int or not isinstance(prompt, str):
        raise UserError("This run is not known any more.", "Reload the page.")
    others = find_embeddings(context.workspace)
    word = named_step(context, run, step)
    return prompt_of_step(prompt, embedding_name(all_saved_steps(run)[step]), word, others)


# ---- a training photo


def training_photo(context: AppContext, job: Job | None) -> Path:
    """The first picture that the job's run is trained on. Raises UserError if there is none, or if it lies where this
    page may not look.
    """
    settings = job.settings if job else None
    trained = settings if isinstance(settings, TrainSettings) else TrainSettings()
    if job and not trained.dataset_directory and job.run_folder:  # a resumed run: its own settings tell
        trained = saved_settings(context.workspace.root / job.run_folder).settings
    pictures = parts_of(trained, context.workspace).pictures
    if not pictures:
        raise UserError("The dataset holds no picture.", "Choose another folder.")
    return pictures[0]
