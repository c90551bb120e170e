"""Captioning models of the real classes at tiny size with random weights, saved in the layout of the real ones."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = [
    "a",
    "picture",
    "of",
    "cat",
    "dog",
    "man",
    "woman",
    "red",
    "blue",
    "house",
    "tree",
    "sky",
    "with",
    "and",
    "the",
    "on",
]
TAGS = [
    ("general", 9),
    ("sensitive", 9),
    ("long_hair", 0),
    ("ganyu_(genshin_impact)", 4),
    ("^_^", 0),
    ("1girl", 0),
    ("back\\slash", 0),
]
TAGGER_SIZE_PX = 32


def save_tiny_blip(folder: Path) -> Path:
    """Begin, end and padding are the first words, where Salesforce's models have them at 30522, 102 and 0."""
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipTextConfig, BlipVisionConfig

    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "[DEC]"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), bos_token="[DEC]", additional_special_tokens=["[DEC]"])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    text = BlipTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        encoder_hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=words.index("[DEC]"),
        eos_token_id=3,
        pad_token_id=0,
        sep_token_id=3,
        initializer_range=1.0,
    )
    vision = BlipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
    )
    config = BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=32)
    BlipForConditionalGeneration(config).save_pretrained(folder)
    if not (folder / "vocab.txt").is_file():
        (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    return folder


def save_tiny_tagger(
    folder: Path, bias: dict[str, float] | None = None, tags: list[tuple[str, int]] = TAGS, kind: str = "vit"
) -> Path:
    """A tagger of the family as timm saves it. `bias` sets how sure it is of a tag, whatever it sees; others are at
    -10.
    """
    folder.mkdir(parents=True)
    state = tiny_state(kind, len(tags))
    if bias is not None:
        head = "head" if "head.weight" in state else "head.fc"
        state[f"{head}.weight"].zero_()
        state[f"{head}.bias"] = torch.tensor([bias.get(name, -10.0) for name, _ in tags])
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(tiny_config(kind, len(tags))), encoding="utf-8")
    with (folder / "selected_tags.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tag_id", "name", "category", "count"])
        table.writerows([number, name, category, 1000] for number, (name, category) in enumerate(tags))
    return folder


