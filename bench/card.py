"""All that can be measured only on a graphics card, in one command of at most eight minutes.

    python bench/card.py [--minutes 8] [--families sd1 sdxl] [--parts ...] [--out FOLDER]
                         [--diffusers-script textual_inversion.py] [--tiny]

Random weights of full size, so that no checkpoint is needed. Every part runs in a process of its own, within what is
left of the time; one that fails is a line of the table and keeps no other from running. The parts:

  speed     a step against its floor, A1111's and diffusers' ways (bench/speed.py); a step and a preview with each
            switch of bench/card_switches.py by turns; the most memory of a training against its plan
  recipe    a training through the loop with previews: time to the first picture, a step, a preview, the whole recipe
  script    the loop of diffusers' own example, where --diffusers-script says where it is
  tests     tests/pretend_cuda on the card itself

The table and all numbers go to FOLDER (default outputs/card) as <card>.md and <card>.json. Where there is no card, the
pretend one runs it to its end: python -m tests.pretend_cuda bench/card.py --tiny. That measures nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
if not __package__:  # started as a file: find the packages all the same
    sys.path.insert(0, str(REPOSITORY))

PARTS = ("speed", "recipe", "script", "tests")
SIZES = {"sd1": 512, "sd2": 768, "sdxl": 1024}
LEAST_S = {"speed": 20, "recipe": 20, "script": 30, "tests": 20}
"""A part that has less time left is not begun."""
SHARE = {"speed": 0.6, "recipe": 0.6, "script": 0.7, "tests": 1.0}
"""Of the time left, the most that one run of a part gets."""
RESULT = "RESULT "
TURNS, PREVIEW_STEPS = 3, 20
RECIPE_UPDATES, RECIPE_IMAGES = 6, 40
MIB = 2**20


# ---- what a child does


def speed(family: str, tiny: bool) -> dict[str, Any]:
    """Ratios, switches, and the memory of a training against its plan."""
    import torch

    from bench.card_switches import SAMPLING, TRAINING
    from bench.random_models import random_checkpoint
    from bench.speed import prepare, time_of, time_previews, time_steps
    from ti_core.models.sampler import SampleRequest, sample_images

    torch.manual_seed(0)
    size_px = 64 if tiny else SIZES[family]
    bench = prepare(random_checkpoint(family, tiny), size_px, 2, 1000)
    steps = 2 if tiny else PREVIEW_STEPS
    vectors = {"anna-01": {name: rows.detach() for name, rows in bench.run.state.vectors.items()}}
    requests = [SampleRequest(prompt, steps=steps, width=size_px, height=size_px) for prompt in bench.prompts(2)]

    def preview() -> None:
        sample_images(bench.sd, requests, vectors)

    # Memory first, before anything else has left its own
    need = bench.run.memory.fit.need
    torch.cuda.reset_peak_memory_stats()
    bench.ours()
    preview()
    found: dict[str, Any] = {
        "planned_mib": need.total / MIB,
        "peak_mib": torch.cuda.max_memory_allocated() / MIB,
        "micro_batch": need.micro_batch,
    }
    found["peak_over_plan"] = found["peak_mib"] / found["planned_mib"]
    _tell(found)

    # Steps and previews with each switch, by turns
    for what, switches, action in (("step", TRAINING, bench.ours), ("preview", SAMPLING, preview)):
        for name, seconds in _by_turns(bench, switches, action, time_of, 1 if tiny else TURNS).items():
            found[f"{what}, {name}"] = seconds
        _tell(found)

    # Against other programs
    found |= time_steps(bench, 1 if tiny else TURNS)
    found |= time_previews(bench)
    return found


def _by_turns(
    bench: Any, switches: dict[str, Any], action: Callable[[], None], time_of: Callable[..., float], turns: int
) -> dict[str, Any]:
    """Median seconds with each switch, or why it cannot be on. The first go with one warms it up and is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in switches}
    refused: dict[str, str] = {}
    for _ in range(turns):
        for name, switch in switches.items():
            if name in refused:
                continue
            try:
                with switch(bench):
                    time_of(action, bench, 1)
                    seconds[name].append(time_of(action, bench, 1))
            except Exception as error:  # noqa: BLE001 - whatever a card or a build refuses is a line of the table
                reason = next(iter(str(error).strip().splitlines()), "no reason given")
                refused[name] = f"not possible: {type(error).__name__}: {reason[:100]}"
    return {name: refused.get(name) or statistics.median(seconds[name]) for name in switches}


