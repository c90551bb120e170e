"""Trains the Portraits model: text encoder on text alone, autoencoder, UNet, one after the other and then
the UNet without end.

    OMP_NUM_THREADS=1 nice -n 19 python -m ti_core.portraits.train_model --folder build/portraits --minutes 600
    python -m ti_core.portraits.train_model --folder build/portraits --minutes 9 --last      (one GPU, if there
    is one)

It may be stopped at any moment and given again: each stage keeps its state in the folder every three minutes. Every
15 minutes, and when it ends, it writes a sheet of samples and the model as it stands (`<folder>/pipeline`, averaged
weights, an ordinary diffusers folder in fp16), which `bench/portraits.py --checkpoint` reads and `--start` goes on from
elsewhere.
"""

from __future__ import annotations

import argparse
import copy
import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTokenizer

from ti_core.portraits.gallery import Gallery, Painter, to_pixels
from ti_core.portraits.networks import (
    HEADS,
    TEXT_WIDTH,
    CaptionReader,
    PictureCopier,
    as_pipeline,
    new_autoencoder,
    new_schedule,
    new_unet,
    start_text_encoder,
    start_unet,
)
from ti_core.portraits.pictures import Picture, PictureBook
from ti_core.portraits.stage import Clock, OutOfTime, Stage, Training
from ti_core.portraits.tokenizer import MAX_LENGTH, build_tokenizer
from ti_core.portraits.world import ATTRIBUTES, PET_VALUES, Person, Pet, caption, draw_scene, known_people, labels

EMPTY_CAPTION_SHARE = 0.1
MIN_SNR_GAMMA = 5.0
"""Hang et al. 2023, 'Efficient Diffusion Training via Min-SNR Weighting Strategy', eq. 7."""
FIRST_PICTURES = 1_000
PICTURES_PER_EXAMPLE = 1 / 8
"""The gallery begins with so many pictures and grows with the examples that the UNet has seen."""
SHEET_EVERY_S = 900
DESCRIBED_INSTEAD = 0.6
"""So many of the people with a name are described all the same: by name the model shows them sooner than in words."""
SMALL_MARKS = ("beard", "freckles", "mole")
"""Few pixels, so the loss says little of them: of two pictures drawn, the one with more of these is looked at."""
UNSEEN = 10**9
"""Pictures from this number on are never trained on."""


