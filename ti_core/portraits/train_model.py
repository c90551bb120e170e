"""Trains the embedded Portraits model from nothing: pictures, tokenizer, text encoder, autoencoder, UNet.

    python -m ti_core.portraits.train_model --work build/portraits --out assets/portraits python -m
    torch.distributed.run --nproc-per-node 2 -m ti_core.portraits.train_model ...     (two CPU processes, or GPUs)

Every stage keeps its state in the work folder and continues from it, so the command may be stopped and repeated.
docs/portraits.md says what was reached with which figures.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ti_core.portraits.pictures import SIZE_PX, PictureBook, open_pixels, render_missing
from ti_core.portraits.tokenizer import MAX_LENGTH, build_tokenizer
from ti_core.portraits.world import ATTRIBUTES, labels

Network = TypeVar("Network", bound=nn.Module)
TEXT_WIDTH = 192
LATENT_PX = SIZE_PX // 4
EMPTY_CAPTION_SHARE = 0.1
EMA_EVERY = 4
MIN_SNR_GAMMA = 5.0
"""Hang et al. 2023, 'Efficient Diffusion Training via Min-SNR Weighting Strategy', eq. 7."""


@dataclass(frozen=True)
class Stage:
    """How long and how fast one network is trained. The rate warms up, stays, and falls to zero over the last
    `decay` part.
    """

    steps: int
    batch: int
    rate: float
    ema: float
    decay: float = 0.5
    warmup: int = 50

    def rate_at(self, step: int) -> float:
        left = (self.steps - step) / max(1, self.steps * self.decay)
        fall = 1.0 if left >= 1 else 0.5 * (1 - math.cos(math.pi * max(0.0, left)))
        return self.rate * min(1.0, (step + 1) / self.warmup) * fall


def train_stage(
    accelerator: Accelerator,
    name: str,
    model: nn.Module,
    stage: Stage,
    loss_of: Callable[[nn.Module, int], Tensor],
    work: Path,
) -> nn.Module:
    """Train `model` and return it with its averaged (EMA) weights. Continues from `<work>/<name>.pt`.

    `loss_of(model, step)` draws its own batch; the batch is per process.
    """
    state_file = work / f"{name}.pt"
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), stage.rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    first = 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location="cpu")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, first = state["average"], state["step"]
    prepared, optimizer = accelerator.prepare(model, optimizer)
    average = {k: v.to(accelerator.device) for k, v in average.items()}
    saved, started, mean = time.monotonic(), time.monotonic(), math.nan
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate_at(step)
        with accelerator.autocast():
            loss = loss_of(prepared, step)
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
        optimizer.step()
        if step % EMA_EVERY == 0:
            keep = min(stage.ema**EMA_EVERY, (step + 1) / (step + 10))
            with torch.no_grad():
                for key, value in model.state_dict().items():
                    average[key].lerp_(value, 1 - keep) if value.is_floating_point() else average[key].copy_(value)
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        done = step + 1
        if accelerator.is_main_process and (done % 50 == 0 or done == stage.steps):
            pace = (time.monotonic() - started) / (done - first)
            print(
                f"{name} {done}/{stage.steps} loss {mean:.4f}  {pace:.2f} s/step  left"
                f" {(stage.steps - done) * pace / 60:.0f} min",
                flush=True,
            )
        if accelerator.is_main_process and (time.monotonic() - saved > 180 or done == stage.steps):
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": done}
            torch.save(state, state_file.with_suffix(".part"))
            os.replace(state_file.with_suffix(".part"), state_file)
            saved = time.monotonic()
    accelerator.wait_for_everyone()
    model = accelerator.unwrap_model(prepared)
    model.load_state_dict(average)
    return model.eval().requires_grad_(False)


def new_autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        3,
        3,
        ("DownEncoderBlock2D",) * 3,
        ("UpDecoderBlock2D",) * 3,
        (24, 48, 96),
        1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE_PX,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=6,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def new_unet() -> UNet2DConditionModel:
    """No attention at the largest size: a quarter faster, and what captions say is about places larger than a
    latent.
    """
    unet = UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 128, 224),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 4, 7),
        norm_num_groups=16,
    )
    return unet.to(memory_format=torch.channels_last)


def new_schedule() -> DDPMScheduler:
    """Stable Diffusion 1's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        clip_sample=False,
        steps_offset=1,
    )