def recipe(family: str, tiny: bool) -> dict[str, Any]:
    """A training through the loop, from its order to its end, and what the whole recipe would take."""
    from bench.speed import RECIPE_PASSES, RECIPE_PREVIEWS
    from ti_core.events import Event, Finished, PreviewSaved, StepDone
    from ti_core.training.loop import train

    with tempfile.TemporaryDirectory() as folder:
        settings, workspace = _order(Path(folder), family, tiny)
        began, at = time.perf_counter(), dict[str, list[float]]()

        def watch(event: Event) -> None:
            at.setdefault(type(event).__name__, []).append(time.perf_counter() - began)
            if isinstance(event, StepDone):
                at.setdefault("update_s", []).append(event.elapsed_s)

        train(settings, workspace, watch, threading.Event())
    names = [kind.__name__ for kind in (PreviewSaved, StepDone, Finished)]
    first_picture, ended = at[names[0]][0], at[names[2]][-1]
    images = settings.batch_size * settings.gradient_accumulation_steps
    update = statistics.median(at["update_s"][1:])
    others = ended - at[names[1]][0] - sum(at["update_s"][1:])
    each = others / 2  # evaluation, preview and copy came twice
    return {
        "first_picture_s": first_picture,
        "pass_s": update / images,
        "evaluation_preview_copy_s": each,
        "recipe_min": (first_picture + update * RECIPE_PASSES / images + RECIPE_PREVIEWS * each) / 60,
    }


def _order(root: Path, family: str, tiny: bool) -> Any:
    """A folder with a checkpoint, noisy pictures and an embedding, and the settings of a training on them."""
    import numpy as np
    from PIL import Image

    from bench.random_models import save_random_checkpoint
    from ti_core.models.families import FAMILIES
    from ti_core.settings import CreateSettings, TrainSettings
    from ti_core.training.create import create_embedding
    from ti_core.workspace import Workspace

    workspace, size_px = Workspace(root), 64 if tiny else SIZES[family]
    checkpoint = workspace.checkpoints / f"random-{family}"
    save_random_checkpoint(FAMILIES[family], checkpoint, tiny)
    pictures = workspace.datasets / "noise"
    pictures.mkdir(parents=True)
    count = 4 if tiny else RECIPE_IMAGES
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 255, (size_px, size_px, 3), np.uint8)
        Image.fromarray(noise).save(pictures / f"{i}.png")
        (pictures / f"{i}.txt").write_text(f"smiling, red shirt, number {i}", encoding="utf-8")
    create_embedding(CreateSettings(name="it", vectors=2, checkpoint=checkpoint.name), workspace)
    settings = TrainSettings(
        embedding="it",
        dataset_directory=str(pictures),
        template_file="subject_filewords.txt",
        learning_rate="0.005",
        batch_size=2,
        gradient_accumulation_steps=count // 2,
        steps=2 if tiny else RECIPE_UPDATES,
        image_every=1 if tiny else RECIPE_UPDATES // 2,
        save_every=1 if tiny else RECIPE_UPDATES // 2,
        preview_steps=1 if tiny else PREVIEW_STEPS,
        width=size_px,
        height=size_px,
        checkpoint=checkpoint.name,
    )
    return settings, workspace