class Trainer:
    """The stages in order, in one folder."""

    def __init__(self, folder: Path, start: Path, clock: Clock, seed: int) -> None:
        self.folder, self.start, self.clock, self.seed = folder, start, clock, seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device.type == "cuda"
        self.book = PictureBook(seed)
        self.painter = Painter(self.book, max(1, (os.cpu_count() or 2) - 1) if self.on_gpu else 1)
        self._sheet_at = time.monotonic()

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.folder / "tokenizer"
        return (
            CLIPTokenizer.from_pretrained(folder)
            if (folder / "tokenizer_config.json").exists()
            else build_tokenizer(folder)
        )

    def token_ids(self, texts: list[str], length: int = MAX_LENGTH) -> Tensor:
        encoded = self.words(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
        return encoded.input_ids.to(self.device)

    def train(self) -> None:
        """All stages; ends with OutOfTime."""
        self.words = self.tokenizer()
        self.reader = self.train_text_encoder(Stage("text", 24_000, 256 if self.on_gpu else 48, 1e-3, 0.99))
        self.vae = self.train_autoencoder(
            Stage("autoencoder", 400_000 if self.on_gpu else 60_000, 64 if self.on_gpu else 16, 1e-3, 0.99)
        )
        self.encoder = self.reader.with_known_names(self.words)
        self.gallery = Gallery(self.folder, self.painter, self.vae)
        self.train_unet(Stage("unet", None, 256 if self.on_gpu else 24, 1e-3 if self.on_gpu else 6e-4, 0.999))

    def train_text_encoder(self, stage: Stage) -> CaptionReader:
        """On text alone: linear heads must read off its output what the caption, or the name, says."""
        reader = CaptionReader(self.words)
        start_text_encoder(reader.encoder, self.words, self.start)
        training = Training(stage, reader, self.folder, self.device)

        def loss_of(model: nn.Module, step: int) -> Tensor:
            rng = random.Random(f"{self.seed} text {step}")
            texts, people, truths = [], [], []
            for _ in range(stage.batch):
                picture = self.book[rng.randrange(UNSEEN)]
                said = picture.caption(rng)
                texts.append(said.text)
                people.append(named(picture))
                truths.append(truth_of(picture, said.says))
            truth = {name: torch.tensor([t[name] for t in truths], device=self.device) for name in HEADS}
            own = torch.randn(stage.batch, TEXT_WIDTH, generator=torch.Generator().manual_seed(rng.randrange(2**40)))
            return model(self.token_ids(texts, MAX_LENGTH if step % 3 == 0 else 58), people, own, truth)

        training.run(loss_of, self.clock)
        return training.averaged(CaptionReader(self.words))

    def train_autoencoder(self, stage: Stage) -> AutoencoderKL:
        """On crops of half the size, which cost a quarter, and on whole pictures in every fourth step."""
        copier = PictureCopier(new_autoencoder())
        copier.vae.load_state_dict(AutoencoderKL.from_pretrained(self.start / "vae").float().state_dict())
        training = Training(stage, copier, self.folder, self.device)

        def loss_of(model: nn.Module, step: int) -> Tensor:
            rng, whole = np.random.default_rng((self.seed, step)), step % 8 == 7
            pixels = to_pixels(self.painter.draw(int(rng.integers(UNSEEN)), max(1, stage.batch // 4)))
            if not whole:
                corners = rng.integers(0, 65, (stage.batch, 2))
                pixels = torch.stack([pixels[i // 4, :, y : y + 64, x : x + 64] for i, (y, x) in enumerate(corners)])
            return model(pixels.to(self.device))

        training.run(loss_of, self.clock, self._psnr)
        vae = training.averaged(PictureCopier(new_autoencoder())).vae
        latents = vae.encode(to_pixels(self.painter.draw(UNSEEN, 256)).to(self.device)).latent_dist.mean
        vae.register_to_config(scaling_factor=float(1 / latents.float().std()))
        return vae

    @torch.no_grad()
    def _psnr(self, training: Training) -> None:
        """Says every 250 steps how well unseen pictures are copied by the averaged weights."""
        if training.steps % 250 and not training.done:
            return
        vae = training.averaged(PictureCopier(new_autoencoder())).vae
        pixels = to_pixels(self.painter.draw(UNSEEN, 48)).to(self.device)
        copies = torch.cat(
            [vae.decode(vae.encode(part).latent_dist.mean).sample.clamp(-1, 1) for part in pixels.split(8)]
        )
        errors = ((copies - pixels) / 2).square().mean((1, 2, 3))
        print(
            f"{time.strftime('%H:%M:%S')} autoencoder {training.seen}: {(-10 * errors.log10()).mean():.2f} dB on unseen"
            " pictures",
            flush=True,
        )

    def train_unet(self, stage: Stage) -> None:
        """Noise prediction with min-SNR weights and timesteps spread evenly over the batch; the text encoder stays
        frozen.
        """
        unet = new_unet()
        start_unet(unet, self.start)
        training = Training(stage, unet, self.folder, self.device)
        alphas_cumprod, schedule = new_schedule().alphas_cumprod.to(self.device), new_schedule()

        def loss_of(model: nn.Module, step: int) -> Tensor:
            self.gallery.grow(FIRST_PICTURES + int(training.seen * PICTURES_PER_EXAMPLE) // 512 * 512)
            rng = random.Random(f"{self.seed} unet {step}")
            generator = torch.Generator().manual_seed(rng.randrange(2**40))
            pictures = [self.picture(rng, step) for _ in range(stage.batch)]
            numbers = np.array([picture.number for picture in pictures])
            clean = self.gallery[numbers].to(self.device) * self.vae.config.scaling_factor
            noise = torch.randn(clean.shape, generator=generator).to(self.device)
            spread = (
                torch.randperm(stage.batch, generator=generator) + torch.rand(stage.batch, generator=generator)
            ) / stage.batch
            timesteps = (spread * 1000).long().clamp(max=999).to(self.device)
            with torch.no_grad():
                words = self.conditioning(pictures, rng, generator)
            noisy = schedule.add_noise(clean, noise, timesteps).contiguous(memory_format=torch.channels_last)
            predicted = model(noisy, timesteps, words, return_dict=False)[0]
            snr = alphas_cumprod[timesteps] / (1 - alphas_cumprod[timesteps])
            error = (predicted.float() - noise).square().mean((1, 2, 3))
            return (error * snr.clamp(max=MIN_SNR_GAMMA) / snr).mean()

        try:
            training.run(loss_of, self.clock, self._sheet)
        except OutOfTime:
            self._write(training)
            raise

    def picture(self, rng: random.Random, step: int) -> Picture:
        """One of the gallery's. In every second step any, in the others the one of two with more small marks."""
        drawn = [self.book[rng.randrange(self.gallery.count)] for _ in range(1 + step % 2)]
        picture = max(drawn, key=lambda p: sum(getattr(p.sitter, mark, "none") != "none" for mark in SMALL_MARKS))
        return replace(picture, named=picture.named and rng.random() >= DESCRIBED_INSTEAD)

    def conditioning(self, pictures: list[Picture], rng: random.Random, generator: torch.Generator) -> Tensor:
        """Hidden states [n, 77, 192] of a caption for each picture, one in ten empty."""
        texts = ["" if rng.random() < EMPTY_CAPTION_SHARE else picture.caption(rng).text for picture in pictures]
        own = torch.randn(len(pictures), TEXT_WIDTH, generator=generator)
        return self.reader.read(self.token_ids(texts), [named(picture) for picture in pictures], own)

    def _sheet(self, training: Training) -> None:
        """Every 15 minutes: the model as it stands, and 40 pictures by it."""
        if time.monotonic() - self._sheet_at < SHEET_EVERY_S:
            return
        self._sheet_at = time.monotonic()
        self._write(training)

    def _write(self, training: Training) -> None:
        unet = training.averaged(new_unet())
        pipeline = as_pipeline(self.words, self.encoder, self.vae, unet)
        if training.seen:
            save_pipeline(pipeline, self.folder / "pipeline")
        paint_sheet(pipeline, self.folder / f"sheet-{training.seen:08d}.png")
        unet.to("cpu")


def named(picture: Picture) -> Person | None:
    """The person whom the picture's captions call by name."""
    return picture.sitter if picture.named and isinstance(picture.sitter, Person) else None


def truth_of(picture: Picture, says: frozenset[str]) -> dict[str, int]:
    """What the text encoder should tell of a caption: the index of each value, -1 where it is not said."""
    truth = dict.fromkeys(HEADS, -1)
    if isinstance(picture.sitter, Pet):
        truth |= {name: values.index(getattr(picture.sitter, name)) for name, values in PET_VALUES.items()}
        scene = {a.name: a.values.index(getattr(picture.scene, a.name)) for a in ATTRIBUTES if a.name in says}
        return truth | scene | {"kind": 1}
    found = labels(picture.sitter, picture.scene)
    return truth | {name: found[name] for name in says} | {"kind": 0}


def sheet_prompts() -> list[str]:
    """Known names, people in words, sketches, and a dog: always the same."""
    rng, known = random.Random(5), known_people()
    names = list(known)[::90][:20]
    prompts = [caption(known[name], draw_scene(rng, "photo"), rng, name).text for name in names]
    for style in ("photo", "photo", "photo", "sketch", "neon", "painting", "comic", "watercolor"):
        prompts += [caption(known[name], draw_scene(rng, style), rng).text for name in rng.sample(names, 2)]
    return [*prompts, *(f"a photo of a {coat} dog, floppy ears, teal background" for coat in PET_VALUES["coat"][:4])]


@torch.no_grad()
def paint_sheet(pipeline, file: Path) -> None:  # type: ignore[no-untyped-def]
    """The sheet's prompts painted, 10 a row."""
    prompts = sheet_prompts()
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config, use_karras_sigmas=True)
    pictures = []
    with torch.autocast(pipeline.device.type, torch.bfloat16):
        for start in range(0, len(prompts), 10):
            generators = [torch.Generator().manual_seed(start + i) for i in range(len(prompts[start : start + 10]))]
            pictures += pipeline(
                prompts[start : start + 10], num_inference_steps=20, guidance_scale=5.0, generator=generators
            ).images
    side = pictures[0].width
    sheet = Image.new("RGB", (10 * side, -(-len(pictures) // 10) * side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % 10 * side, i // 10 * side))
    sheet.save(file)


def save_pipeline(pipeline, folder: Path) -> None:  # type: ignore[no-untyped-def]
    """As an ordinary diffusers folder in fp16; the folder that was there stays until the new one is whole."""
    half, part = copy.deepcopy(pipeline), folder.with_name(folder.name + ".part")
    half.unet.to(memory_format=torch.contiguous_format)
    half.to("cpu", dtype=torch.float16).save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/portraits"),
        help="states, latents, sheets and the model (default: %(default)s)",
    )
    parser.add_argument(
        "--start", type=Path, default=Path("assets/portraits"), help="the model to go on from (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="stop after so many; what is done is kept (default: %(default)s)"
    )
    parser.add_argument(
        "--last", action="store_true", help="let the UNet's rate fall to zero over the last third of the minutes"
    )
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    (args.folder / "pid").write_text(f"{os.getpid()}\n")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    torch.manual_seed(args.seed)
    clock = Clock.of(args.minutes, args.last)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.stop())
    try:
        Trainer(args.folder, args.start, clock, args.seed).train()
    except OutOfTime:
        print("Stopped; the next command goes on from here.", flush=True)


if __name__ == "__main__":
    main()