class CaptionReader(nn.Module):
    """The text encoder with linear heads that must read off its output what the caption says."""

    encoder: CLIPTextModel

    def __init__(self, encoder: CLIPTextModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleDict({a.name: nn.Linear(TEXT_WIDTH, len(a.values)) for a in ATTRIBUTES})

    def forward(self, ids: Tensor, truth: Tensor) -> Tensor:
        """Mean cross entropy over the attributes; `ids` [n, 77], `truth` [n, attributes] with -1 where nothing is said.

        Read at the first end token and at a random one of the padding after it: causal attention lets each of these see
        the whole caption, and the UNet attends to all of them.
        """
        hidden = self.encoder(ids)[0]
        rows = torch.arange(len(ids), device=ids.device)
        end = (ids == self.encoder.config.eos_token_id).int().argmax(1)
        later = end + (torch.rand(len(ids), device=ids.device) * (ids.shape[1] - end)).long()
        summary = hidden[rows, end] + hidden[rows, later]
        losses = []
        for i, attribute in enumerate(ATTRIBUTES):
            wrong = F.cross_entropy(
                self.heads[attribute.name](summary).float(), truth[:, i], ignore_index=-1, reduction="sum"
            )
            losses.append(wrong / (truth[:, i] >= 0).sum().clamp(min=1))
        return torch.stack(losses).mean()


class PictureCopier(nn.Module):
    """The autoencoder with its loss: absolute and squared error, that of the slopes (sharp edges), and a trace of
    KL.
    """

    vae: AutoencoderKL

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor) -> Tensor:
        posterior = self.vae.encode(images).latent_dist
        copy = self.vae.decode(posterior.sample()).sample.float()
        down = F.l1_loss(copy.diff(dim=-2), images.diff(dim=-2))
        across = F.l1_loss(copy.diff(dim=-1), images.diff(dim=-1))
        kl = posterior.kl().float().mean() / posterior.mean[0].numel()
        return 0.5 * F.l1_loss(copy, images) + 2 * F.mse_loss(copy, images) + 0.3 * (down + across) + 1e-4 * kl


