"""Times a training step against the least it could cost, and against what other trainers do, in one run on this
machine.

    python bench/speed.py [--family sd1|sdxl] [--size PX] [--batch N] [--repeats N]
                          [--parts steps previews page] [--tiny] [--json]

Real architecture, random weights, so that no checkpoint is needed. Every variant takes the same number of images
through the same UNet; variants take turns, and ratios are those of one turn, because machines are noisy. What the
variants do:

  floor      forward and backward of the UNet to the conditioning alone, with the same batch as ours
  ours       ti_core's own update: draws, prompts, text encoder, UNet, loss, backward, clipping, AdamW, checks
  a1111      as AUTOMATIC1111 1.10.1: gradient checkpointing always on, UNet not frozen, so that weight gradients
             are computed too, prompts encoded with every micro-batch of `--batch` images, latents cached
  diffusers  as the textual_inversion.py example in bf16: the picture through the VAE at every pass, the whole token
             table in AdamW with weight decay, its other rows restored after every pass

The last two are written here anew from what the programs were read to do; they were not run.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from bench.random_models import random_checkpoint
from ti_core.checkpoints.facts import SIZES_PX
from ti_core.data.dataset import Example
from ti_core.data.latents import Latents
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding
from ti_core.embeddings.named_in import NamedIn
from ti_core.models.device import device_state
from ti_core.models.families import FAMILIES
from ti_core.models.memory import memory_facts, plan_fit
from ti_core.models.prompt_encoder import PromptEncoder
from ti_core.models.recompute import keep_all, save_memory
from ti_core.models.sampler import SampleRequest, sample_images
from ti_core.models.size_conditioning import size_conditioning
from ti_core.models.stable_diffusion import StableDiffusion
from ti_core.runs.plan import plan_run
from ti_core.settings import TrainSettings
from ti_core.settings.schedule import parse_schedule
from ti_core.training.distributed.ranks import Ranks
from ti_core.training.norms import norm_control
from ti_core.training.run import MemoryUse, Run, TrainState
from ti_core.training.setup import Prepared
from ti_core.training.update import check_moved, clip_gradient, copy_of, take_gradient, take_step
from ti_core.training.writer import Writer

VARIANTS = ("floor", "ours", "a1111", "diffusers")
RECIPE_PASSES, RECIPE_PREVIEWS = 6000, 15
"""The guide's recipe for 20 photos and their mirrored copies: 150 updates of 40 images (batch 2, 20 accumulated), a
preview and a copy every 10.
"""
PREVIEW_STEPS = {"ours": TrainSettings.defaults()["preview_steps"], "a1111": 20, "diffusers": 25}
"""Each program's own default. Ours has OUR_PROMPTS pictures in each, and the start beside those of the recipe; one
picture for the others, though diffusers paints four.
"""
OUR_PROMPTS = 2
NAME = "anna-01"
CAPTION = "smiling, long red hair, green shirt, a garden in the background"


# ---- the variants


@dataclass
class Bench:
    """`images` pictures a turn, `batch` together where the program itself decides nothing."""

    sd: StableDiffusion
    run: Run
    size_px: int
    batch: int
    images: int

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents, noise, timesteps, and SDXL's size conditioning."""
        device, side = self.sd.device, self.size_px // self.sd.latent_factor
        latents, noise = torch.randn(2, count, 4, side, side, device=device)
        return (
            latents,
            noise,
            torch.randint(0, 1000, (count,), device=device),
            torch.tensor([size_conditioning(self.size_px, self.size_px)] * count, device=device),
        )

    def prompts(self, count: int) -> list[str]:
        return [f"a photo of {NAME}, {CAPTION}, number {i}" for i in range(count)]

    # ---- each is one turn

    def floor(self) -> None:
        keep_all(self.sd.unet)
        at_once = min(self.images, self.run.memory.micro_batch(self.run.latents.mean[0]))
        with torch.no_grad():
            conditioning = PromptEncoder(self.sd).encode(self.prompts(at_once), {NAME: self.run.state.vectors})
        self.begin()
        for _ in range(self.images // at_once):
            x, noise, t, sizes = self.draw(at_once)
            loss = (self.sd.predict(x, t, conditioning.leaf(), sizes).float() - noise).square().mean()
            loss.backward()

    def ours(self) -> None:
        save_memory(self.sd.unet)
        self.begin()
        run, before = self.run, copy_of(self.run.state.vectors)
        step, rate = run.state.step + 1, 0.005
        loss, _ = take_gradient(run, step)
        clip_gradient(run, step)
        run.norms.turn_only(run.state.vectors)
        take_step(run, step, loss, rate)
        run.state.step = step
        check_moved(run, before, rate)

    def a1111(self) -> None:
        unet, encoder = self.sd.unet, PromptEncoder(self.sd)
        keep_all(unet)
        unet.enable_gradient_checkpointing()
        unet.requires_grad_(True)
        self.begin()
        for _ in range(self.images // self.batch):
            x, noise, t, sizes = self.draw(self.batch)
            with autocast(self.sd):
                conditioning = encoder.encode(self.prompts(self.batch), {NAME: self.run.state.vectors})
            loss = (self.sd.predict(x, t, conditioning, sizes).float() - noise).square().mean()
            (loss / (self.images // self.batch)).backward()
        self.run.state.optimizer.step()
        self.run.state.optimizer.zero_grad()
        unet.disable_gradient_checkpointing()
        unet.requires_grad_(False)
        for weight in unet.parameters():
            weight.grad = None

    def diffusers(self) -> None:
        sd, encoder = self.sd, PromptEncoder(self.sd)
        keep_all(sd.unet)
        tables = [e.get_input_embeddings().weight.requires_grad_(True) for e in sd.text_encoders]
        kept = [table.detach().clone() for table in tables]
        optimizer = torch.optim.AdamW(tables, lr=1e-4, weight_decay=1e-2)
        pixels = torch.zeros(self.batch, 3, self.size_px, self.size_px, device=sd.device)
        self.begin()
        for _ in range(self.images // self.batch):
            _, noise, t, sizes = self.draw(self.batch)
            x, _ = sd.encode(pixels)
            with autocast(sd):
                conditioning = encoder.encode(self.prompts(self.batch), {})
            loss = (sd.predict(x, t, conditioning, sizes).float() - noise).square().mean()
            (loss / (self.images // self.batch)).backward()
            with torch.no_grad():
                for table, before in zip(tables, kept, strict=True):
                    table[:-1] = before[:-1]
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for table, before in zip(tables, kept, strict=True):
                table.copy_(before)
                table.requires_grad_(False)

    def begin(self) -> None:
        """Everything before this belongs to switching between variants, and is not timed."""
        self.sd.vae.to(self.sd.device)
        _wait(self.sd.device)
        self.began = time.perf_counter()

    def time(self, variant: str) -> float:
        """Seconds of one image pass."""
        getattr(self, variant)()
        _wait(self.sd.device)
        return (time.perf_counter() - self.began) / self.images


def autocast(sd: StableDiffusion) -> torch.autocast:
    """Mixed precision, as other programs encode prompts with it, where the device has it."""
    dtype = sd.autocast_dtype
    return torch.autocast(sd.device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def prepare(sd: StableDiffusion, size_px: int, batch: int, updates: int) -> Bench:
    """A run in the state in which the loop finds it, with latents of noise and nothing on disk."""
    images, side = 2 * batch, size_px // sd.latent_factor
    embedding = Embedding(NAME, {name: torch.randn(2, width) * 0.01 for name, width in sd.widths.items()})
    plan = plan_run(images, batch, 2, updates)
    examples = [Example(Path(f"{i}.png"), f"{CAPTION}, number {i}") for i in range(images)]
    inputs = Prepared(
        embedding, examples, ["a photo of [name], [filewords]"], parse_schedule("0.005"), Path("."), plan, ".pt"
    )
    latents = Latents(*[[torch.randn(4, side, side, device=sd.device) for _ in range(images)] for _ in range(2)])
    latents.weight = [torch.ones(1, side, side, device=sd.device)] * images
    latents.sizes = [size_conditioning(size_px, size_px)] * images
    vectors = {name: rows.clone().requires_grad_(True) for name, rows in embedding.vectors.items()}
    optimizer = torch.optim.AdamW(list(vectors.values()), lr=0.005, weight_decay=0.0)
    settings = TrainSettings(embedding=NAME, tag_drop_out=0.1, shuffle_tags=True)
    nothing: Any = None
    fit = plan_fit(settings, device_state(sd.device), memory_facts(sd), size_px, size_px, images)
    run = Run(
        settings=settings,
        inputs=inputs,
        sd=sd,
        latents=latents,
        others=NamedIn(),
        state=TrainState(vectors, optimizer, average={}),
        norms=norm_control(settings.norm_control, sd),
        memory=MemoryUse(fit, fit.micro_batch * side * side),
        folder=nothing,
        log=lambda event: None,  # type: ignore[arg-type]
        writer=Writer(),
        ranks=Ranks(),
        stop=threading.Event(),
    )
    return Bench(sd, run, size_px, batch, images)


# ---- the parts


def time_steps(bench: Bench, repeats: int) -> dict[str, Any]:
    """Seconds an image pass of every variant, and the ratios, by turns."""
    bench.ours()  # the first pass of a process warms caches
    turns = [{variant: bench.time(variant) for variant in VARIANTS} for _ in range(repeats)]
    found: dict[str, Any] = {f"{variant}_s": statistics.median(turn[variant] for turn in turns) for variant in VARIANTS}
    for name, above, below in (
        ("step_over_floor", "ours", "floor"),
        ("a1111_over_ours", "a1111", "ours"),
        ("diffusers_over_ours", "diffusers", "ours"),
    ):
        ratios = [turn[above] / turn[below] for turn in turns]
        found |= {name: statistics.median(ratios), f"{name}_spread": [min(ratios), max(ratios)]}
    found["pass_in_cfg_iterations"] = found["ours_s"] / time_of(lambda: _forward(bench, 2), bench)
    return found


@torch.no_grad()
def _forward(bench: Bench, count: int) -> None:
    x, _, t, sizes = bench.draw(count)
    bench.sd.predict(x, t, PromptEncoder(bench.sd).encode(bench.prompts(count), {NAME: bench.run.state.vectors}), sizes)


def time_of(action: Callable[[], Any], bench: Bench, repeats: int = 2) -> float:
    seconds = []
    for _ in range(repeats):
        bench.begin()
        action()
        _wait(bench.sd.device)
        seconds.append(time.perf_counter() - bench.began)
    return min(seconds)


def time_previews(bench: Bench) -> dict[str, Any]:
    """A preview is so many steps of guidance and the decoding: both measured, the rest is multiplication."""
    vectors = {NAME: {name: rows.detach() for name, rows in bench.run.state.vectors.items()}}

    def paint(steps: int, pictures: int) -> float:
        request = SampleRequest(bench.prompts(1)[0], steps=steps, width=bench.size_px, height=bench.size_px)
        return time_of(lambda: sample_images(bench.sd, [request] * pictures, vectors), bench, 1)

    def parts(pictures: int) -> tuple[float, float]:
        """Seconds of a step, and of all else."""
        paint(1, pictures)
        one, four = paint(1, pictures), paint(4, pictures)
        step = max(0.0, (four - one) / 3)  # a tiny model on a busy machine may be quicker in four than in one
        return step, max(1e-9, one - step)

    alone, ours = parts(1), parts(OUR_PROMPTS)
    found: dict[str, Any] = {"preview_step_s": alone[0], "preview_rest_s": alone[1]}
    for program, steps in PREVIEW_STEPS.items():
        step, rest = ours if program == "ours" else alone
        found[f"{program}_preview_s"] = rest + steps * step
    with tempfile.TemporaryDirectory() as folder:
        found["snapshot_s"] = time_of(lambda: save_embedding(Path(folder) / "a.pt", bench.run.embedding()), bench)
    return found


def whole_recipe(found: dict[str, Any]) -> dict[str, Any]:
    """Composed, not run: passes, previews and copies of the recipe from the parts above."""
    whole = {
        program: (
            RECIPE_PASSES * found[f"{program}_s"]
            + RECIPE_PREVIEWS * (found[f"{program}_preview_s"] + found["snapshot_s"])
            + (program == "ours") * found["ours_preview_s"]  # the start
        )
        for program in PREVIEW_STEPS
    }
    ratios = {
        f"recipe_{program}_over_ours": seconds / whole["ours"]
        for program, seconds in whole.items()
        if program != "ours"
    }
    return {
        **ratios,
        "recipe_s": whole["ours"],
        "previews_share": (RECIPE_PREVIEWS + 1) * found["ours_preview_s"] / whole["ours"],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="sd1", choices=list(FAMILIES))
    parser.add_argument(
        "--size",
        type=int,
        default=0,
        metavar="PX",
        help="picture size (default: the family's own on a GPU, 256 on a CPU)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=2,
        metavar="N",
        help="images together in the variants that do not choose it; two such batches a turn",
    )
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument(
        "--parts", nargs="+", default=["steps", "previews", "page"], choices=["steps", "previews", "page"]
    )
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="a few channels instead of the real width: tests the bench, measures nothing",
    )
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser


def main() -> None:
    args = _parser().parse_args()
    found: dict[str, Any] = {}
    if {"steps", "previews"} & set(args.parts):
        torch.manual_seed(0)
        sd = random_checkpoint(args.family, args.tiny)
        size_px = args.size or (SIZES_PX[args.family] if sd.device.type == "cuda" else 256)
        bench = prepare(sd, size_px, args.batch, args.repeats + 9)
        found |= {
            "device": (
                torch.cuda.get_device_name() if sd.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
            ),
            "family": args.family,
        }
        found |= {
            "size_px": size_px,
            "batch": args.batch,
            "precision": str(sd.autocast_dtype or torch.float32).removeprefix("torch."),
        }
        if "steps" in args.parts:
            found |= time_steps(bench, args.repeats)
        if "previews" in args.parts:
            found |= time_previews(bench)
        if {"steps", "previews"} <= set(args.parts):
            found |= whole_recipe(found)
        peak = (
            torch.cuda.max_memory_allocated()
            if sd.device.type == "cuda"
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        )
        found["peak_mib_of_all_variants"] = peak / 2**20
    if "page" in args.parts:
        from bench.page_times import time_page  # needs a browser's package

        found |= time_page()
    for name, value in found.items():
        print(f"{name:<32}{f'{value:.3f}' if isinstance(value, float) else value}")
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
