"""Renames the tensors of diffusers' networks to the LDM layout that single checkpoint files have; for tests only.

Networks are numbered there in the order of the data: UNet input_blocks, middle_block, output_blocks; autoencoder
down.0 and up.0 are the largest pictures. OpenCLIP keeps q, k, v of an attention in one tensor and has its
projection transposed.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor
from torch.nn import Module

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "self_attn": "attn",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "fc1": "c_fc",
    "fc2": "c_proj",
}


def unet_to_ldm(unet: Module) -> dict[str, Tensor]:
    """Names under model.diffusion_model."""
    per_block = unet.config.layers_per_block + 1
    renamed = {}
    for name, tensor in unet.state_dict().items():
        start, weight = name.rsplit(".", 1)
        if match := re.match(
            r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name
        ):
            way, block, part, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
            number = block * per_block + layer + (1 if way == "down" else 0)
            if part == "downsamplers":
                new = f"input_blocks.{(block + 1) * per_block}.0.{rest.replace('conv', 'op')}"
            elif part == "upsamplers":
                place = 2 if "CrossAttn" in unet.config.up_block_types[block] else 1
                new = f"output_blocks.{(block + 1) * per_block - 1}.{place}.{rest}"
            else:
                new = f"{'input' if way == 'down' else 'output'}_blocks.{number}.{_inside(part, rest)}"
        elif match := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
            number = 2 * int(match[2]) + (match[1] == "attentions")
            new = f"middle_block.{number}.{_inside(match[1], match[3])[2:]}"
        else:
            new = f"{UNET_ENDS[start]}.{weight}"
        renamed[f"model.diffusion_model.{new}"] = tensor
    return renamed


def _inside(part: str, rest: str) -> str:
    """A resnet is place 0 of its block and has other names, an attention is place 1 and keeps them."""
    if part == "attentions":
        return f"1.{rest}"
    start, weight = rest.rsplit(".", 1)
    return f"0.{RESNET[start]}.{weight}"


def vae_to_ldm(vae: Module) -> dict[str, Tensor]:
    """Names under first_stage_model; the linear layers of the attention are 1 x 1 convolutions there."""
    last = len(vae.config.block_out_channels) - 1
    renamed = {}
    for name, tensor in vae.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"down_blocks\.(\d+)\.", r"down.\1.", new)
        new = re.sub(r"up_blocks\.(\d+)\.", lambda m: f"up.{last - int(m[1])}.", new)
        new = re.sub(r"mid_block\.resnets\.(\d+)\.", lambda m: f"mid.block_{int(m[1]) + 1}.", new)
        new = new.replace("resnets.", "block.").replace("samplers.0.conv", "sample.conv")
        if match := re.match(r"(.*)mid_block\.attentions\.0\.(.+)\.(weight|bias)", new):
            new = f"{match[1]}mid.attn_1.{VAE_ATTENTION[match[2]]}.{match[3]}"
            tensor = tensor[:, :, None, None] if tensor.dim() == 2 else tensor
        renamed[f"first_stage_model.{new}"] = tensor
    return renamed


def clip_to_ldm(encoder: Module, prefix: str) -> dict[str, Tensor]:
    """CLIP-L as SD1 and SDXL have it: transformers' names of older days under `prefix`, with the positions that
    were saved then.
    """
    renamed = {
        f"{prefix}text_model.{name.removeprefix('text_model.')}": tensor
        for name, tensor in encoder.state_dict().items()
    }
    return renamed | {f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}


def open_clip_to_ldm(encoder: Module, prefix: str) -> dict[str, Tensor]:
    """OpenCLIP as SD2 and SDXL's second encoder have it. SD2's files have a last layer and a projection that its
    images do not use.
    """
    state = {name.removeprefix("text_model."): tensor for name, tensor in encoder.state_dict().items()}
    if "text_projection.weight" not in state:
        layers, width = encoder.config.num_hidden_layers, encoder.config.hidden_size
        unused = {
            name.replace(f"layers.{layers - 1}.", f"layers.{layers}."): -tensor
            for name, tensor in state.items()
            if f"layers.{layers - 1}." in name
        }
        state |= {**unused, "text_projection.weight": torch.eye(width)}
    renamed = {
        "logit_scale": torch.tensor(4.6),
        "positional_embedding": state.pop("embeddings.position_embedding.weight"),
    }
    renamed["text_projection"] = state.pop("text_projection.weight").T
    for name, tensor in state.items():
        if ".q_proj." in name:
            tensor = torch.cat([state[name.replace("q_proj", x)] for x in ("q_proj", "k_proj", "v_proj")])
            name = name.replace("q_proj.", "in_proj_")
        elif ".k_proj." in name or ".v_proj." in name:
            continue
        for old, new in OPEN_CLIP.items():
            name = name.replace(old, new)
        renamed[name] = tensor
    return {prefix + name: tensor for name, tensor in renamed.items()}
