"""What pages are told of the runs on disk, and what they may fetch of one: a thumbnail, a curve, all files in a zip."""

from __future__ import annotations

import asyncio
import io
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ti_core.errors import UserError
from ti_core.jobs.view import thinned
from ti_core.runs.bin import binned_runs
from ti_core.runs.library import ListedRun
from ti_core.ui.app_context import AppContext
from ti_core.ui.live.chosen_step import json_answer
from ti_core.ui.small_pictures import small_webp

MOST_RUNS = 200
"""In one answer; the page asks for more where somebody wants to see them."""
THUMBNAIL_PX = 96
BLOCK_BYTES = 2**18
MOST_ZIPS = 4
"""Under way at once: each keeps a thread and the disk busy for as long as its download takes."""
UNSTORED = (".png", ".pt", ".safetensors", ".optim", ".webp", ".jpg")
"""Suffixes of files that get no smaller."""
NO_STORE = {"Cache-Control": "no-store"}


def run_routes(context: AppContext) -> list[Route]:
    """`live/thumbnail`, `live/curve`, `live/zip` (each `?run=...`) and `live/bin`; AccessMiddleware has asked for the
    login before. Not async: they read the disk.
    """
    zips = threading.BoundedSemaphore(MOST_ZIPS)

    def thumbnail(request: Request) -> Response:
        picture = context.runs.find(request.query_params.get("run", "")).picture
        if picture is None or not context.url(str(picture), ""):
            return PlainTextResponse("This run has no picture.", 404)
        headers = {"Cache-Control": "private, max-age=86400"}
        return Response(small_webp(picture, THUMBNAIL_PX), media_type="image/webp", headers=headers)

    def curve(request: Request) -> Response:
        job = context.opened.read(request.query_params.get("run", ""))
        drawn = {"name": job.title, "curve": thinned(job.curve), "evaluations": job.evaluations}
        return json_answer(drawn)

    def whole(request: Request) -> Response:
        listed = context.runs.find(request.query_params.get("run", ""))
        if not zips.acquire(blocking=False):
            return PlainTextResponse("Other downloads of runs are under way. Try again in a minute.", 429)
        pieces = zipped(listed)
        weakref.finalize(pieces, zips.release)  # however the download ends, also before its first piece
        name = quote(f"{listed.name}.zip")
        headers = {**NO_STORE, "Content-Disposition": f"attachment; filename*=utf-8''{name}"}
        return StreamingResponse(pieces, media_type="application/zip", headers=headers)

    def bin_list(request: Request) -> Response:
        return json_answer({"runs": binned_runs(context.workspace)[:MOST_RUNS]})

    routes = {"thumbnail": thumbnail, "curve": curve, "zip": whole, "bin": bin_list}
    return [Route(f"/live/{name}", _or_sentence(context, answer), methods=["GET"]) for name, answer in routes.items()]


def _or_sentence(context: AppContext, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """A run that is not there is a sentence."""

    def answered(request: Request) -> Response:
        try:
            return answer(request)
        except UserError as error:
            return PlainTextResponse(context.workspace.without_paths(str(error)), 404)
        except OSError:
            return PlainTextResponse("The files of this run cannot be read.", 404)

    return answered


# ---- the list


async def look_at_disk(context: AppContext, show: str) -> None:
    """See to it that the list and the run that is looked at are up to date, without keeping anybody waiting for more
    than the first look.
    """
    runs, loop = context.runs, asyncio.get_running_loop()
    if not runs.was_read:
        await loop.run_in_executor(None, runs.refresh)
    elif runs.is_due:
        loop.run_in_executor(None, runs.refresh)
    if show and context.opened.is_old(show):
        await loop.run_in_executor(None, _read_quietly, context, show)


def _read_quietly(context: AppContext, run: str) -> None:
    try:
        context.opened.read(run)
    except (UserError, OSError) as error:  # it has just gone away; the list says so
        print(f"A run cannot be shown: {error}", flush=True)


def run_news(context: AppContext, mark: str, most: int) -> dict[str, Any]:
    """What is new in the list since the mark that a page knows: rows in no order, runs that are gone, whether it is
    the whole list, and how many older ones there are.
    """
    runs, most = context.runs, max(MOST_RUNS, most)
    if mark == runs.mark:
        return {"mark": mark}
    now = runs.mark
    rows, gone, is_whole = runs.changes(mark, most)
    return {
        "mark": now,
        "rows": [_row(run) for run in rows],
        "gone": gone,
        "whole": is_whole,
        "more": max(0, len(runs.newest()) - most),
    }


def _row(run: ListedRun) -> dict[str, Any]:
    # the time makes another address of another picture, so that browsers may keep it
    picture = f"live/thumbnail?{urlencode({'run': run.run, 'at': int(run.changed_at * 1000)})}" if run.picture else ""
    return {
        "run": run.run,
        "name": run.name,
        "day": run.day,
        "step": run.step,
        "total": run.total,
        "resume": run.can_resume,
        "at": run.changed_at,
        "picture": picture,
    }


# ---- what is fetched of one run


class _Pieces(io.RawIOBase):
    """A file to write to, from which what was written is taken away at once."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since this was asked last."""
        pieces, self.written = b"".join(self.written), []
        return pieces


def zipped(listed: ListedRun) -> Iterator[bytes]:
    """All files of the run as a zip, piece by piece: nothing of it is kept in memory or on the disk. Links are left
    out, because they may lead anywhere.
    """
    target = _Pieces()
    with zipfile.ZipFile(target, "w", allowZip64=True) as archive:
        for path in sorted(listed.folder.rglob("*")):
            if path.is_symlink() or not path.is_file() or path.name.endswith(".part"):
                continue
            name = f"{listed.name}/{path.relative_to(listed.folder).as_posix()}"
            info = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
            info.compress_type = zipfile.ZIP_STORED if path.suffix in UNSTORED else zipfile.ZIP_DEFLATED
            with path.open("rb") as file, archive.open(info, "w", force_zip64=info.file_size > 2**31) as entry:
                while block := file.read(BLOCK_BYTES):
                    entry.write(block)
                    yield target.taken()
    yield target.taken()
