"""The command doctor: what this computer has, whether a training works on it, and one text for a report of a fault."""

from __future__ import annotations

import argparse
import getpass
import importlib.metadata
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import ti_core
from ti_core.checkpoints.library import CheckpointFile, find_checkpoints
from ti_core.cli.flags import AddCommand
from ti_core.errors import UserError
from ti_core.events import Event, StepDone
from ti_core.network import NOT_USED, PROXIES
from ti_core.program.ready_folder import ready_folder
from ti_core.program.temporary_folders import temporary_folder
from ti_core.settings import CreateSettings, TrainSettings
from ti_core.workspace import REPOSITORY, SHIPPED, SHOWN_SAMPLE_PHOTOS, Workspace

EXIT_OK, EXIT_UNWELL = 0, 1
TRIAL_S = 10.0
LOCK = "requirements-lock.txt"
BESIDE_THE_LOCK = ("torch", "Pillow")
"""Pinned, but not in the lock file, which says why."""
FREE_GB = 2.0
"""A run with its pictures fits into it."""
BEGIN, END = "---- copy from here into your report ----", "---- to here ----"

Line = tuple[str, str]
"""A name and what is to be said of it. What is wrong begins with WRONG."""
WRONG = "WRONG: "


def add_doctor_command(command: AddCommand) -> None:
    """doctor: looks, trains for ten seconds, and prints."""
    doctor = command("doctor", _doctor, "look whether everything is there, and print a text for a report of a fault")
    doctor.add_argument(
        "--seconds",
        type=float,
        default=TRIAL_S,
        metavar="S",
        help="how long to train the built-in model; 0 leaves it out (default: %(default)s)",
    )


def _doctor(args: argparse.Namespace, workspace: Workspace) -> int:
    lines: list[Line] = []
    for look in (_program, _computer, _packages, lambda: _network(), lambda: _places(workspace)):
        for line in look():
            lines.append(line)
            print(_shown(line), flush=True)
    checkpoints = find_checkpoints(workspace)
    for checkpoint in checkpoints:
        print(_shown((checkpoint.title, _verdict(checkpoint))), flush=True)
    lines += [(f"checkpoint {i + 1}", _verdict(one, nameless=True)) for i, one in enumerate(checkpoints)]
    if args.seconds > 0:
        print("Training the built-in model for a moment ...", flush=True)
        lines.append(("training", _trial(args.seconds)))
        print(_shown(lines[-1]))
    print("\n".join(("", BEGIN, *(without_person(_shown(line), workspace) for line in lines), END)))
    return EXIT_UNWELL if any(WRONG in text for _, text in lines) else EXIT_OK


def _shown(line: Line) -> str:
    return f"{line[0]}: {line[1]}"


def without_person(text: str, workspace: Workspace) -> str:
    """The text without folders, user and computer, whatever brought them in."""
    places = sorted({workspace.root.resolve(), REPOSITORY, Path.home(), Path(sys.prefix)}, key=lambda p: -len(str(p)))
    for place in places:
        if len(place.parts) > 1:
            text = text.replace(str(place), "(folder)")
    with suppress(OSError, KeyError, ImportError):  # a system that does not know who runs this
        for name in (getpass.getuser(), socket.gethostname()):
            if len(name) > 2 and name not in ("root", "localhost"):
                text = re.sub(rf"\b{re.escape(name)}\b", "(name)", text)
    return text


# ---- what is looked at


def _program() -> Iterator[Line]:
    git = _output_of("git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD") if SHIPPED == REPOSITORY else ""
    yield "version", ti_core.__version__ + (f" ({git})" if git else "")
    yield "python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()})"
    yield "system", platform.platform()


def _computer() -> Iterator[Line]:
    import psutil

    memory = psutil.virtual_memory()
    yield "processor", f"{os.cpu_count()} threads, {psutil.cpu_count(logical=False)} cores"
    yield "memory", f"{memory.total / 2**30:.1f} GiB, {memory.available / 2**30:.1f} GiB free"
    try:
        import torch

        from ti_core.models.device import device_state

        cuda, hip = torch.version.cuda, getattr(torch.version, "hip", None)
        yield "torch", f"{torch.__version__}, CUDA {cuda or '-'}, ROCm {hip or '-'}, {torch.get_num_threads()} threads"
        state = device_state()
    except UserError as error:
        yield "device", f"{WRONG}{error}"
        return
    except Exception as error:  # noqa: BLE001 - a broken torch may raise anything, and that is the finding
        yield "torch", f"{WRONG}it cannot be loaded: {type(error).__name__}: {error}"
        return
    precision = "half precision" if state.half else "float32"
    yield (
        "device",
        f"{state.kind}, {state.name}, {state.free_bytes / 2**30:.1f} GiB free, {state.count} of it, {precision}",
    )
    if driver := _output_of("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"):
        unused = "" if state.kind == "cuda" else f"{WRONG}this torch does not use it (docs/install.md): "
        yield "graphics card", unused + "; ".join(driver.splitlines())


