"""A1111's own addresses for its Train tab (A1111 1.10.1, modules/api/api.py), answering as they do there, so that
old scripts go on working.

As there, a call that trains or preprocesses answers when the work has ended, and a mistake is told in `info` with
status 200.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ti_core.embeddings.folder import stored_embeddings
from ti_core.errors import UserError
from ti_core.jobs.job import Job
from ti_core.jobs.kinds import KINDS
from ti_core.models.vocabulary import norms_if_known
from ti_core.settings import SAMPLERS
from ti_core.settings.shared import MAX_SIZE_PX
from ti_core.ui.app_context import AppContext
from ti_core.ui.server.roles import STRANGER

ALSO_CALLED = {
    "template_filename": "template_file",
    "preview_sampler_index": "",
    "preview_sampler_name": "preview_sampler",
    "id_task": "",
}
"""Names that only A1111's functions have; the empty ones have nothing to set here."""
LOOK_AGAIN_S = 0.2
MAX_BODY_BYTES = 2**20

Values = dict[str, Any]
"""The JSON object of a request: A1111's parameters by name."""
Answer = Callable[[Values, str], Awaitable[str]]
"""(values, who asks) -> what `info` says when the work has ended. Raises UserError."""
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class A1111Api:
    """What A1111's addresses do here. `checkpoint` is the one that the server started with: A1111 has no parameter
    for it, and takes the loaded one.
    """

    context: AppContext
    checkpoint: str

    async def run(self, kind: str, values: Values, owner: str) -> Job:
        """The job when it has ended. Raises UserError if it failed, was cancelled, or left nothing."""
        has_checkpoint = "checkpoint" in KINDS[kind].settings.options()
        given = {**({"checkpoint": self.checkpoint} if has_checkpoint else {}), **_settings(kind, values)}
        settings = KINDS[kind].settings.from_dict(given)
        job = await run_in_threadpool(self.context.jobs.order, kind, settings, owner)
        while not job.has_ended:
            await asyncio.sleep(LOOK_AGAIN_S)
        await run_in_threadpool(self.context.jobs.wait_for, job)  # until all of its end is noted
        if job.state in ("failed", "cancelled") or (job.state == "interrupted" and not job.files):
            raise UserError(job.text)
        return job

    async def create(self, values: Values, owner: str) -> str:
        """Make an embedding, and tell its file."""
        job = await self.run("create", values, owner)
        return f"create embedding filename: embeddings/{Path(job.files[0]).name}"

    async def train(self, values: Values, owner: str) -> str:
        """Train to the end, and tell the embedding's file."""
        job = await self.run("train", values, owner)
        return f"train embedding complete: filename: embeddings/{Path(job.files[0]).name} error: None"

    async def preprocess(self, values: Values, owner: str) -> str:
        """Make a dataset out of photos."""
        await self.run("preprocess", values, owner)
        return "preprocess complete"

    def posting(self, what: str, answer: Answer) -> Endpoint:
        """The endpoint that sends what `answer` says. A mistake stands in `info` too, after the name of the work."""

        async def post(request: Request) -> Response:
            if refused := _refused(request):
                return refused
            try:
                info = await answer(await _body(request), request.scope["person"].name)
            except UserError as error:
                info = f"{what} error: {self.context.workspace.without_paths(str(error))}"
            return JSONResponse({"info": info})

        return post

    async def interrupt(self, request: Request) -> Response:
        """Stop the running job after its current step."""
        refused = _refused(request)
        if not refused:
            self.context.jobs.interrupt()
        return refused or JSONResponse({})

    def embeddings(self, request: Request) -> Response:
        """The embeddings in A1111's form, by whether they fit the checkpoint."""
        return JSONResponse(_embeddings(self.context, self.checkpoint))

    def progress(self, request: Request) -> Response:
        """How the running job is doing, with the newest preview as base64 unless it is not wanted."""
        skip_image = request.query_params.get("skip_current_image", "").lower() in ("true", "1")
        return JSONResponse(_progress(self.context.jobs.shown_job(), skip_image))


def a1111_routes(context: AppContext, checkpoint: str) -> list[Route]:
    """AccessMiddleware has asked for name and password (HTTP Basic, as A1111's --api-auth) before. `checkpoint` is
    the one the server started with.
    """
    api = A1111Api(context, checkpoint)
    return [
        Route("/sdapi/v1/create/embedding", api.posting("create embedding", api.create), methods=["POST"]),
        Route("/sdapi/v1/train/embedding", api.posting("train embedding", api.train), methods=["POST"]),
        Route("/sdapi/v1/preprocess", api.posting("preprocess", api.preprocess), methods=["POST"]),
        Route("/sdapi/v1/interrupt", api.interrupt, methods=["POST"]),
        Route("/sdapi/v1/embeddings", api.embeddings, methods=["GET"]),
        Route("/sdapi/v1/progress", api.progress, methods=["GET"]),
    ]


