"""Counts what a training pass, the autoencoder and the text encoders need in memory, without a GPU and without
weights.

    python bench/memory.py [--families sd1 sdxl] [--sizes 512 768 1024] [--batches 1 2 4] [--json]

The real architectures run on fake tensors, which have sizes and no content. `kept` is what autograd holds for the
backward pass to the conditioning, each storage once and without weights; `peak` is the most that was alive at one
time in forward and backward. Both leave out what only a GPU knows: the allocator's rounding, work space of single
kernels, CUDA's own few hundred MiB.
"""

from __future__ import annotations

import argparse
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

if not __package__:  # started as a file: find ti_core all the same
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextConfig, PreTrainedModel

from ti_core.models.families import FAMILIES
from ti_core.models.recompute import save_memory

MIB = 2**20
NO_GRADIENT = "without a gradient"
WAYS = ("plain", "plain, autocast", "recomputed", "recomputed, autocast", "checkpointed", NO_GRADIENT)
"""`autocast`: as on CUDA, where it runs every norm in float32 and keeps float32 copies of the norms' inputs; the
others are all bf16. Without a gradient a batch of 2 is one painted picture with both halves of its guidance.
"""


@dataclass(frozen=True)
class Row:
    """One measurement, in MiB."""

    family: str
    part: str
    size_px: int
    batch: int
    kept: float
    peak: float
    weights: float


