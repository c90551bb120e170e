"""Measures the built-in Portraits model, and how well Textual Inversion learns a new person on it.

    python bench/portraits.py [--parts autoencoder prompts names strangers learned] [--json] [--sheet pictures.png]

A small classifier (ti_core/portraits/classifier.py) reads the attributes of painted pictures. A share is the mean
over attributes of the share of pictures that show the wanted value; a value counts only if the prompt states it and
the picture can show it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image, ImageDraw

from ti_core.data.preprocess import preprocess
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Event, Started
from ti_core.files import save_text
from ti_core.models.checkpoint import StableDiffusion, load_checkpoint
from ti_core.models.prompt_encoder import Vectors
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.portraits.classifier import AttributeClassifier, load_classifier, read_attributes, to_pixels
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.pictures import SIZE_PX, PictureBook
from ti_core.portraits.sample_photos import PEOPLE, Sitter, caption_of, is_stranger, sitter
from ti_core.portraits.world import (
    ATTRIBUTES,
    BY_NAME,
    OPENINGS,
    Person,
    Scene,
    draw_person,
    draw_scene,
    known_people,
    labels,
    phrase_for,
    somebody,
)
from ti_core.runs.folder import RunFolder
from ti_core.settings import PORTRAITS, CreateSettings, PreprocessSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.training.presets import FAST, GUIDE, preprocess_values, preset_values
from ti_core.workspace import SAMPLE_PHOTOS, Workspace

PARTS = ("autoencoder", "prompts", "names", "strangers", "learned")
IDENTITY = tuple(a.name for a in ATTRIBUTES if a.role == "identity")
"""What counts as identity."""
SCENE_STATED = ("expression", "hat", "shirt", "background")
"""What `scene_prompts` states; every picture is a photo."""
MAIN = ("hair", "skin", "background", "shirt", "hat", "glasses")
"""The six attributes that the model's goal of 85% is about."""
LEARNED_STEPS = (10, 50, 100, 150)
LEARNED_SCENES = 20
SHEET_PICTURES = 40
STRANGER, ORACLE_PHOTOS = "zqx", 200
"""The word that is learned of a person without a name, and from how many photos."""

Wanted = dict[str, int]
"""For one picture: attribute -> index of the value that it should show."""
Shares = dict[str, float]


def scene_prompts(who: str | Sequence[str], scenes: Sequence[Scene], states: Sequence[str] = SCENE_STATED) -> list[str]:
    """One prompt per scene, in the words of its style: "a photo of <who>, smiling, wearing a cap, red shirt, teal
    background".
    """
    names = [who] * len(scenes) if isinstance(who, str) else who
    stated = [[scene_phrase(scene, attribute) for attribute in states] for scene in scenes]
    return [
        ", ".join([f"{OPENINGS[scene.style][0]} {name}", *(p for p in phrases if p)])
        for name, phrases, scene in zip(names, stated, scenes, strict=True)
    ]


def stated_of(scene: Scene) -> set[str]:
    """The attributes that `scene_prompts` states of it."""
    return {attribute for attribute in SCENE_STATED if scene_phrase(scene, attribute)}


def scene_phrase(scene: Scene, attribute: str) -> str | None:
    """A caption's words for an attribute of a scene; None for the ordinary value that nobody mentions."""
    spec, value = BY_NAME[attribute], str(getattr(scene, attribute))
    return None if spec.phrase is None or value in spec.unsaid else spec.phrase.format(value)


def description(person: Person, rng: random.Random) -> tuple[str, set[str]]:
    """All that words can say of a person, "a woman, long red hair, ...", in random order; and which of IDENTITY it
    states.
    """
    bare = draw_scene(random.Random(0))
    phrases = {
        a.name: phrase for a in ATTRIBUTES if a.role == "identity" and (phrase := phrase_for(a.name, person, bare))
    }
    stated = {*phrases, "hair", "gender", "age"} & set(IDENTITY)
    shuffled = rng.sample(list(phrases.values()), len(phrases))
    return ", ".join([somebody(person), *shuffled]), stated


def wanted(person: Person, scene: Scene, attributes: Collection[str]) -> Wanted:
    """The values of those attributes that a picture of this person in this scene can show."""
    return {name: value for name, value in labels(person, scene).items() if name in attributes and value >= 0}