def tiny_config(kind: str, classes: int) -> dict[str, Any]:
    """The config.json beside a file of timm."""
    model_args: dict[str, dict[str, Any]] = {
        "vit": {"num_heads": 2, "act_layer": "gelu_tanh", "class_token": False, "fc_norm": False},
        "swinv2": {"window_size": 4, "act_layer": "gelu_tanh", "img_size": TAGGER_SIZE_PX},
        "convnext": {"act_layer": "gelu_tanh"},
        "eva02": {"num_heads": 2},
    }
    return {
        "architecture": f"{kind}_tiny",
        "num_classes": classes,
        "global_pool": "avg",
        "model_args": model_args[kind],
        "pretrained_cfg": {
            "input_size": [3, TAGGER_SIZE_PX, TAGGER_SIZE_PX],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
    }


def tiny_state(kind: str, classes: int) -> dict[str, torch.Tensor]:
    """Tensors with timm's names and values that are the same on every machine."""
    shapes = {"vit": _vit, "swinv2": _swin, "convnext": _convnext, "eva02": _eva}[kind](classes)
    return {name: 0.3 * irregular(shape, number) for number, (name, shape) in enumerate(sorted(shapes.items()))}


def irregular(shape: tuple[int, ...], start: float) -> torch.Tensor:
    """Numbers in -1..1 without a pattern, made without a generator, whose numbers differ between versions."""
    return torch.sin(0.7 * torch.arange(math.prod(shape), dtype=torch.float64) ** 2 + start).float().view(shape)


Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, given: int, made: int) -> Shapes:
    return {f"{name}.weight": (made, given), f"{name}.bias": (made,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _patches(width: int, patch_px: int) -> Shapes:
    return {"patch_embed.proj.weight": (width, 3, patch_px, patch_px), "patch_embed.proj.bias": (width,)}


def _vit(classes: int) -> Shapes:
    shapes = {**_patches(32, 8), "pos_embed": (1, 16, 32), **_norm("norm", 32), **_linear("head", 32, classes)}
    for block in ("blocks.0", "blocks.1"):
        shapes |= {**_norm(f"{block}.norm1", 32), **_norm(f"{block}.norm2", 32)}
        shapes |= {**_linear(f"{block}.attn.qkv", 32, 96), **_linear(f"{block}.attn.proj", 32, 32)}
        shapes |= {**_linear(f"{block}.mlp.fc1", 32, 64), **_linear(f"{block}.mlp.fc2", 64, 32)}
    return shapes


def _eva(classes: int) -> Shapes:
    shapes = {**_patches(32, 8), "pos_embed": (1, 17, 32), "cls_token": (1, 1, 32)}
    shapes |= {**_norm("fc_norm", 32), **_linear("head", 32, classes)}
    for block in ("blocks.0", "blocks.1"):
        shapes |= {**_norm(f"{block}.norm1", 32), **_norm(f"{block}.norm2", 32), **_norm(f"{block}.mlp.norm", 85)}
        for part in ("q_proj", "v_proj", "proj"):
            shapes |= _linear(f"{block}.attn.{part}", 32, 32)
        shapes[f"{block}.attn.k_proj.weight"] = (32, 32)
        shapes |= {**_linear(f"{block}.mlp.fc1_g", 32, 85), **_linear(f"{block}.mlp.fc1_x", 32, 85)}
        shapes |= _linear(f"{block}.mlp.fc2", 85, 32)
    return shapes


def _swin(classes: int) -> Shapes:
    """Stages of 8 x 8 and 4 x 4 positions, so that windows of 4 are moved in the first only."""
    shapes = {**_patches(16, 4), **_norm("patch_embed.norm", 16), **_norm("norm", 32)}
    shapes |= {**_linear("head.fc", 32, classes), "layers.1.downsample.reduction.weight": (32, 64)}
    shapes |= _norm("layers.1.downsample.norm", 32)
    for stage, (width, heads) in enumerate([(16, 2), (32, 4)]):
        for block in (f"layers.{stage}.blocks.0", f"layers.{stage}.blocks.1"):
            shapes |= {**_norm(f"{block}.norm1", width), **_norm(f"{block}.norm2", width)}
            shapes |= {f"{block}.attn.logit_scale": (heads, 1, 1), f"{block}.attn.qkv.weight": (3 * width, width)}
            shapes |= {f"{block}.attn.q_bias": (width,), f"{block}.attn.v_bias": (width,)}
            shapes |= {**_linear(f"{block}.attn.cpb_mlp.0", 2, 512), f"{block}.attn.cpb_mlp.2.weight": (heads, 512)}
            shapes |= _linear(f"{block}.attn.proj", width, width)
            shapes |= {**_linear(f"{block}.mlp.fc1", width, 4 * width), **_linear(f"{block}.mlp.fc2", 4 * width, width)}
    return shapes


def _convnext(classes: int) -> Shapes:
    shapes: Shapes = {"stem.0.weight": (8, 3, 4, 4), "stem.0.bias": (8,), **_norm("stem.1", 8)}
    shapes |= {**_norm("head.norm", 16), **_linear("head.fc", 16, classes)}
    shapes |= {**_norm("stages.1.downsample.0", 8), "stages.1.downsample.1.weight": (16, 8, 2, 2)}
    shapes["stages.1.downsample.1.bias"] = (16,)
    for block, width in (("stages.0.blocks.0", 8), ("stages.1.blocks.0", 16), ("stages.1.blocks.1", 16)):
        shapes |= {f"{block}.gamma": (width,), f"{block}.conv_dw.weight": (width, 1, 7, 7)}
        shapes |= {f"{block}.conv_dw.bias": (width,), **_norm(f"{block}.norm", width)}
        shapes |= {**_linear(f"{block}.mlp.fc1", width, 4 * width), **_linear(f"{block}.mlp.fc2", 4 * width, width)}
    return shapes


def save_tiny_florence(folder: Path) -> Path:
    """Begin, padding, end and the picture's place where the real ones have them: at 0, 1, 2 and the end."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import BartConfig, Florence2Config, Florence2ForConditionalGeneration, Florence2VisionConfig

    folder.mkdir(parents=True)
    asked = ["What", "does", "the", "image", "describe", "?", "Describe", "with", "paragraph"]
    words = list(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *WORDS, *asked]))
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    text = BartConfig(
        vocab_size=len(words) + 1,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=1024,
        init_std=1.0,
        forced_bos_token_id=None,
    )
    vision = Florence2VisionConfig(
        depths=[1, 1, 1, 1],
        embed_dim=[8, 8, 16, 16],
        num_heads=[2, 2, 2, 2],
        num_groups=[2, 2, 2, 2],
        projection_dim=16,
        initializer_range=1.0,
    )
    config = Florence2Config(text_config=text.to_dict(), vision_config=vision.to_dict(), image_token_id=len(words))
    Florence2ForConditionalGeneration(config).half().save_pretrained(folder)
    return folder
