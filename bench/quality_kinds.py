"""Measures negative and slider words on Portraits, trained through the product's own loop: bench/quality.py --kinds.

Negative: the share of faults in pictures of known names, painted well and badly, without a word, with the plain and
with the guided one; and what becomes of identity and obedience. Sliders: how the classifier's probability follows the
strength, and what becomes of the identity of known names.
"""

from __future__ import annotations

import functools
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.fault_classifier import faults_in, load_fault_classifier
from bench.portraits import IDENTITY, mean_share, scene_prompts, shares, wanted
from ti_core.embeddings.formats import load_embedding
from ti_core.events import Event, Started
from ti_core.files import save_text
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.painting.painted_dataset import paint_dataset
from ti_core.portraits.classifier import AttributeClassifier, to_pixels
from ti_core.portraits.drawing import render_portrait
from ti_core.portraits.faults import FAULTS, with_fault
from ti_core.portraits.world import BY_NAME, caption, draw_person, draw_scene, known_people
from ti_core.runs.best_step import best_of
from ti_core.runs.folder import RunFolder
from ti_core.settings import PORTRAITS, CreateSettings, PaintDatasetSettings, TrainSettings
from ti_core.settings.strength import SLIDER_STRENGTHS, at_strength
from ti_core.settings.word_kind import NEGATIVE, SLIDER
from ti_core.training.create import create_embedding
from ti_core.training.kind_presets import PAINTED, PRESET_OF_KIND, VECTORS, kind_preset_values, painted_prompts
from ti_core.training.loop import train
from ti_core.workspace import Workspace

NAME = "zqx"
BAD_PICTURES = 40
PAINTED_IN = ((20, 7.0), (4, 7.0), (10, 20.0))
"""Sampling steps and CFG scale: as one paints, and two ways that go wrong."""
RISES = -0.02
"""A probability that falls by less from one strength to the next counts as one that does not."""
PEOPLE = ("a man", "a woman", "an old man", "an old woman", "a boy", "a girl")


@dataclass(frozen=True)
class Slider:
    """What a slider is made of, whom it is measured on, and how the classifier reads it: the probability of `values` of
    an attribute, or, where there is none, the share of drawn photos that are darker than the picture, 0 to 1.

    `hidden_by` is an attribute and its value with which there is nothing to read: a bald head's hair has no colour.
    `reach` is the form's Slider range.
    """

    more: str
    less: str
    attribute: str = ""
    values: tuple[str, ...] = ()
    keep: str = "man, woman, old man, old woman"
    people: tuple[str, ...] = PEOPLE
    hidden_by: tuple[str, str] | None = None
    reach: float = 1.0

    def read(self, classifier: AttributeClassifier, pictures: Sequence[Image.Image]) -> Tensor:
        """float32 [n]"""
        pixels = to_pixels(pictures)
        if not self.attribute:
            darker = pixels.mean((1, 2, 3))[:, None] > drawn_brightness()
            return darker.float().mean(1)
        with torch.no_grad():
            probabilities = classifier(pixels)[self.attribute].softmax(1)
        return sum((probabilities[:, BY_NAME[self.attribute].values.index(v)] for v in self.values), torch.zeros(()))

    def shows(self, classifier: AttributeClassifier, pictures: Sequence[Image.Image]) -> Tensor:
        """Whether there is something to read, bool [n]."""
        if not self.hidden_by:
            return torch.ones(len(pictures), dtype=torch.bool)
        attribute, value = self.hidden_by
        with torch.no_grad():
            return classifier(to_pixels(pictures))[attribute].argmax(1) != BY_NAME[attribute].values.index(value)


@functools.cache
def drawn_brightness() -> Tensor:
    """Mean pixel of 300 drawn photos, -1 to 1, float32 [300]: what a picture's brightness is compared with, so that it
    reads as a probability, as the other sliders do.
    """
    rng = random.Random("brightness")
    drawn = [render_portrait(draw_person(rng), draw_scene(rng, "photo"), 128).convert("RGB") for _ in range(300)]
    return to_pixels(drawn).mean((1, 2, 3))