def shares(classifier: AttributeClassifier, pictures: Sequence[Image.Image], goals: Sequence[Wanted]) -> Shares:
    """For each attribute, the share of the pictures with a goal for it that show the goal."""
    read = read_attributes(classifier, pictures)
    right: dict[str, list[bool]] = {}
    for i, goal in enumerate(goals):
        for name, value in goal.items():
            right.setdefault(name, []).append(int(read[name][i]) == value)
    return {a.name: float(np.mean(right[a.name])) for a in ATTRIBUTES if a.name in right}


def mean_share(found: Shares, attributes: Collection[str] | None = None) -> float:
    """Mean over the given attributes, or all, of those that were counted."""
    return float(np.mean([share for name, share in found.items() if attributes is None or name in attributes]))


def identity_share(
    classifier: AttributeClassifier, pictures: Sequence[Image.Image], people: Sequence[Person], scenes: Sequence[Scene]
) -> Shares:
    """How much of each person's identity the pictures show; one person and one scene per picture."""
    return shares(
        classifier, pictures, [wanted(person, scene, IDENTITY) for person, scene in zip(people, scenes, strict=True)]
    )


def obedience_share(
    classifier: AttributeClassifier, pictures: Sequence[Image.Image], people: Sequence[Person], scenes: Sequence[Scene]
) -> Shares:
    """How much of the scenes that `scene_prompts` states the pictures show."""
    return shares(
        classifier,
        pictures,
        [wanted(person, scene, stated_of(scene)) for person, scene in zip(people, scenes, strict=True)],
    )


def photo_scenes(count: int, seed: int) -> list[Scene]:
    """Scenes of style photo, always the same for a seed."""
    rng = random.Random(f"bench scenes {seed}")
    return [draw_scene(rng, style="photo") for _ in range(count)]