class Live(TorchDispatchMode):
    """Bytes of the storages made inside and still alive: `now`, and the most there ever were, `peak`. Views of
    weights do not count.
    """

    def __init__(self, leave_out: nn.Module) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known = {p.untyped_storage()._cdata for p in leave_out.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._remove, key, size)

    def _remove(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@contextmanager
def kept_bytes(leave_out: nn.Module) -> Iterator[Callable[[], int]]:
    """Bytes that autograd has saved inside the block, each storage once, without the module's weights."""
    weights = {p.untyped_storage()._cdata for p in leave_out.parameters()}
    seen: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        if (key := tensor.untyped_storage()._cdata) not in weights:
            seen[key] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(tensor.untyped_storage().nbytes() for tensor in seen.values())


def config_of(family: str, part: str) -> dict[str, Any]:
    return dict(json.loads((FAMILIES[family].configs / part / "config.json").read_text(encoding="utf-8")))


def built(kind: Any, config: dict[str, Any], dtype: torch.dtype) -> Any:
    """A frozen network with weights of that precision; fake tensors cannot be converted afterwards."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        made = kind(CLIPTextConfig.from_dict(config)) if issubclass(kind, PreTrainedModel) else kind.from_config(config)
    finally:
        torch.set_default_dtype(before)
    return made.requires_grad_(False).eval()


def weight_bytes(module: nn.Module) -> int:
    return sum(p.nbytes for p in module.parameters())


def norms_in_float32(unet: nn.Module) -> None:
    """What CUDA's autocast does to every norm; weights are few and left out."""
    for module in unet.modules():
        if isinstance(module, nn.GroupNorm):
            module.forward = partial(_group_norm, module)
        elif isinstance(module, nn.LayerNorm):
            module.forward = partial(_layer_norm, module)


def _group_norm(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    return F.group_norm(x.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps)


def _layer_norm(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return F.layer_norm(x.float(), norm.normalized_shape, norm.weight.float(), norm.bias.float(), norm.eps)


def unet_pass(family: str, way: str, size_px: int, batch: int) -> Row:
    """Forward and backward to the conditioning of the UNet, with weights of half precision."""
    with FakeTensorMode():
        unet = built(UNet2DConditionModel, config_of(family, "unet"), torch.bfloat16)
        autocast = way.endswith("autocast")
        if autocast:
            norms_in_float32(unet)
        if not way.startswith("plain"):
            save_memory(unet)
        if way == "checkpointed":
            unet.enable_gradient_checkpointing()
        config, half = unet.config, torch.bfloat16
        x, t = (
            torch.empty(batch, config.in_channels, size_px // 8, size_px // 8, dtype=half),
            torch.zeros(batch, dtype=torch.long),
        )
        words = torch.empty(batch, 77, config.cross_attention_dim, dtype=half, requires_grad=True)
        more = {}
        if config.addition_embed_type == "text_time":
            pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            more["added_cond_kwargs"] = {
                "text_embeds": torch.empty(batch, pooled, dtype=half, requires_grad=True),
                "time_ids": torch.empty(batch, 6),
            }
        has_gradient = way != NO_GRADIENT
        with Live(unet) as live, torch.autocast("cpu", half, enabled=autocast), torch.set_grad_enabled(has_gradient):
            with kept_bytes(unet) as kept:
                predicted = unet(x, t, words, return_dict=False, **more)[0]
            saved = kept()
            if has_gradient:
                predicted.float().square().mean().backward()
        return Row(family, f"UNet, {way}", size_px, batch, saved / MIB, live.peak / MIB, weight_bytes(unet) / MIB)


def autoencoder_pass(family: str, part: str, size_px: int) -> Row:
    """One picture through the autoencoder, without a gradient."""
    with FakeTensorMode(), torch.no_grad():
        vae = built(AutoencoderKL, config_of(family, "vae"), torch.bfloat16)
        side, channels = (size_px, 3) if part == "encode" else (size_px // 8, 4)
        x = torch.empty(1, channels, side, side, dtype=torch.bfloat16)
        with Live(vae) as live:
            vae.encode(x) if part == "encode" else vae.decode(x)
        return Row(family, f"VAE, {part}", size_px, 1, 0, live.peak / MIB, weight_bytes(vae) / MIB)


def encoder_pass(family: str, index: int, prompts: int) -> Row:
    """Prompts of 77 tokens through a text encoder in float32, forward and backward to the token embedding."""
    chosen = FAMILIES[family]
    folder = f"text_encoder{chosen.folder_suffixes[index]}"
    with FakeTensorMode():
        encoder = built(getattr(transformers, chosen.encoder_classes[index]), config_of(family, folder), torch.float32)
        vector = torch.zeros(prompts, 77, encoder.config.hidden_size, requires_grad=True)
        encoder.get_input_embeddings().register_forward_hook(lambda module, inputs, output: output + vector)
        ids = torch.zeros(prompts, 77, dtype=torch.long)
        with Live(encoder) as live:
            with kept_bytes(encoder) as kept:
                hidden = encoder(ids, output_hidden_states=True).hidden_states[-2]
            saved = kept()
            hidden.sum().backward()
        return Row(
            family,
            chosen.encoders[index],
            0,
            prompts,
            saved / MIB,
            live.peak / MIB,
            weight_bytes(encoder) / MIB,
        )


def measure(families: list[str], sizes: list[int], batches: list[int]) -> Iterator[Row]:
    for family in families:
        for size_px in sizes:
            for batch in batches:
                for way in WAYS:
                    yield unet_pass(family, way, size_px, batch)
            for part in ("encode", "decode"):
                yield autoencoder_pass(family, part, size_px)
        for index in range(len(FAMILIES[family].encoders)):
            yield encoder_pass(family, index, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", default=["sd1", "sdxl"], choices=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", type=int, default=[512, 768, 1024])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    args = parser.parse_args()
    print(f"{'family':<7}{'part':<28}{'px':>6}{'batch':>6}{'kept MiB':>10}{'peak MiB':>10}{'weights MiB':>13}")
    rows = []
    for row in measure(args.families, args.sizes, args.batches):
        rows.append(row)
        print(
            f"{row.family:<7}{row.part:<28}{row.size_px:>6}{row.batch:>6}"
            f"{row.kept:>10.0f}{row.peak:>10.0f}{row.weights:>13.0f}",
            flush=True,
        )
    if args.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