def _refused(request: Request) -> Response | None:
    """Looking is not enough to change something. AccessMiddleware has refused other web sites before."""
    if not request.scope.get("person", STRANGER).may_train:
        return JSONResponse({"error": "Forbidden", "detail": "You may look, but change nothing here."}, 403)
    return None


async def _body(request: Request) -> Values:
    """The JSON object that was sent. Raises UserError."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise UserError("The request is not of the type application/json.", "Send the parameters as one JSON object.")
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_BODY_BYTES:
            raise UserError("The request is too long.")
    try:
        values = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        raise UserError("The request is no JSON.", "Send the parameters as one JSON object.") from None
    if not isinstance(values, dict):
        raise UserError("The request is no JSON object.", "Send the parameters by name.")
    return values


def _settings(kind: str, values: Values) -> Values:
    """A1111's parameters under our names; our own names are taken too. Previews' values count only where A1111
    reads them.
    """
    # Names: A1111's become ours, and those that have nothing to set here go.
    options = KINDS[kind].settings.options()
    names = {option.a1111: name for name, option in options.items() if option.a1111} | ALSO_CALLED
    given = {names.get(key, key): value for key, value in values.items()}
    given.pop("", None)

    # Values: A1111 takes samplers and sizes that the form does not know.
    if isinstance(given.get("preview_sampler"), str):
        given["preview_sampler"] = _sampler_like(given["preview_sampler"])
    for side in {"preview_width", "preview_height"} & given.keys() & options.keys():
        given[side] = _to_step(given[side], options[side].step)

    # Previews have values of their own only where A1111 takes them from the txt2img tab.
    if given.get("preview_from_txt2img", False) not in (False, True):  # which 0 and 1 equal
        return given  # the form's own sentence refuses it
    if kind == "train" and not given.pop("preview_from_txt2img", False):
        given = {name: value for name, value in given.items() if not name.startswith("preview_")}
    if isinstance(given.get("preview_prompt"), str):  # one prompt, whose line breaks are spaces
        given["preview_prompt"] = " ".join(given["preview_prompt"].split())
    return given


def _sampler_like(name: str) -> str:
    """Ours of that name, with or without Karras; any of A1111's may be named, and for others ours is the first."""
    plain = name.removesuffix(" Karras")
    return next((sampler for sampler in SAMPLERS if sampler.removesuffix(" Karras") == plain), SAMPLERS[0])


def _to_step(size_px: Any, step: float | None) -> Any:
    """The nearest size that the form takes. What is no size of a picture gets the form's own sentence, so it stays."""
    if isinstance(size_px, bool) or not isinstance(size_px, int | float) or not abs(size_px) <= MAX_SIZE_PX:
        return size_px
    return round(size_px / int(step or 1)) * int(step or 1)


def _embeddings(context: AppContext, checkpoint: str) -> dict[str, Any]:
    """By name: those that fit the server's checkpoint, and those that do not."""
    widths = {encoder: width for encoder, (_, width) in norms_if_known(checkpoint, context.workspace).items()}
    answer: dict[str, Any] = {"loaded": {}, "skipped": {}}
    for stored in stored_embeddings(context.workspace):
        found = stored.embedding
        if found is not None:
            fits = not widths or found.vectors_for(widths) is not None
            answer["loaded" if fits else "skipped"].setdefault(
                stored.name,
                {
                    "step": found.step,
                    "sd_checkpoint": found.checkpoint_hash,
                    "sd_checkpoint_name": found.checkpoint_name,
                    "shape": sum(found.widths.values()),
                    "vectors": found.count,
                },
            )
    return answer


def _progress(job: Job | None, skip_image: bool) -> dict[str, Any]:
    """The shown job while it runs; zeros while nothing does."""
    running = job if job and not job.has_ended else None
    done, total, pace = (running.done, running.total, running.pace()) if running else (0, 0, 0.0)
    state = {
        "skipped": False,
        "interrupted": bool(running and running.stop.is_set()),
        "stopping_generation": False,
        "job": running.kind if running else "",
        "job_count": 1 if running else 0,
        "job_timestamp": running.id if running else "0",
        "job_no": 0,
        "sampling_step": done,
        "sampling_steps": total,
    }
    image = None
    newest = next((path for _, path, _, number in reversed(running.previews) if number == 1), "") if running else ""
    if newest and not skip_image:
        try:
            image = base64.b64encode(Path(newest).read_bytes()).decode()
        except OSError:
            image = None
    return {
        "progress": done / total if total else 0.0,
        "eta_relative": (total - done) / pace if pace else 0.0,
        "state": state,
        "current_image": image,
        "textinfo": running.text or None if running else None,
    }
