"""Starts the page: python app.py [--port 7860] [--share] ... The work is in ti_core."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import secrets
import sys

from ti_core.errors import UserError
from ti_core.jobs import JobQueue
from ti_core.library import find_checkpoint, find_checkpoints
from ti_core.settings import PORTRAITS
from ti_core.workspace import add_place_flags, open_workspace

USER_OF_SHARED_PAGE = "trainer"
SAVE_WITHIN_S = 120


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Textual Inversion in the browser: create an embedding, preprocess photos, train.")
    parser.add_argument("--port", type=int, default=7860, help="port of the page (default: 7860)")
    parser.add_argument("--listen", action="store_true", help="let other computers of the network in; asks for a password")
    parser.add_argument("--share", action="store_true", help="make a public gradio.live link; asks for a password")
    parser.add_argument("--auth", metavar="USER:PASSWORD", default="", help="login of the page; without it, --listen and --share make one and print it")
    add_place_flags(parser)
    parser.add_argument("--ckpt", metavar="NAME_OR_PATH", default=PORTRAITS, help="Stable Diffusion checkpoint that is selected at the start")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse_arguments(arguments)
    try:
        serve(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.")
    return 0


def serve(options: argparse.Namespace) -> None:
    """Open the page and stay until Ctrl+C. Raises UserError."""
    if not 0 < options.port < 65536:
        raise UserError(f"Port {options.port} does not exist.", "Choose one between 1024 and 65535, such as --port 7860.")
    user, _, password = options.auth.partition(":")
    if options.auth and not (user and password):
        raise UserError("--auth needs a user and a password with a colon between.", "For example: --auth anna:long-password")
    open_to_others = options.share or options.listen
    workspace = open_workspace(options, confined=open_to_others)
    if not workspace.root.is_dir():
        raise UserError(f"Workspace '{options.workspace}' is not a folder.", "Make it first, or leave --workspace out.")
    found = find_checkpoint(options.ckpt, dataclasses.replace(workspace, confined=False))
    checkpoint = found.title if found in find_checkpoints(workspace) else str(found.path)

    # Before gradio is imported: no telemetry, no look for newer versions, uploads beside the work and not in the system's folder.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("GRADIO_TEMP_DIR", str(workspace.root / ".gradio" / "uploads"))
    from ti_core.models.device import warm_up
    from ti_core.ui.server import Door, open_public_link, start_page

    if open_to_others and not user:
        user, password = USER_OF_SHARED_PAGE, secrets.token_urlsafe(9)
        print(f"Login for this page: {user} / {password}", flush=True)
    jobs = JobQueue()
    blocks = start_page(workspace, Door(options.port, options.listen, options.share, user, password), jobs, checkpoint)
    print(f"Local page: http://127.0.0.1:{options.port}", flush=True)
    warm_up(lambda: importlib.import_module("ti_core.training.loop"))
    if options.share:
        open_public_link(blocks)
    blocks.block_thread()  # until Ctrl+C
    running = jobs.shown_job()
    if running and running.state == "running":
        print("Saving the running work. Press Ctrl+C again to leave at once.", flush=True)
        jobs.interrupt()
        jobs.wait_for(running, SAVE_WITHIN_S)


if __name__ == "__main__":
    sys.exit(main())