SLIDERS = {
    "smile": Slider("smiling", "serious", "expression", ("smiling",)),
    "light hair": Slider(
        "long blonde hair", "long black hair", "hair", ("blonde", "white"), hidden_by=("hairstyle", "bald")
    ),
    "beard": Slider("full beard", "", "beard", ("full beard",)),
    "round glasses": Slider("round glasses", "", "glasses", ("round glasses",)),
    # as this model's captions say it: "a boy" is a child, "a man" an adult
    "age": Slider("an old man, an old woman", "a boy, a girl", "age", ("elderly",), "", ("a person",), reach=1.5),
    "brightness": Slider("cream background, white shirt", "dark blue background, black shirt"),
}


def _quiet(event: Event) -> None:
    """Nobody watches."""


def _train(values: Mapping[str, Any], steps: int, seed: int, workspace: Workspace) -> tuple[dict[str, Tensor], float]:
    """The vectors of the step that the evaluation marks, and the seconds that the training took."""
    events, began = list[Event](), time.monotonic()
    settings = {**values, "seed": seed, "image_every": 0, "evaluate_every": values["image_every"], "cards": False}
    settings |= {"steps": steps or values["steps"], "checkpoint": PORTRAITS, "save_optimizer_state": False}
    train(TrainSettings.from_dict(settings), workspace, events.append, threading.Event())
    folder = Path(next(e.folder for e in events if isinstance(e, Started) and e.folder))
    copy = RunFolder(folder, NAME).copy(best_of(folder) or int(settings["steps"]))
    vectors = load_embedding(copy if copy.is_file() else workspace.embeddings / f"{NAME}.pt").vectors
    return vectors, time.monotonic() - began


# ---- negative words


