"""Starts the page: flags, login, share link. `python app.py`, or the program textual-inversion-webui."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import secrets
import sys
import time

from ti_core import __version__
from ti_core.checkpoints.library import find_checkpoint, find_checkpoints
from ti_core.errors import UserError
from ti_core.jobs.cluster.flags import add_cluster_flags
from ti_core.jobs.device_flags import add_device_flags, named_devices
from ti_core.jobs.queue import JobQueue
from ti_core.jobs.quotas import add_quota_flags, quotas_of
from ti_core.network import NOT_USED
from ti_core.program.child import shown_command
from ti_core.program.conversation import SAVES_WITHIN_S
from ti_core.program.ports import first_free_port
from ti_core.program.ready_folder import ready_folder
from ti_core.program.signals import asked_to_end
from ti_core.program.temporary_folders import clear_left_over, temporary_folder
from ti_core.program.terminal import clean_terminal
from ti_core.settings import PORTRAITS
from ti_core.ui.server.hosting import adapt_to_space, add_hosting_flags, place_of
from ti_core.workspace import Workspace, add_place_flags, open_workspace

LOGIN, LOOK_LOGIN = "TI_AUTH", "TI_AUTH_LOOK"
"""Variables of the environment for who does not want a password in the list of processes."""
USUAL_PORT = 7860
USER_OF_SHARED_PAGE = "trainer"
SHORT_PASSWORD = 12
SAFE_PILLOW = 13
"""Major version of the first Pillow without the faults of requirements-over.txt."""
UPLOADS = "uploads"
"""Kind of the temporary folder of a shared page."""
PATIENCE_S = 10.0
"""What docker stop and others give a program to end in; then it is killed."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The flags of app.py."""
    parser = argparse.ArgumentParser(
        description="Textual Inversion in the browser: create an embedding, preprocess photos, train."
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--port", type=int, help=f"port of the page (default: {USUAL_PORT}, or the next one that is free)"
    )
    parser.add_argument(
        "--listen", action="store_true", help="let other computers of the network in; asks for a password"
    )
    parser.add_argument("--share", action="store_true", help="make a public gradio.live link; asks for a password")
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        action="append",
        help="login that may train; may be given several times, for people who take turns; without it, --listen and"
        f" --share make one and print it (also: {LOGIN})",
    )
    parser.add_argument(
        "--auth-look",
        metavar="USER:PASSWORD",
        default=os.environ.get(LOOK_LOGIN, ""),
        help=f"a second login that may look at everything and change nothing (also: {LOOK_LOGIN})",
    )
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="on a shared page, let people upload .pt and .bin; they are read without running code",
    )
    parser.add_argument(
        "--mcp", action="store_true", help="also let assistants use the page by MCP, with a token that is printed"
    )
    add_device_flags(parser)
    add_cluster_flags(parser)
    add_quota_flags(parser)
    add_hosting_flags(parser)
    add_place_flags(parser)
    parser.add_argument(
        "--ckpt",
        metavar="NAME_OR_PATH",
        default=PORTRAITS,
        help="Stable Diffusion checkpoint that is selected at the start",
    )
    options = parser.parse_args(arguments)
    options.auth = options.auth or list(filter(None, [os.environ.get(LOGIN)]))
    return options


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until somebody ends it; returns the exit status."""
    clean_terminal()
    options = parse_arguments(arguments)
    try:
        with asked_to_end(_end):
            serve(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.")
    return 0


def _end() -> None:
    """Ctrl+C, SIGTERM and a closed terminal end the program in the same way."""
    raise KeyboardInterrupt


def _uploads_of_others() -> str:
    """A folder of its own for each start: gradio's addresses of thumbnails contain its path, which should tell
    nothing of the owner's.
    """
    held = contextlib.ExitStack()
    atexit.register(held.close)
    return str(held.enter_context(temporary_folder(UPLOADS)))


def _login(flag: str, text: str) -> tuple[str, str]:
    """Name and password of a flag. Raises UserError for one without both."""
    user, _, password = text.partition(":")
    if text and not (user and password):
        raise UserError(
            f"{flag} needs a user and a password with a colon between.", f"For example: {flag} anna:long-password"
        )
    return user, password


def _checkpoint_at_the_start(choice: str, workspace: Workspace) -> str:
    """What stands in the list of checkpoints at the start. Raises UserError for one that is not there, or that a
    shared page may not use.
    """
    found = find_checkpoint(choice, dataclasses.replace(workspace, confined=False))
    listed = next(
        (checkpoint for checkpoint in find_checkpoints(workspace) if checkpoint.path.resolve() == found.path.resolve()),
        None,
    )
    if listed:
        return listed.title
    if workspace.confined and not found.path.resolve().is_relative_to(workspace.root.resolve()):
        raise UserError(
            f"A shared page may not use the checkpoint {choice}, which lies outside its folders.",
            f"Add: --ckpt-dir {found.path.parent}",
        )
    return workspace.shown(found.path)


@dataclasses.dataclass(frozen=True)
class Logins:
    """Who may train and who may look; empty names where nobody needs a login."""

    user: str
    password: str
    look_user: str
    look_password: str
    more: tuple[tuple[str, str], ...] = ()
    """Names and passwords of further people who may train."""

    def warn_of_short_passwords(self) -> None:
        """For pages that strangers can reach."""
        pairs = ((self.user, self.password), (self.look_user, self.look_password), *self.more)
        if short := [name for name, secret in pairs if secret and len(secret) < SHORT_PASSWORD]:
            print(
                f"The password of {' and '.join(short)} is short, and guessing cannot be stopped, only slowed: use"
                f" {SHORT_PASSWORD} characters or more.",
                flush=True,
            )


def _checked_logins(options: argparse.Namespace) -> Logins:
    """The logins of the flags. Raises UserError for flags that cannot be."""
    if options.port is not None and not 0 < options.port < 65536:
        raise UserError(
            f"Port {options.port} does not exist.", "Choose one between 1024 and 65535, such as --port 7860."
        )
    first, *more = [_login("--auth", text) for text in options.auth or [""]]
    logins = Logins(*first, *_login("--auth-look", options.auth_look), tuple(pair for pair in more if pair[0]))
    names = [logins.user, *(name for name, _ in logins.more)]
    if len(set(names)) < len(names):
        raise UserError("--auth names the same user twice.", "Give each person a name of their own.")
    if logins.look_user and logins.look_user in names:
        raise UserError(
            f"--auth and --auth-look name the same user '{logins.look_user}'.",
            "Give the one who may look another name.",
        )
    if options.mcp and importlib.util.find_spec("mcp") is None:
        raise UserError(
            "--mcp needs a package that is not installed.",
            f'Install it with: {shown_command("pip install")} "gradio[mcp]==6.31.0"',
        )
    return logins


def _prepare_gradio(workspace: Workspace, open_to_others: bool) -> None:
    """Before gradio is imported: no telemetry, no look for newer versions, uploads beside the work and not in the
    system's folder.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    clear_left_over(UPLOADS)  # of a shared page that was killed, also when this one is not shared
    uploads = _uploads_of_others() if open_to_others else str(workspace.root / ".gradio" / "uploads")
    os.environ.setdefault("GRADIO_TEMP_DIR", uploads)


