"""Measures how many image passes Textual Inversion needs for a likeness, and how well the result still follows the
prompt.

    nice -n 19 python bench/quality.py [--rows known,a1111,ours] [--people 8] [--seeds 3] [--people-seed 1]
                                       [--hours 2] [--json]

People without names are drawn from the Portraits model's world, photographed, preprocessed and trained on as a user
would. Every run is kept as a line of build/quality/runs.jsonl, so that the command may be stopped and given again;
`--write` puts table and plot into docs/quality.md, `--mark --rows a1111` tells how good the mark "best" is.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

from bench.portraits import IDENTITY, description, mean_share, scene_prompts, shares, wanted
from bench.quality_kinds import SLIDERS, measure_kinds
from bench.quality_photos import BESIDE, photograph
from bench.quality_report import by_person, likeness, mean_runs, of_the_mark, oracle, save_report, show
from bench.quality_rows import ALONE, POINTS, ROWS, TABLE, UNTRAINED, Row
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Evaluated, Event, Started
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.portraits.classifier import AttributeClassifier, load_classifier
from ti_core.portraits.pictures import SIZE_PX
from ti_core.portraits.sample_photos import is_stranger
from ti_core.portraits.world import (
    BY_NAME,
    Person,
    Scene,
    draw_person,
    draw_scene,
    known_people,
    phrase_for,
    somebody,
)
from ti_core.runs.best_step import Measured, best_step
from ti_core.runs.folder import RunFolder
from ti_core.settings import PORTRAITS, CreateSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.workspace import PORTRAITS_FOLDER, REPOSITORY, Workspace

WORK = REPOSITORY / "build" / "quality"
NAME = "zqx"
"""The word that is trained: none that the model knows."""
STATES = ("hat", "shirt", "background")
"""What a new scene's prompt says beside its style, which is in its first words."""
NEW_SCENES = 20
PHOTOS_IN_STYLES = ("photo",) * 10 + tuple(style for style in BY_NAME["style"].values if style != "photo") * 2
SAMPLING_STEPS = 10
"""DPM++ 2M Karras: known names showed 83% identity and 90% obedience in 10 steps, 85% and 91% in 20, 69% and 55% in
6 (100 pictures).
"""
PHOTO_PX = SIZE_PX
BEGAN = time.monotonic()
SET_BY_THE_BENCH = (
    "dataset_directory",
    "steps",
    "image_every",
    "save_every",
    "evaluate_every",
    "early_stop",
    "held_out",
)


@dataclass(frozen=True)
class Ruler:
    """What judges a run: the checkpoint that paints and the classifier that reads."""

    sd: StableDiffusion
    classifier: AttributeClassifier

    def read(
        self, names: Sequence[str], people: Sequence[Person], new: Sequence[Scene], vectors: Mapping[str, Any]
    ) -> tuple[float, float]:
        """Identity and obedience of one picture for each scene; a picture's seed is its place, the same for every
        run.
        """
        prompts = scene_prompts(names, new, STATES)
        pictures = sample_images(
            self.sd, [SampleRequest(p, seed=500 + i, steps=SAMPLING_STEPS) for i, p in enumerate(prompts)], vectors
        )
        goals = [(wanted(p, s, IDENTITY), obeyed(p, s)) for p, s in zip(people, new, strict=True)]
        identity, obedience = zip(*goals, strict=True)
        return (
            mean_share(shares(self.classifier, pictures, identity)),
            mean_share(shares(self.classifier, pictures, obedience)),
        )


def obeyed(person: Person, scene: Scene) -> dict[str, int]:
    """What the prompt asked for and the picture can show; nobody asks for no hat."""
    stated = {"style", "shirt", "background"} | ({"hat"} if scene.hat != "none" else set())
    return wanted(person, scene, stated)


def strangers(people_seed: int, count: int) -> list[Person]:
    """People without names; the first n of a longer list are always the same."""
    rng, found = random.Random(f"quality people {people_seed}"), list[Person]()
    while len(found) < count:
        person = draw_person(rng)
        if is_stranger(person):
            found.append(person)
    return found