def script(family: str, tiny: bool, path: str) -> dict[str, Any]:
    """Seconds of a pass of diffusers' own example: what ten updates more take, by two runs of it."""
    with tempfile.TemporaryDirectory() as folder:
        settings, workspace = _order(Path(folder), family, tiny)
        flags = {
            "pretrained_model_name_or_path": workspace.checkpoints / settings.checkpoint,
            "train_data_dir": settings.dataset_directory,
            "placeholder_token": "<it>",
            "initializer_token": "face",
            "resolution": settings.width,
            "train_batch_size": 2,
            "mixed_precision": "bf16",
            "output_dir": Path(folder) / "out",
            "save_steps": 100000,
        }
        seconds = {}
        for steps in (2, 12):
            command = [sys.executable, path, "--max_train_steps", str(steps)]
            for name, value in flags.items():
                command += [f"--{name}", str(value)]
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=folder)
            seconds[steps] = time.perf_counter() - began
    return {"diffusers_script_pass_s": (seconds[12] - seconds[2]) / 10 / 2}


def _tell(found: dict[str, Any]) -> None:
    """To the parent, which keeps the last of these lines: what was measured counts though the time runs out."""
    print(RESULT + json.dumps(found), flush=True)


# ---- the parent


def _child(part: str, family: str, args: argparse.Namespace, limit_s: float) -> dict[str, Any]:
    """What a part found, with `problem` where it did not come to its end."""
    if part == "tests":
        command = [sys.executable, "-m", "pytest", "tests/pretend_cuda", "-q"]
    else:
        command = [sys.executable, str(Path(__file__).resolve()), "--child", part, "--families", family]
        command += ["--tiny"] * args.tiny + ["--diffusers-script", args.diffusers_script]
    problem = ""
    try:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=limit_s, check=False)
        out, errors, code = done.stdout, done.stderr, done.returncode
        if code:
            lines = (errors if part != "tests" else out).strip().splitlines()
            problem = lines[-1][:200] if lines else f"ended with {code}"
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        problem = f"not done in {limit_s:.0f} s"
    results = [line.removeprefix(RESULT) for line in out.splitlines() if line.startswith(RESULT)]
    found = json.loads(results[-1]) if results else {}
    if part == "tests":
        summary = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", out)
        found = {"result": ", ".join(summary) or "nothing was run"}
    return {**found, **({"problem": problem} if problem else {})}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Every part for every family, until the time is up."""
    import torch

    ends = time.monotonic() + args.minutes * 60
    found: dict[str, Any] = {
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else "no card",
        "torch": torch.__version__,
        "tiny": args.tiny,
    }
    for part in args.parts:
        if part == "script" and not args.diffusers_script:
            found["script"] = {"problem": "left out: --diffusers-script does not say where the example is"}
            continue
        for family in args.families if part != "tests" else ("",):
            left = ends - time.monotonic()
            name = f"{part} {family}".strip()
            if left < LEAST_S[part]:
                found[name] = {"problem": "left out: the time was up"}
                continue
            found[name] = _child(part, family, args, min(left, max(LEAST_S[part], left * SHARE[part])))
            print(f"{name}: {found[name].get('problem', 'done')}", flush=True)
    return found


def table(found: dict[str, Any]) -> str:
    """Markdown: a row for each number."""
    lines = [f"# {found['card']}, torch {found['torch']}", "", "| part | what | value |", "|---|---|---|"]
    if found["tiny"]:
        lines.insert(1, "\nTiny networks: these numbers measure nothing.")
    for part, values in found.items():
        if isinstance(values, dict):
            for name, value in values.items():
                shown = f"{value:.4g}" if isinstance(value, float) else str(value)
                lines.append(f"| {part} | {name} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="at most so long (default: 8)")
    parser.add_argument("--families", nargs="+", default=["sd1", "sdxl"], choices=sorted(SIZES))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--out", default=str(REPOSITORY / "outputs" / "card"), metavar="FOLDER")
    parser.add_argument("--diffusers-script", default="", metavar="PATH", help="diffusers' textual_inversion.py")
    parser.add_argument("--tiny", action="store_true", help="a few channels: tests this program, measures nothing")
    parser.add_argument("--child", default="", choices=["", *PARTS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        more = [args.diffusers_script] if args.child == "script" else []
        _tell({"speed": speed, "recipe": recipe, "script": script}[args.child](args.families[0], args.tiny, *more))
        return 0
    found = measure(args)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "-", found["card"]).strip("-")
    (out / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(table(found), encoding="utf-8")
    print(table(found), end="")
    print(f"Saved as {out / name}.md and .json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