def _warn_of_old_pillow() -> None:
    """`pip install .` keeps to gradio's bound, which is below the first Pillow without the known faults."""
    found = importlib.metadata.version("Pillow")
    if int(found.split(".")[0]) < SAFE_PILLOW:
        print(
            f"Pillow {found} has known faults in its decoders, and this page opens other people's pictures. Run:"
            f' {shown_command("pip install")} --no-deps "Pillow>={SAFE_PILLOW}"',
            flush=True,
        )


def serve(options: argparse.Namespace) -> None:
    """Open the page and stay until Ctrl+C or SIGTERM. Raises UserError."""
    is_space = adapt_to_space(options)
    logins, place = _checked_logins(options), place_of(options)
    # a login is made for somebody else, by whatever way they come
    open_to_others = bool(options.share or options.listen or options.allow_host or logins.user or logins.look_user)
    workspace = open_workspace(options, confined=open_to_others)
    if made := ready_folder(workspace.root, "--workspace"):
        print(made, flush=True)
    checkpoint = _checkpoint_at_the_start(options.ckpt, workspace)
    for sentence in NOT_USED:
        print(sentence, flush=True)

    _prepare_gradio(workspace, open_to_others)
    from ti_core.jobs.cluster.cluster import Cluster
    from ti_core.jobs.device_place import Devices
    from ti_core.ui.server.server import ServerOptions, open_public_link, start_page

    logins, all_may_look = _who_may_come_in(options, logins, open_to_others, is_space)
    token = secrets.token_urlsafe(18) if options.mcp else ""
    if token:
        print(f"MCP: /gradio_api/mcp/ with the header  Authorization: Bearer {token}", flush=True)

    # the queue begins nothing before the page is open
    devices: Devices | Cluster
    if options.ray:
        devices = Cluster(options.ray, workspace, options.ray_carry, options.ray_without_token)
    else:
        devices = Devices(workspace, named_devices(options.device))
    jobs = JobQueue(workspace, devices.kinds(), is_paused=True, places=(), quotas=quotas_of(options))
    jobs.worker.free_after_min = options.free_after
    server_options = ServerOptions(
        _port(options),
        options.listen,
        options.share,
        logins.user,
        logins.password,
        logins.look_user,
        logins.look_password,
        options.allow_pickle,
        token,
        place,
        all_may_look,
        logins.more,
    )
    blocks = start_page(workspace, server_options, jobs, checkpoint, devices.monitor)
    devices.open(jobs)
    jobs.begin()
    for number, program in enumerate(workspace.programs):
        keeps = " (new ones are kept there)" if not number and workspace.ui_dirs else ""
        print(f"{program.sentence}{keeps}.", flush=True)
    print(f"Local page: http://127.0.0.1:{server_options.port}{place.root_path}", flush=True)
    if options.share:
        open_public_link(blocks)
    try:
        _stay()
        _leave(jobs)
    finally:
        devices.close()