def new_scenes() -> list[Scene]:
    """Scenes that no photo shows, half of them photos, the others in the five art styles; half of the
    heads wear a hat.
    """
    rng = random.Random("quality scenes")
    drawn = [draw_scene(rng, style) for style in PHOTOS_IN_STYLES]
    hats = ("cap", "none", "beanie", "none", "santa hat", "none", "top hat", "none")
    return [replace(scene, hat=hats[i % len(hats)]) for i, scene in enumerate(drawn)]


def run_row(row: Row, person: Person, title: str, seed: int, ruler: Ruler, points: Sequence[int]) -> dict[str, Any]:
    """Train one person by one row's recipe and paint the new scenes at each point: `curve` maps image passes to
    identity, obedience and norm.
    """
    began, events, stop = time.monotonic(), list[Event](), threading.Event()
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        workspace = Workspace(Path(folder))
        dataset = photograph(person, title, Workspace(WORK), row)
        start = chosen_start(row, person, dataset, seed) if row.starts else row.initialization
        created = row.create(person.gender, near_words(person), start)
        create_embedding(CreateSettings.from_dict({"name": NAME, "checkpoint": PORTRAITS, **created}), workspace)
        values = row.train(workspace, dataset, NAME, person.gender)
        per_step, passes = row.images_per_step, max(points[-1], row.passes)
        settings = TrainSettings.from_dict(
            {
                **values,
                "steps": max(1, passes // per_step),
                "image_every": 0,
                "seed": seed,
                "checkpoint": PORTRAITS,
                "width": PHOTO_PX,
                "height": PHOTO_PX,
                "save_every": int(
                    np.gcd.reduce([row.evaluate_every, *(p // per_step for p in points if p >= per_step)])
                ),
                "evaluate_every": row.evaluate_every,
                "save_optimizer_state": False,
                "early_stop": 0,
                "cards": False,
            }
        )
        train(settings, workspace, events.append, stop)
        run = RunFolder(Path(next(e.folder for e in events if isinstance(e, Started) and e.folder)), NAME)
        evaluated = [e for e in events if isinstance(e, Evaluated)]
        trained_s = time.monotonic() - began
        steps = {p: p // per_step for p in (*points, passes) if p >= per_step}
        best = evaluated[-1].best if evaluated else max(steps.values())
        by_loss = best_step({e.step: Measured(e.losses) for e in evaluated}) if evaluated else best
        measured = {step: measure(run.copy(step), person, ruler) for step in sorted({*steps.values(), best, by_loss})}
    return {
        "curve": {str(p): measured[step] for p, step in steps.items()},
        "best_step": best,
        "best_passes": best * per_step,
        "best": measured[best],
        "by_loss": [by_loss, *measured[by_loss]],
        "obedience": {e.step: round(float(np.mean(e.obedience)), 4) for e in evaluated if e.obedience},
        "losses": {e.step: round(e.loss, 5) for e in evaluated},
        "bests": {e.step: e.best for e in evaluated},
        "trained_s": round(trained_s, 1),
        "all_s": round(time.monotonic() - began, 1),
    }


def near_words(person: Person) -> str:
    """What somebody would write who has looked at the photos once."""
    return f"{somebody(person)}, {phrase_for('hairstyle', person, new_scenes()[0])}"


def chosen_start(row: Row, person: Person, dataset: str, seed: int) -> str:
    """Which of the row's starts has the least loss at the first evaluation."""
    losses = dict[str, float]()
    for start in row.starts:
        with tempfile.TemporaryDirectory(prefix="quality-") as folder:
            workspace, stop = Workspace(Path(folder)), threading.Event()

            def heed(event: Event, start: str = start, stop: threading.Event = stop) -> None:
                if isinstance(event, Evaluated) and event.step:
                    losses.setdefault(start, event.loss)
                    stop.set()

            created = row.create(person.gender, near_words(person), start)
            create_embedding(CreateSettings.from_dict({"name": NAME, "checkpoint": PORTRAITS, **created}), workspace)
            values = row.train(workspace, dataset, NAME, person.gender)
            more = {"evaluate_every": row.evaluate_every, "image_every": 0, "save_every": 0, "cards": False}
            shown = {"seed": seed, "checkpoint": PORTRAITS, "width": PHOTO_PX, "height": PHOTO_PX}
            train(TrainSettings.from_dict({**values, **more, **shown}), workspace, heed, stop)
    return min(losses, key=lambda start: losses[start])


def measure(file: Path, person: Person, ruler: Ruler) -> list[float]:
    embedding, new = load_embedding(file), new_scenes()
    vectors = embedding.vectors_for(ruler.sd.widths) or {}
    identity, obedience = ruler.read([NAME] * len(new), [person] * len(new), new, {NAME: vectors})
    norm = float(np.mean([rows.norm(dim=1).mean() for rows in vectors.values()]))
    return [round(identity, 4), round(obedience, 4), round(norm, 3)]


def measure_words(ruler: Ruler, person: Person, title: str, says_all: bool = True) -> dict[str, Any]:
    """What the model makes of a person who is described in the prompt: another order of the words in each picture. Or
    of the class word alone, man or woman: what a prompt is obeyed by where nobody was learned.
    """
    rng, new = random.Random(f"quality words {title}"), new_scenes()
    described = [description(person, rng)[0] if says_all else person.gender for _ in new]
    identity, obedience = ruler.read(described, [person] * len(new), new, {})
    return {"best": [round(identity, 4), round(obedience, 4), None], "curve": {}}


def measure_known(ruler: Ruler, people_seed: int, count: int) -> dict[str, Any]:
    """The ceiling: people whom the model knows by name, as many as there are strangers."""
    rng, known, new = random.Random(f"quality known {people_seed}"), known_people(), new_scenes()
    found = [
        ruler.read([name] * len(new), [known[name]] * len(new), new, {}) for name in rng.sample(list(known), count)
    ]
    identity, obedience = (float(np.mean([f[i] for f in found])) for i in (0, 1))
    return {"best": [round(identity, 4), round(obedience, 4), None], "curve": {}}


class Kept:
    """The runs that are done, one JSON line each. A run of a recipe that has changed since is done again."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Read anew each time, because several commands may share the work."""
        return (
            [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
            if self.file.is_file()
            else []
        )

    def find(self, key: Sequence[Any], mark: bool = False) -> dict[str, Any] | None:
        """What is known of this row, recipe, person and seed (the first five of the key), if it was measured at
        these points at least.

        The longest run tells the marked step. Shorter ones pass through the same vectors, so their points may be
        added to its curve. With `mark` only runs that tell how the mark was chosen; earlier versions kept none.
        """
        runs = sorted(
            (run for run in self.runs if run["key"][:5] == list(key[:5]) and ("by_loss" in run or not mark)),
            key=lambda run: max(run["key"][5:], default=0),
        )
        if not runs or not set(key[5:]) <= {point for run in runs for point in run["key"][5:]}:
            return None
        return {**runs[-1], "curve": {point: values for run in runs for point, values in run["curve"].items()}}

    def add(self, key: Sequence[Any], run: dict[str, Any]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": list(key), **run}) + "\n")


def fingerprint(row: Row) -> str:
    """Of everything that a row's result depends on beside person and seed."""
    workspace = Workspace(WORK)
    dataset = photograph(strangers(1, 1)[0], "1-0", workspace, row)
    is_trained = row.name not in UNTRAINED
    values = {**row.train(workspace, dataset, NAME), **dict.fromkeys(SET_BY_THE_BENCH)} if is_trained else {}
    weights = hashlib.sha256((PORTRAITS_FOLDER / "unet/diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
    said = [values, row.create("woman"), *row.starts, SAMPLING_STEPS, NEW_SCENES, row.photos, weights]
    if row.beside != ALONE:  # without it the signs of the runs that are kept stay what they were
        said += [row.beside, BESIDE]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows",
        default=",".join(TABLE),
        help=f"which rows, separated by commas, of {', '.join(ROWS)} (default: %(default)s)",
    )
    parser.add_argument("--people", type=int, default=8, help="how many people (default: %(default)s)")
    parser.add_argument(
        "--people-seed",
        default="1",
        help="other numbers, separated by commas, draw other people (default: %(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="training seeds for each person (default: %(default)s)")
    parser.add_argument(
        "--points",
        default=",".join(map(str, POINTS)),
        help="after how many image passes to measure; a row stops at its own last (default: %(default)s)",
    )
    parser.add_argument(
        "--hours",
        type=float,
        default=1000.0,
        help="begin no run after so many hours; what is missing is left out (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument(
        "--mark",
        action="store_true",
        help="print as the last line one JSON object that tells how far the marked step is from each run's best",
    )
    parser.add_argument("--write", action="store_true", help="write table and plot into docs/quality.md")
    parser.add_argument("--kinds", default="", help="measure these kinds of words instead: negative, slider")
    parser.add_argument("--sliders", default=",".join(SLIDERS), help="which sliders (default: %(default)s)")
    parser.add_argument("--pictures", type=int, default=200, help="for each figure of a kind (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of the kinds' trainings (default: those of the preset)")
    return parser


def measured_rows(args: argparse.Namespace, rows: Sequence[Row], people_seed: int) -> Iterator[dict[str, Any]]:
    """The runs of all rows with the people of one seed: kept ones, and, until the hours are over, new ones."""
    kept, people = Kept(WORK / "runs.jsonl"), strangers(people_seed, args.people)
    for seed, (number, person), row in itertools.product(range(args.seeds), enumerate(people), rows):
        if row.name == "known" and (seed or number):
            continue
        is_trained, title = row.name not in UNTRAINED, f"{people_seed}-{number}"
        points = [p for p in map(int, args.points.split(",")) if p <= row.last_point] if is_trained else []
        who = len(people) if row.name == "known" else number
        key = (row.name, fingerprint(row), people_seed, who, seed, *points)
        if not kept.find(key, args.mark) and time.monotonic() < BEGAN + args.hours * 3600:
            if row.name == "known":
                done = measure_known(the_ruler(), people_seed, len(people))
            elif not is_trained:
                done = measure_words(the_ruler(), person, title, says_all=row.name == "words")
            else:
                done = run_row(row, person, title, seed, the_ruler(), points)
            kept.add(key, done)
            print(*key, done["best"], done["curve"], file=sys.stderr, flush=True)
        if found := kept.find(key, args.mark):
            yield found


@cache
def the_ruler() -> Ruler:
    """Loaded when the first run is measured; on a processor with channels last, which paints a quarter faster."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    ruler = Ruler(load_checkpoint(PORTRAITS, Workspace(WORK)), load_classifier())
    ruler.sd.unet.to(memory_format=torch.channels_last)
    return ruler


def main() -> None:
    parser = _parser()
    args = parser.parse_args()
    if args.kinds:
        ruler = Ruler(load_checkpoint(PORTRAITS, Workspace(WORK)), load_classifier())
        ruler.sd.move_to_device()
        kinds, sliders = args.kinds.split(","), args.sliders.split(",")
        found = measure_kinds(kinds, ruler.sd, ruler.classifier, args.pictures, args.steps, sliders, WORK)
        print(json.dumps(found, indent=None if args.json else 1))
        return
    unknown = [name for name in args.rows.split(",") if name not in ROWS]
    if unknown:
        parser.error(f"There is no row called {', '.join(unknown)}. Choose from: {', '.join(ROWS)}.")
    rows = [ROWS[name] for name in args.rows.split(",")]
    seeds = [int(seed) for seed in args.people_seed.split(",")]
    chosen = [run for people_seed in seeds for run in measured_rows(args, rows, people_seed)]
    results = mean_runs(chosen)
    results = {name: {**found, **likeness(found, results.get("a1111"))} for name, found in results.items()}
    print(show(results))
    print(by_person(results))
    if args.write:
        save_report(results, args.people_seed)
    if args.json:
        said = {name: {k: v for k, v in found.items() if k != "runs"} for name, found in results.items()}
        print(json.dumps(said | oracle(results)))
    if args.mark:
        print(json.dumps({name: of_the_mark(found["runs"]) for name, found in results.items()}))


if __name__ == "__main__":
    main()