@dataclass
class Bench:
    """The checkpoint (as it was named, and loaded), the classifier and the options that every part uses; `sheet`
    gathers (title, pictures) to look at.
    """

    choice: str
    sd: StableDiffusion
    classifier: AttributeClassifier
    images: int
    steps: int
    cfg_scale: float
    seed: int
    sheet: list[tuple[str, list[Image.Image]]] = field(default_factory=list)

    def paint(self, title: str, prompts: Sequence[str], vectors: Vectors | None = None) -> list[Image.Image]:
        """One picture per prompt, each from a seed of its own."""
        began = time.monotonic()
        requests = [
            SampleRequest(p, seed=self.seed * 100_000 + i, steps=self.steps, cfg_scale=self.cfg_scale)
            for i, p in enumerate(prompts)
        ]
        pictures = sample_images(self.sd, requests, vectors or {})
        print(f"{title}: {len(pictures)} pictures in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        self.sheet.append((title, pictures[:SHEET_PICTURES]))
        return pictures


@torch.no_grad()
def measure_autoencoder(bench: Bench) -> dict[str, float]:
    """PSNR in dB of unseen drawn portraits, of all art styles, after encoding (to the mean) and decoding."""
    book, sd = PictureBook(seed=1_000_003 + bench.seed), bench.sd
    originals = np.stack([book.render(i) for i in range(bench.images)])
    copies = []
    for part in torch.split(to_pixels(originals), 20):
        latents = sd.vae.encode(part.to(sd.device, sd.vae.dtype)).latent_dist.mode()
        copies.append(sd.vae.decode(latents).sample.float().clamp(-1, 1).cpu())
    pixels = ((torch.cat(copies).permute(0, 2, 3, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    errors = np.square((pixels.astype(np.float64) - originals) / 255).mean((1, 2, 3))
    bench.sheet.append(("autoencoder: original", [Image.fromarray(p) for p in originals[:10]]))
    bench.sheet.append(("autoencoder: copy", [Image.fromarray(p) for p in pixels[:10]]))
    return {
        "psnr_db_mean": float((-10 * np.log10(errors)).mean()),
        "psnr_db_of_mean_error": float(-10 * np.log10(errors.mean())),
        "pictures": bench.images,
    }


def measure_prompts(bench: Bench) -> dict[str, Any]:
    """Random people in random scenes, described in full: which share of the prompt do the pictures show?"""
    rng, scenes = random.Random(f"bench prompts {bench.seed}"), photo_scenes(bench.images, bench.seed)
    people = [draw_person(rng) for _ in scenes]
    described = [description(person, rng) for person in people]
    pictures = bench.paint("prompts", scene_prompts([text for text, _ in described], scenes))
    goals = [wanted(p, s, stated | stated_of(s)) for p, s, (_, stated) in zip(people, scenes, described, strict=True)]
    found = shares(bench.classifier, pictures, goals)
    return {
        "mean": mean_share(found),
        "main": mean_share(found, MAIN),
        "others": mean_share(found, set(found) - set(MAIN)),
        "attributes": found,
    }


def measure_names(bench: Bench, images: int) -> dict[str, Any]:
    """Known people by name in new scenes: the share of the person's attributes, and of the prompt's."""
    rng, known = random.Random(f"bench names {bench.seed}"), known_people()
    scenes = photo_scenes(images, bench.seed + 1)
    names = [rng.choice(list(known)) for _ in scenes]
    return measure_people(bench, "names", names, [known[name] for name in names], scenes)


def measure_people(
    bench: Bench,
    title: str,
    names: str | Sequence[str],
    people: Sequence[Person],
    scenes: Sequence[Scene],
    vectors: Vectors | None = None,
) -> dict[str, Any]:
    """Paint each person by that name (a known one, an embedding's or a description) in each scene; shares of
    identity and of the prompt.
    """
    pictures = bench.paint(title, scene_prompts(names, scenes), vectors)
    identity, scene = (
        identity_share(bench.classifier, pictures, people, scenes),
        obedience_share(bench.classifier, pictures, people, scenes),
    )
    return {"identity": mean_share(identity), "scene": mean_share(scene), "attributes": {**identity, **scene}}


def measure_learned(bench: Bench, train_steps: int) -> dict[str, Any]:
    """The face recipe on each sample person, then new scenes painted with the vectors before training and with the
    saved copies.

    Beside it what describing the person in words reaches. `mean` holds the means over the people.
    """
    result: dict[str, Any] = {}
    scenes = photo_scenes(LEARNED_SCENES, bench.seed + 2)
    for who in PEOPLE:
        person = sitter(who)
        people, rows = [person] * len(scenes), {}
        with tempfile.TemporaryDirectory(prefix="bench-portraits-") as folder:
            for label, file in train_sample_person(bench, who, Workspace(Path(folder)), train_steps).items():
                vectors = {encoder: rows.to(bench.sd.device) for encoder, rows in load_embedding(file).vectors.items()}
                rows[label] = measure_people(
                    bench, f"{who.name}, {label}", who.name, people, scenes, {who.name: vectors}
                )
                rows[label]["norm"] = float(next(iter(vectors.values())).norm(dim=1).mean())
        in_words, _ = description(person, random.Random(0))
        rows["in words"] = measure_people(bench, f"{who.name}, in words", in_words, people, scenes)
        result[who.name] = rows
    labels_found = list(next(iter(result.values())))
    result["mean"] = {
        label: {key: float(np.mean([rows[label][key] for rows in result.values()])) for key in ("identity", "scene")}
        for label in labels_found
    }
    return result


def train_sample_person(bench: Bench, who: Sitter, workspace: Workspace, steps: int) -> dict[str, Path]:
    """The recipe as the command line runs it, less the previews, which change nothing; label ("before", "step 10")
    -> embedding file.
    """
    events: list[Event] = []
    stop = threading.Event()
    photos = PreprocessSettings.from_dict(preprocess_values(str(SAMPLE_PHOTOS / who.name), who.name))
    preprocess(photos, workspace, events.append, stop)
    created = create_embedding(CreateSettings.from_dict({"name": who.name, "checkpoint": bench.choice}), workspace)
    before = Path(shutil.copy(created, workspace.root / f"{who.name}.pt"))
    values = preset_values(GUIDE, workspace, photos.destination_directory, who.name)
    values |= {"checkpoint": bench.choice, "image_every": 0, "seed": bench.seed, "steps": steps}
    began = time.monotonic()
    train(TrainSettings.from_dict(values), workspace, events.append, stop)
    started = next(event for event in events if isinstance(event, Started) and event.folder)
    print(f"{who.name}: {steps} steps in {time.monotonic() - began:.0f} s. {started.plan}", file=sys.stderr, flush=True)
    run = RunFolder(Path(started.folder), who.name)
    return {"before": before, **{f"step {n}": run.copy(n) for n in LEARNED_STEPS if n <= steps}}


def measure_strangers(bench: Bench, count: int, passes: int) -> dict[str, Any]:
    """People whom the model has no name for: described in words, and by a word learned from 200 photos of each, in
    the same new scenes.

    The second is what Textual Inversion could reach at most: many photos and long training.
    """
    rng, scenes = random.Random(f"bench strangers {bench.seed}"), photo_scenes(LEARNED_SCENES, bench.seed + 3)
    people = list[Person]()
    while len(people) < count:
        if is_stranger(person := draw_person(rng)):
            people.append(person)
    all_people, all_scenes = [p for p in people for _ in scenes], scenes * count
    in_words = [description(person, rng)[0] for person in people for _ in scenes]
    words = measure_people(bench, "strangers, in words", in_words, all_people, all_scenes)
    pictures = list[Image.Image]()
    for number, person in enumerate(people):
        with tempfile.TemporaryDirectory(prefix="bench-portraits-") as folder:
            vectors = {STRANGER: learn_stranger(bench, person, Workspace(Path(folder)), passes, number)}
        pictures += bench.paint(f"stranger {number + 1} of {count}, learned", scene_prompts(STRANGER, scenes), vectors)
    identity, scene = (
        identity_share(bench.classifier, pictures, all_people, all_scenes),
        obedience_share(bench.classifier, pictures, all_people, all_scenes),
    )
    return {
        "words": words,
        "oracle": {"identity": mean_share(identity), "scene": mean_share(scene), "attributes": {**identity, **scene}},
    }


def learn_stranger(
    bench: Bench, person: Person, workspace: Workspace, passes: int, number: int
) -> dict[str, torch.Tensor]:
    """The vectors of a word learned from ORACLE_PHOTOS photos with the fast preset's values, for so many image
    passes.
    """
    rng, dataset = random.Random(f"oracle {bench.seed} {number}"), workspace.datasets / STRANGER
    dataset.mkdir(parents=True)
    for i in range(ORACLE_PHOTOS):
        scene = draw_scene(rng, "photo")
        render_portrait(person, scene, SIZE_PX).save(dataset / f"photo{i:03d}.png")
        save_text(dataset / f"photo{i:03d}.txt", caption_of(person, scene))
    create_embedding(
        CreateSettings.from_dict({"name": STRANGER, "checkpoint": bench.choice, "initialization_text": person.gender}),
        workspace,
    )
    values = preset_values(FAST, workspace, str(dataset), STRANGER)
    values |= {
        "checkpoint": bench.choice,
        "seed": bench.seed,
        "steps": passes // int(values["batch_size"]),
        "width": SIZE_PX,
        "height": SIZE_PX,
        "image_every": 0,
        "save_every": 0,
        "evaluate_every": 0,
        "early_stop": 0,
        "held_out": 0,
    }
    train(TrainSettings.from_dict(values), workspace, lambda event: None, threading.Event())
    found = load_embedding(workspace.embeddings / f"{STRANGER}.pt").vectors
    return {encoder: rows.to(bench.sd.device) for encoder, rows in found.items()}


def summary(results: Mapping[str, Any]) -> dict[str, float]:
    """The figures that docs/portraits.md tells, in percent but for the first two; those of parts that were left out
    are missing.
    """
    paths = {
        "prompted": ("prompts", "mean"),
        "known_identity": ("names", "identity"),
        "known_scene": ("names", "scene"),
        "words_identity": ("strangers", "words", "identity"),
        "oracle_identity": ("strangers", "oracle", "identity"),
    }
    found: dict[str, float] = {"size_px": SIZE_PX}
    if "autoencoder" in results:
        found["psnr_db"] = round(results["autoencoder"]["psnr_db_mean"], 2)
    for name, (part, *keys) in paths.items():
        if part in results:
            value = results[part]
            for key in keys:
                value = value[key]
            found[name] = round(100 * value, 1)
    return found


def show(results: Mapping[str, Any]) -> str:
    """The results as tables for reading."""
    lines = []
    if found := results.get("autoencoder"):
        lines.append(
            f"autoencoder  PSNR {found['psnr_db_mean']:.2f} dB (mean over {found['pictures']} pictures),"
            f" {found['psnr_db_of_mean_error']:.2f} dB of the mean error"
        )
    if found := results.get("prompts"):
        lines += [
            f"prompts      all {found['mean']:.1%}, main six {found['main']:.1%}, others {found['others']:.1%}",
            *_attribute_rows(found["attributes"]),
        ]
    if found := results.get("names"):
        lines += [
            f"names        identity {found['identity']:.1%}, scene {found['scene']:.1%}",
            *_attribute_rows(found["attributes"]),
        ]
    if found := results.get("strangers"):
        for key, title in (("words", "described in words"), ("oracle", "learned from many photos")):
            row = found[key]
            lines += [
                f"strangers    {title}: identity {row['identity']:.1%}, scene {row['scene']:.1%}",
                *_attribute_rows(row["attributes"]),
            ]
    if found := results.get("learned"):
        people = list(found)
        lines.append("learned      identity / scene  " + "".join(f"{name:>16}" for name in people))
        for label in found["mean"]:
            cells = "".join(
                f"{found[name][label]['identity']:9.1%} {found[name][label]['scene']:6.1%}" for name in people
            )
            lines.append(f"  {label:28} {cells}")
        known = results["names"]
        lines.append(f"  {'known names':28} {known['identity']:9.1%} {known['scene']:6.1%}")
    return "\n".join(lines)


def _attribute_rows(found: Shares) -> list[str]:
    """The main six in one row, the others below."""
    rows = ([name for name in MAIN if name in found], [name for name in found if name not in MAIN])
    return ["  " + "  ".join(f"{name} {found[name]:.0%}" for name in row) for row in rows]


def save_sheet(path: Path, sections: Sequence[tuple[str, Sequence[Image.Image]]]) -> None:
    """All gathered pictures in one PNG, under their titles."""
    columns, side = 10, 128
    heights = [20 + -(-len(pictures) // columns) * side for _, pictures in sections]
    sheet, top = Image.new("RGB", (columns * side, sum(heights)), "white"), 0
    pen = ImageDraw.Draw(sheet)
    for (title, pictures), height in zip(sections, heights, strict=True):
        pen.text((4, top + 4), title, "black")
        for i, picture in enumerate(pictures):
            sheet.paste(
                picture.resize((side, side), Image.Resampling.BICUBIC),
                (i % columns * side, top + 20 + i // columns * side),
            )
        top += height
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument(
        "--checkpoint", default=PORTRAITS, help="title, or path of a diffusers folder (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, default=200, help="pictures per part (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20, help="sampling steps (default: %(default)s)")
    parser.add_argument("--cfg", type=float, default=7.0, help="guidance (default: %(default)s)")
    parser.add_argument(
        "--train-steps", type=int, default=150, help="steps of the recipe in the part learned (default: %(default)s)"
    )
    parser.add_argument(
        "--strangers",
        type=int,
        default=6,
        help="how many people without a name in the part strangers (default: %(default)s)",
    )
    parser.add_argument(
        "--oracle-passes",
        type=int,
        default=2400,
        help="image passes in which each of their words is learned (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--sheet", type=Path, help="save the painted pictures here, to look at")
    args = parser.parse_args()
    choice = str(Path(args.checkpoint).resolve()) if Path(args.checkpoint).is_dir() else args.checkpoint
    sd = load_checkpoint(choice, Workspace(Path.cwd()))
    bench = Bench(choice, sd, load_classifier(), args.images, args.steps, args.cfg, args.seed)
    results: dict[str, Any] = {
        "options": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "checkpoint_hash": sd.hash,
    }
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "autoencoder": lambda: measure_autoencoder(bench),
        "prompts": lambda: measure_prompts(bench),
        "names": lambda: measure_names(bench, bench.images),
        "strangers": lambda: measure_strangers(bench, args.strangers, args.oracle_passes),
        "learned": lambda: measure_learned(bench, args.train_steps),
    }
    if "learned" in args.parts and "names" not in args.parts:
        results["names"] = measure_names(bench, 3 * LEARNED_SCENES)
    results |= {part: measures[part]() for part in PARTS if part in args.parts}
    print(show(results))
    if args.sheet:
        save_sheet(args.sheet, bench.sheet)
    if args.json:
        print(json.dumps(results | summary(results)))


if __name__ == "__main__":
    main()