def _packages() -> Iterator[Line]:
    """What differs from the versions that were run together."""
    wrong, other, count = [], [], 0
    for name, version in wanted_versions().items():
        count += 1
        try:
            found = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            if name in _needed():
                wrong.append(f"{name} is missing")
            continue
        if found != version:
            other.append(f"{name} {found} (we ran {version})")
    if wrong:
        yield "packages", f"{WRONG}{', '.join(wrong)}. Start webui.sh or webui.bat again."
    yield "versions", ", ".join(other) if other else f"as in our lock file ({count} packages)"


def wanted_versions() -> dict[str, str]:
    """Name -> version of every package in the lock file, and of those that are pinned beside it."""
    lock = SHIPPED / LOCK
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    found = dict(line.split("==") for line in lines if re.fullmatch(r"[\w.\-]+==\S+", line))
    for text in (REPOSITORY / "requirements.txt", REPOSITORY / "requirements-over.txt"):
        if SHIPPED == REPOSITORY and text.is_file():
            pinned = re.findall(r"^([\w.\-]+)==(\S+)", text.read_text(encoding="utf-8"), re.MULTILINE)
            found.update({name: version for name, version in pinned if name in BESIDE_THE_LOCK})
    return found


def _needed() -> set[str]:
    """What the program itself asks for; the rest of the lock file is for tests, or comes along."""
    text = REPOSITORY / "requirements.txt"
    return (
        set(re.findall(r"^([\w.\-]+)==", text.read_text(encoding="utf-8"), re.MULTILINE)) if text.is_file() else set()
    )


def _network() -> Iterator[Line]:
    """Which proxies are set, without their addresses."""
    set_ones = [name for name in os.environ if name.lower() in PROXIES and os.environ[name]]
    yield "proxies", " ".join([", ".join(set_ones) or "none", *NOT_USED])


def _places(workspace: Workspace) -> Iterator[Line]:
    try:
        ready_folder(workspace.root, "--workspace")
    except UserError as error:
        yield "workspace", f"{WRONG}{error}"
        return
    free_gb = shutil.disk_usage(workspace.root).free / 1e9
    yield "free disk", f"{free_gb:.1f} GB" if free_gb > FREE_GB else f"{WRONG}{free_gb:.1f} GB. Make room."


def _verdict(checkpoint: CheckpointFile, nameless: bool = False) -> str:
    facts = checkpoint.facts
    problem = f"{facts.problem} {facts.hint}".strip()
    if nameless:  # file names may be those of people
        for name in (checkpoint.title, checkpoint.path.name, checkpoint.path.stem):
            problem = problem.replace(name, "it")
    kind = ", ".join(part for part in (facts.family or facts.kind, facts.precision, f"{facts.size_px} px") if part)
    return f"{kind}. Cannot be used: {problem}" if problem else f"{kind}. Good."


def _trial(seconds: float) -> str:
    """Train the built-in model in a folder of its own; how fast it was, or what went wrong."""
    from ti_core.training.create import create_embedding
    from ti_core.training.loop import train

    began: list[float] = []
    losses: list[float] = []
    stop = threading.Event()

    def heard(event: Event) -> None:
        if isinstance(event, StepDone):
            began.append(time.monotonic())
            losses.append(event.loss)
            if began[-1] - began[0] >= seconds:
                stop.set()

    try:
        with temporary_folder("doctor") as folder:
            place = Workspace(folder)
            create_embedding(CreateSettings(name="doctor", initialization_text="person"), place)
            train(_trial_settings(), place, heard, stop)
    except UserError as error:
        return f"{WRONG}{error}"
    except Exception as error:  # noqa: BLE001 - whatever ends the trial is what the report has to say
        return f"{WRONG}{type(error).__name__}: {error}"
    if not losses or not all(map(math.isfinite, losses)):
        return f"{WRONG}{len(losses)} steps, and the numbers are not finite."
    rate = (len(began) - 1) / (began[-1] - began[0]) if len(began) > 1 else 0.0
    return f"works, {len(losses)} steps, {rate:.2f} it/s on the built-in model"


def _trial_settings() -> TrainSettings:
    photos = f"{SHOWN_SAMPLE_PHOTOS}/anna"
    return TrainSettings(
        embedding="doctor", dataset_directory=photos, template_file="subject.txt", steps=10**6, image_every=0
    )


def _output_of(*command: str) -> str:
    found = shutil.which(command[0])
    if not found:
        return ""
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    try:
        done = run([found, *command[1:]], capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