class Trainer:
    """The stages in order, over one book of pictures."""

    def __init__(self, accelerator: Accelerator, work: Path, pictures: int, seed: int) -> None:
        self.accelerator, self.work, self.count, self.seed = accelerator, work, pictures, seed
        self.book = PictureBook(seed)
        self.pixels = open_pixels(work / "pixels.u8", pictures)

    def numbers(self, step: int, batch: int) -> np.ndarray:
        """Which pictures this process sees at this step."""
        rng = np.random.default_rng((self.seed, step, self.accelerator.process_index))
        return np.sort(rng.integers(0, self.count, batch))

    def images(self, numbers: np.ndarray) -> Tensor:
        """float32 [n, 3, 64, 64] in [-1, 1]"""
        pixels = torch.from_numpy(np.asarray(self.pixels[numbers])).to(self.accelerator.device)
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1

    def draw_pictures(self) -> None:
        a = self.accelerator
        made = render_missing(self.book, self.pixels, range(a.process_index, self.count, a.num_processes))
        print(f"process {a.process_index}: {made} pictures drawn", flush=True)
        a.wait_for_everyone()

    def tokenizer(self) -> CLIPTokenizer:
        folder = self.work / "tokenizer"
        if self.accelerator.is_main_process and not (folder / "tokenizer_config.json").exists():
            build_tokenizer(self.book, folder)
        self.accelerator.wait_for_everyone()
        return CLIPTokenizer.from_pretrained(folder)

    def token_ids(self, tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
        encoded = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        return encoded.input_ids.to(self.accelerator.device)

    def train_text_encoder(self, tokenizer: CLIPTokenizer, stage: Stage) -> CLIPTextModel:
        """On text alone: linear heads must read off its output what the caption (or the known name) says."""

        def loss_of(model: nn.Module, step: int) -> Tensor:
            rng = random.Random(f"{self.seed} text {step} {self.accelerator.process_index}")
            texts, targets = [], []
            for _ in range(stage.batch):
                picture = self.book[rng.randrange(10**9)]
                said = picture.caption(rng)
                texts.append(said.text)
                truth = labels(picture.person, picture.scene)
                targets.append([truth[a.name] if a.name in said.says else -1 for a in ATTRIBUTES])
            return model(self.token_ids(tokenizer, texts), torch.tensor(targets, device=self.accelerator.device))

        reader = train_stage(
            self.accelerator, "text_encoder", CaptionReader(new_text_encoder(tokenizer)), stage, loss_of, self.work
        )
        return reader.encoder

    def train_autoencoder(self, stage: Stage) -> AutoencoderKL:
        def loss_of(model: nn.Module, step: int) -> Tensor:
            return model(self.images(self.numbers(step, stage.batch)))

        copier = train_stage(
            self.accelerator, "autoencoder", PictureCopier(new_autoencoder()), stage, loss_of, self.work
        )
        vae: AutoencoderKL = copier.vae
        latents = self.encode_all(vae)
        vae.register_to_config(scaling_factor=float(1 / latents[:4096].float().std()))
        return vae

    def encode_all(self, vae: AutoencoderKL) -> Tensor:
        """float16 [pictures, 4, 16, 16]: posterior means, not scaled; kept in the work folder, made by all
        processes together.
        """
        a, file, done = self.accelerator, self.work / "latents.f16", self.work / "latents.done"
        shape = (self.count, 4, LATENT_PX, LATENT_PX)
        if not done.exists():
            if a.is_main_process:
                file.write_bytes(b"")
                os.truncate(file, int(np.prod(shape)) * 2)
            a.wait_for_everyone()
            latents = np.memmap(file, np.float16, "r+", shape=shape)
            for start in range(64 * a.process_index, self.count, 64 * a.num_processes):
                numbers = np.arange(start, min(start + 64, self.count))
                with torch.no_grad(), a.autocast():
                    latents[numbers] = vae.encode(self.images(numbers)).latent_dist.mean.half().cpu().numpy()
            latents.flush()
            a.wait_for_everyone()
            done.touch()
        return torch.from_numpy(np.fromfile(file, np.float16).reshape(shape))

    def train_unet(
        self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, vae: AutoencoderKL, stage: Stage
    ) -> UNet2DConditionModel:
        """Noise prediction with min-SNR weights and timesteps spread evenly over the batch; the text encoder stays
        frozen.
        """
        device = self.accelerator.device
        latents = self.encode_all(vae).float() * vae.config.scaling_factor
        encoder, schedule = encoder.to(device), new_schedule()
        signal = schedule.alphas_cumprod.to(device)

        def loss_of(model: nn.Module, step: int) -> Tensor:
            numbers = self.numbers(step, stage.batch)
            rng = random.Random(f"{self.seed} unet {step} {self.accelerator.process_index}")
            generator = torch.Generator().manual_seed(rng.randrange(2**40))
            texts = ["" if rng.random() < EMPTY_CAPTION_SHARE else self.book[int(n)].caption(rng).text for n in numbers]
            clean = latents[torch.from_numpy(numbers)].to(device)
            noise = torch.randn(clean.shape, generator=generator).to(device)
            spread = (
                torch.randperm(stage.batch, generator=generator) + torch.rand(stage.batch, generator=generator)
            ) / stage.batch
            timesteps = (spread * 1000).long().clamp(max=999).to(device)
            with torch.no_grad():
                words = encoder(self.token_ids(tokenizer, texts))[0]
            predicted = model(schedule.add_noise(clean, noise, timesteps), timesteps, words, return_dict=False)[0]
            snr = signal[timesteps] / (1 - signal[timesteps])
            error = (predicted.float() - noise).square().mean((1, 2, 3))
            return (error * snr.clamp(max=MIN_SNR_GAMMA) / snr).mean()

        return train_stage(self.accelerator, "unet", new_unet(), stage, loss_of, self.work)


def save_pipeline(
    out: Path, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, vae: AutoencoderKL, unet: UNet2DConditionModel
) -> None:
    """Write an ordinary diffusers folder with fp16 weights."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    unet.to(memory_format=torch.contiguous_format)
    pipeline.to(dtype=torch.float16).save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/portraits"))
    parser.add_argument("--out", type=Path, default=Path("assets/portraits"))
    parser.add_argument("--pictures", type=int, default=48_000)
    parser.add_argument("--text-steps", type=int, default=400)
    parser.add_argument("--autoencoder-steps", type=int, default=1_700)
    parser.add_argument("--unet-steps", type=int, default=3_000)
    parser.add_argument("--unet-batch", type=int, default=28, help="pictures per process and step")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision="bf16")
    torch.manual_seed(args.seed)
    trainer = Trainer(accelerator, args.work, args.pictures, args.seed)
    trainer.draw_pictures()
    tokenizer = trainer.tokenizer()
    encoder = trainer.train_text_encoder(tokenizer, Stage(args.text_steps, batch=64, rate=1.5e-3, ema=0.99))
    vae = trainer.train_autoencoder(Stage(args.autoencoder_steps, batch=8, rate=2e-3, ema=0.995))
    unet = trainer.train_unet(tokenizer, encoder, vae, Stage(args.unet_steps, args.unet_batch, rate=1e-3, ema=0.998))
    if accelerator.is_main_process:
        save_pipeline(args.out, tokenizer, encoder, vae, unet)
        print(f"saved {args.out}")


if __name__ == "__main__":
    main()
