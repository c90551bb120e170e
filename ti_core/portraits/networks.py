"""The networks of the Portraits model, and how each goes on from the weights of another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ti_core.portraits.pictures import SIZE_PX, SLOT
from ti_core.portraits.tokenizer import MAX_LENGTH
from ti_core.portraits.world import ATTRIBUTES, BY_NAME, IDENTITY, PET_VALUES, Person, known_people

TEXT_WIDTH = 192
LATENT_PX = SIZE_PX // 4
ROW_NORM = 0.33
"""The length of a name's row, that of the vocabulary's other words."""
HEADS = (
    {a.name: len(a.values) for a in ATTRIBUTES}
    | {name: len(values) for name, values in PET_VALUES.items()}
    | {"kind": 2}
)
"""What the text encoder is taught to tell of a caption, with the number of values; kind is person or dog."""


def new_autoencoder() -> AutoencoderKL:
    """Four times smaller along each side, 4 latent channels."""
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
    """Four levels, of 32x32 to 4x4 latents; the inner two attend to the words."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_PX,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(64, 64, 128, 224),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=(2, 2, 4, 7),
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


def start_unet(unet: UNet2DConditionModel, folder: Path) -> None:
    """Take over what fits of the UNet in `folder`."""
    _take_over(unet, UNet2DConditionModel.from_pretrained(folder / "unet").float().state_dict())


def start_text_encoder(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Take over the layers of the text encoder in `folder`, and the rows of the tokens that both vocabularies have."""
    before, known = (
        CLIPTextModel.from_pretrained(folder / "text_encoder").float(),
        CLIPTokenizer.from_pretrained(folder / "tokenizer").get_vocab(),
    )
    _take_over(encoder, before.state_dict())
    rows, old_rows = encoder.get_input_embeddings().weight, before.get_input_embeddings().weight
    with torch.no_grad():
        for token, i in tokenizer.get_vocab().items():
            if token in known:
                rows[i] = old_rows[known[token]]


def _take_over(model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Copy each parameter whose namesake has the same shape; the others stay as they were drawn."""
    state = model.state_dict()
    for key, value in state.items():
        if key in before and before[key].shape == value.shape:
            value.copy_(before[key])
    model.load_state_dict(state)


class NameRows(nn.Module):
    """The token rows of names: the sum of one learned vector for each thing that is true of the person, and some
    noise of its own.

    So what one name teaches helps all of them, and there may be as many as one likes: a new one is one row more.
    """

    offsets: Tensor

    def __init__(self) -> None:
        super().__init__()
        sizes = [len(BY_NAME[name].values) for name in IDENTITY]
        self.values = nn.Parameter(torch.randn(sum(sizes), TEXT_WIDTH) * 0.02)
        self.measures = nn.Parameter(torch.randn(2, TEXT_WIDTH) * 0.005)
        self.register_buffer("offsets", torch.tensor([sum(sizes[:i]) for i in range(len(sizes))]), persistent=False)

    def forward(self, people: Sequence[Person], own: Tensor) -> Tensor:
        """Rows [n, 192] of length ROW_NORM; `own` is standard normal noise [n, 192], the same for the same name."""
        device = self.values.device
        found = torch.tensor(
            [[BY_NAME[name].values.index(getattr(p, name)) for name in IDENTITY] for p in people], device=device
        )
        sums = self.values[found + self.offsets].sum(1) + measures_of(people).to(device) @ self.measures
        return ROW_NORM * F.normalize(
            sums + own.to(device) * 0.2 * sums.detach().norm(dim=1, keepdim=True) / TEXT_WIDTH**0.5, dim=1
        )


def measures_of(people: Sequence[Person]) -> Tensor:
    """The two measures of a face that no word tells, about unit size; float32 [n, 2]"""
    return torch.tensor([[(p.eye_gap - 1) / 0.05, (p.jaw - 1) / 0.04] for p in people])


class CaptionReader(nn.Module):
    """The text encoder, the rows of names, and linear heads that must read off the output what the caption says."""

    encoder: CLIPTextModel

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.encoder = new_text_encoder(tokenizer)
        self.names = NameRows()
        self.heads = nn.ModuleDict({name: nn.Linear(TEXT_WIDTH, size) for name, size in HEADS.items()})
        self.measure_head = nn.Linear(TEXT_WIDTH, 2)
        self.slot_id = int(tokenizer(SLOT).input_ids[1])
        self._rows: Tensor | None = None
        self._ids: Tensor | None = None
        self.encoder.get_input_embeddings().register_forward_hook(self._put_rows)

    def _put_rows(self, module: nn.Module, inputs: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        if self._rows is None or self._ids is None:
            return embedded
        named = self._ids == self.slot_id
        return torch.where(named[..., None], self._rows.to(embedded.dtype)[:, None], embedded)

    def read(self, ids: Tensor, people: Sequence[Person | None], own: Tensor) -> Tensor:
        """Hidden states [n, length, 192]. Where a caption holds SLOT, it means that person."""
        stand_in = next((p for p in people if p is not None), None)
        if stand_in is None:
            return self.encoder(ids)[0]
        self._ids, self._rows = ids, self.names([p or stand_in for p in people], own)
        try:
            return self.encoder(ids)[0]
        finally:
            self._ids = self._rows = None

    def forward(self, ids: Tensor, people: Sequence[Person | None], own: Tensor, truth: Mapping[str, Tensor]) -> Tensor:
        """Mean cross entropy over what captions may say; `truth` int64 [n] each, -1 where nothing is said.

        Read at the first end token and at a random one of the padding after it: causal attention lets each of these see
        the whole caption, and the UNet attends to all of them.
        """
        hidden = self.read(ids, people, own)
        rows = torch.arange(len(ids), device=ids.device)
        end = (ids == self.encoder.config.eos_token_id).int().argmax(1)
        later = end + (torch.rand(len(ids), device=ids.device) * (ids.shape[1] - end)).long()
        summary = hidden[rows, end] + hidden[rows, later]
        losses = []
        for name, target in truth.items():
            wrong = F.cross_entropy(self.heads[name](summary).float(), target, ignore_index=-1, reduction="sum")
            losses.append(wrong / (target >= 0).sum().clamp(min=1))
        named = torch.tensor([p is not None for p in people], device=ids.device)
        if named.any():
            known = measures_of([p for p in people if p is not None]).to(ids.device)
            losses.append(0.5 * F.mse_loss(self.measure_head(summary[named]).float(), known))
        return torch.stack(losses).mean()

    @torch.no_grad()
    def with_known_names(self, tokenizer: CLIPTokenizer) -> CLIPTextModel:
        """The text encoder alone, with a row for each known person's name."""
        encoder = new_text_encoder(tokenizer)
        encoder.load_state_dict(self.encoder.state_dict())
        people = known_people()
        ids = torch.tensor([tokenizer(name).input_ids[1] for name in people])
        own = torch.randn(len(people), TEXT_WIDTH, generator=torch.Generator().manual_seed(99))
        encoder.get_input_embeddings().weight[ids] = self.names(list(people.values()), own).cpu()
        return encoder.eval().requires_grad_(False)


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
        return 0.5 * F.l1_loss(copy, images) + 3 * F.mse_loss(copy, images) + 0.3 * (down + across) + 1e-4 * kl


def as_pipeline(
    tokenizer: CLIPTokenizer, encoder: CLIPTextModel, vae: AutoencoderKL, unet: UNet2DConditionModel
) -> StableDiffusionPipeline:
    """An ordinary diffusers pipeline of them, without copying anything."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=new_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
