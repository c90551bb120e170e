"""Short trainings of every family with fixed seeds, and the SHA-256 of the vectors they end with: what a rebuild of
the code must not change.

    python -m bench.checksums            prints them beside those of bench/checksums.json, and fails if one differs
    python -m bench.checksums --write    writes that file anew

The sums hold for one build of torch and one kind of processor, which the file names; elsewhere compare two
checkouts on the same machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.models.tiny_families import KINDS, SIZE_PX, save_single_file, tiny_configs
from ti_core.data.preprocess import preprocess
from ti_core.embeddings.formats import load_embedding
from ti_core.models.families import family
from ti_core.settings import CreateSettings, PreprocessSettings, TrainSettings
from ti_core.training.create import create_embedding
from ti_core.training.loop import train
from ti_core.training.presets import PRESETS, dataset_folder, preprocess_values, preset_values
from ti_core.workspace import SHOWN_SAMPLE_PHOTOS, Workspace

KEPT = Path(__file__).with_suffix(".json")
STEPS = 4
WORDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "slider": ({"kind": "slider", "slider_on": "a photo", "slider_more": "smiling", "slider_less": "sad"}, {}),
    "guided negative word": ({"kind": "negative"}, {"negative_training": "guided"}),
    "plain negative word": ({"kind": "negative"}, {"negative_training": "plain"}),
}
"""What a word is for, and how it is trained."""


def make_dataset(folder: Path) -> None:
    """Four noisy pictures with captions of three tags."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (SIZE_PX, SIZE_PX, 3), np.uint8)).save(folder / f"{i:05d}-0-photo.png")
        (folder / f"{i:05d}-0-photo.txt").write_text(f"smiling, red shirt, number {i}", encoding="utf-8")


def trained(settings: TrainSettings, workspace: Workspace) -> str:
    """SHA-256 of the vectors after the training."""
    train(settings, workspace, lambda event: None, threading.Event())
    file = next(iter(sorted(workspace.embeddings.glob(f"{settings.embedding}.*"))))
    digest = hashlib.sha256()
    for encoder, vectors in sorted(load_embedding(file).vectors.items()):
        digest.update(encoder.encode() + vectors.contiguous().numpy().tobytes())
    return digest.hexdigest()


def tiny_training(kind: str, workspace: Workspace, of_word: dict[str, Any] | None = None, **changes: Any) -> str:
    """A tiny random checkpoint of a family, as a single file; `of_word` says what the word is for."""
    workspace.checkpoints.mkdir(parents=True, exist_ok=True)
    title = f"{kind}.safetensors"
    if not (workspace.checkpoints / title).exists():
        save_single_file(kind, workspace.checkpoints / title)
    words = {"initialization_text": "a woman", "vectors": 2, "overwrite": True, **(of_word or {})}
    create_embedding(CreateSettings.from_dict({"name": "anna", "checkpoint": title, **words}), workspace)
    prediction = {"sd2_eps": "epsilon", "sd2_v": "v_prediction"}.get(kind, "Automatic")
    values = {
        "embedding": "anna",
        "dataset_directory": "datasets/anna",
        "template_file": "subject_filewords.txt",
        "learning_rate": "0.01",
        "batch_size": 2,
        "gradient_accumulation_steps": 2,
        "steps": STEPS,
        "image_every": STEPS,
        "save_every": STEPS,
        "preview_steps": 2,
        "checkpoint": title,
        "width": SIZE_PX,
        "height": SIZE_PX,
        "prediction_type": prediction,
        "shuffle_tags": True,
        "tag_drop_out": 0.1,
    }
    return trained(TrainSettings.from_dict(values | changes), workspace)


def portraits_training(preset: str, workspace: Workspace) -> str:
    """The built-in model on the sample photos with a preset's values."""
    preprocess(
        PreprocessSettings.from_dict(preprocess_values(f"{SHOWN_SAMPLE_PHOTOS}/anna", "anna")),
        workspace,
        lambda event: None,
        threading.Event(),
    )
    create_embedding(CreateSettings(name="anna", initialization_text="woman", overwrite=True), workspace)
    values = preset_values(preset, workspace, dataset_folder("anna"), "anna") | {
        "steps": STEPS,
        "image_every": 0,
        "save_every": STEPS,
    }
    return trained(TrainSettings.from_dict(values), workspace)


def measure() -> dict[str, str]:
    """The sum of every training by its name."""
    sums = {}
    with tempfile.TemporaryDirectory() as folder:
        family.CONFIGS = tiny_configs(Path(folder) / "families")
        for kind in KINDS:
            workspace = Workspace(Path(folder) / kind)
            make_dataset(workspace.datasets / "anna")
            sums[kind] = tiny_training(kind, workspace)
            sums[f"{kind}, random latents"] = tiny_training(kind, workspace, seed=7, latent_sampling_method="random")
        workspace = Workspace(Path(folder) / "sd1")
        for name, (of_word, changes) in WORDS.items():
            sums[f"sd1, {name}"] = tiny_training("sd1", workspace, of_word, **changes)
        for number, preset in enumerate(PRESETS):
            sums[f"Portraits, {preset}"] = portraits_training(preset, Workspace(Path(folder) / f"portraits-{number}"))
    return sums


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write bench/checksums.json anew")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    sums, where = measure(), {"torch": torch.__version__, "processor": platform.machine()}
    if write:
        KEPT.write_text(json.dumps({**where, "sums": sums}, indent=1) + "\n", encoding="utf-8")
    kept = json.loads(KEPT.read_text(encoding="utf-8"))["sums"]
    for name, value in sums.items():
        print(f"{'same' if kept.get(name) == value else 'OTHER'}  {value[:16]}  {name}")
    return int(kept != sums)


if __name__ == "__main__":
    sys.exit(main())