def draw_bad_pictures(folder: Path, count: int = BAD_PICTURES) -> None:
    """Drawn photos with the five faults in turn, each with a caption of what it shows besides."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random("bad pictures")
    for i in range(count):
        person, scene = draw_person(rng), draw_scene(rng, "photo")
        picture = render_portrait(person, scene, 128).convert("RGB")
        with_fault(picture, FAULTS[i % len(FAULTS)], rng).save(folder / f"{i:05d}-0-bad.png")
        save_text(folder / f"{i:05d}-0-bad.txt", caption(person, scene, rng).text)


def measure_negative(
    sd: StableDiffusion, classifier: AttributeClassifier, pictures: int, steps: int, seed: int, kept: Path
) -> dict[str, Any]:
    """Row -> way of painting -> share of pictures with a fault, identity and obedience, on the same scenes."""
    from bench.quality import STATES, new_scenes, obeyed  # which itself imports this module

    seen, known, rng = load_fault_classifier(kept), known_people(), random.Random("negative words")
    scenes = (new_scenes() * -(-pictures // len(new_scenes())))[:pictures]
    names = [rng.choice(list(known)) for _ in scenes]
    prompts = scene_prompts(names, scenes, STATES)
    goals = [(wanted(known[n], s, IDENTITY), obeyed(known[n], s)) for n, s in zip(names, scenes, strict=True)]
    identity, obedience = zip(*goals, strict=True)

    def read(vectors: Mapping[str, Tensor] | None) -> dict[str, Any]:
        found = {}
        for sampling, scale in PAINTED_IN:
            negative = NAME if vectors else ""
            requests = [
                SampleRequest(p, negative, seed=500 + i, steps=sampling, cfg_scale=scale) for i, p in enumerate(prompts)
            ]
            painted = sample_images(sd, requests, {NAME: vectors} if vectors else {})
            found[f"{sampling} steps, CFG {scale:g}"] = {
                "faults": round(float(faults_in(seen, painted).amax(1).mean()), 3),
                "identity": round(mean_share(shares(classifier, painted, identity)), 3),
                "obedience": round(mean_share(shares(classifier, painted, obedience)), 3),
            }
        return found

    rows: dict[str, Any] = {"without": read(None)}
    for way in ("plain", "guided"):
        with tempfile.TemporaryDirectory(prefix="quality-") as folder:
            workspace = Workspace(Path(folder))
            draw_bad_pictures(workspace.datasets / NAME)
            create = CreateSettings(name=NAME, vectors=VECTORS, kind=NEGATIVE)
            create_embedding(create, workspace)
            values = kind_preset_values(PRESET_OF_KIND[NEGATIVE], f"datasets/{NAME}", NAME, create.word_kind)
            vectors, seconds = _train({**values, "negative_training": way}, steps, seed, workspace)
        rows[way] = {**read(vectors), "trained_s": round(seconds, 1)}
        print(way, rows[way], file=sys.stderr, flush=True)
    return rows


# ---- sliders


def measure_sliders(
    sd: StableDiffusion, classifier: AttributeClassifier, names: Sequence[str], pictures: int, steps: int, seed: int
) -> dict[str, Any]:
    """For each slider the probability at each strength, the share of pictures in which it never falls, the span from
    end to end, and the identity of known names at strength 0.5 as a share of that without the word.
    """
    found = {}
    for name in names:
        found[name] = _measure_slider(sd, classifier, SLIDERS[name], pictures, steps, seed)
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def _measure_slider(
    sd: StableDiffusion, classifier: AttributeClassifier, slider: Slider, pictures: int, steps: int, seed: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="quality-") as folder:
        workspace = Workspace(Path(folder))
        lines = {"slider_on": "a photo of a person", "slider_more": slider.more, "slider_less": slider.less}
        create = CreateSettings.from_dict(
            {"name": NAME, "vectors": VECTORS, "kind": SLIDER, **lines, "slider_keep": slider.keep}
        )
        create_embedding(create, workspace)
        painted = {"destination_directory": f"datasets/{NAME}", "prompts": "\n".join(painted_prompts(create.word_kind))}
        paint_dataset(
            PaintDatasetSettings.from_dict({**painted, "count": PAINTED, "sampling_steps": 10}),
            workspace,
            _quiet,
            threading.Event(),
        )
        values = kind_preset_values(PRESET_OF_KIND[SLIDER], f"datasets/{NAME}", NAME, create.word_kind)
        vectors, seconds = _train({**values, "slider_range": slider.reach}, steps, seed, workspace)

    prompts = [f"a photo of {slider.people[i % len(slider.people)]}, [name]" for i in range(pictures)]
    painted = [_paint(sd, prompts, strength, vectors) for strength in SLIDER_STRENGTHS]
    shown = torch.stack([slider.shows(classifier, each) for each in painted]).all(0)
    read = torch.stack([slider.read(classifier, each) for each in painted], dim=1)[shown]
    kept = _identity_kept(sd, classifier, vectors, slider.attribute, pictures)
    return {
        "pictures": len(read),
        "by_strength": {f"{s:g}": round(float(p), 3) for s, p in zip(SLIDER_STRENGTHS, read.mean(0), strict=True)},
        "monotone": round(float((read.diff(dim=1) >= RISES).all(1).float().mean()), 3),
        "span": round(float((read[:, -1] - read[:, 0]).mean()), 3),
        "identity_kept": round(kept, 3),
        "trained_s": round(seconds, 1),
    }


def _paint(
    sd: StableDiffusion, prompts: Sequence[str], strength: float, vectors: Mapping[str, Tensor]
) -> list[Image.Image]:
    asked = [at_strength(prompt, "", NAME, strength) for prompt in prompts]
    requests = [SampleRequest(p, n, seed=1000 + i, steps=10) for i, (p, n) in enumerate(asked)]
    return sample_images(sd, requests, {NAME: vectors})


def _identity_kept(
    sd: StableDiffusion,
    classifier: AttributeClassifier,
    vectors: Mapping[str, Tensor],
    attribute: str,
    pictures: int,
) -> float:
    """What the slider changes on purpose is no part of the identity."""
    known, rng = known_people(), random.Random("sliders")
    names = [rng.choice(list(known)) for _ in range(pictures)]
    scenes = [draw_scene(rng, "photo") for _ in names]
    measured = [each for each in IDENTITY if each != attribute]
    goals = [wanted(known[name], scene, measured) for name, scene in zip(names, scenes, strict=True)]
    prompts = [f"a photo of {name}, [name]" for name in names]
    without, beside = (
        mean_share(shares(classifier, _paint(sd, prompts, strength, vectors), goals)) for strength in (0.0, 0.5)
    )
    return beside / without if without else 0.0


def measure_kinds(
    kinds: Sequence[str],
    sd: StableDiffusion,
    classifier: AttributeClassifier,
    pictures: int,
    steps: int,
    sliders: Sequence[str],
    kept: Path,
) -> dict[str, Any]:
    """The figures of the kinds that are asked for; `steps` 0 is the preset's number."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    measure: dict[str, Callable[[], dict[str, Any]]] = {
        NEGATIVE: lambda: measure_negative(sd, classifier, pictures, steps, 0, kept),
        SLIDER: lambda: measure_sliders(sd, classifier, sliders, pictures, steps, 0),
    }
    return {kind: measure[kind]() for kind in kinds}