def _who_may_come_in(
    options: argparse.Namespace, logins: Logins, open_to_others: bool, is_space: bool
) -> tuple[Logins, bool]:
    """The logins, with one that is made where none was given, and whether everybody may look without one."""
    if open_to_others:
        _warn_of_old_pillow()
    all_may_look = is_space and not (logins.user or logins.look_user)
    if all_may_look:
        sentence = f"Everybody may look, and nobody may train. To train, set the secret {LOGIN} to user:password."
        print(sentence, flush=True)
    elif open_to_others and not logins.user:
        logins = dataclasses.replace(logins, user=USER_OF_SHARED_PAGE, password=secrets.token_urlsafe(9))
        print(f"Login for this page: {logins.user} / {logins.password}", flush=True)
    if options.share or options.listen or options.allow_host:
        logins.warn_of_short_passwords()
    return logins, all_may_look


def _port(options: argparse.Namespace) -> int:
    """The port that was asked for, because a proxy or a bookmark counts on it; else the usual one, or the next that is
    free.
    """
    if options.port is not None:
        return int(options.port)
    port = first_free_port(USUAL_PORT, options.listen)
    if port != USUAL_PORT:
        print(f"Port {USUAL_PORT} is taken by another program, so the page is at {port}.", flush=True)
    return port


def _stay() -> None:
    """Until somebody ends the program. Gradio's own way to wait closes the page first, which takes seconds that the
    saving may need.
    """
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


def _leave(jobs: JobQueue) -> None:
    """Let the running work save; the page stays open meanwhile."""
    running = jobs.running()
    if running:
        _say("Saving the running work. Press Ctrl+C again to leave at once.")
    jobs.leave(PATIENCE_S)
    if not all(job.has_ended for job in running):
        _say(f"Saving takes longer than {PATIENCE_S:.0f} s, and may take {SAVES_WITHIN_S:.0f}.")
        _say(f"What ends this program should wait as long, such as: docker stop --time {SAVES_WITHIN_S:.0f}")
        jobs.leave(SAVES_WITHIN_S)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody may be there to read it
        print(text, flush=True)
