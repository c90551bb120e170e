"""Captioning models of the real classes at tiny size with random weights, saved in the layout of the real ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from ti_core.data.vision_transformer import Shape, VisionTransformer

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


def save_tiny_tagger(folder: Path, bias: dict[str, float] | None = None, tags: list[tuple[str, int]] = TAGS) -> Path:
    """A ViT of 2 layers as timm saves it. `bias` sets how sure it is of a tag, whatever it sees; others are at -10."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    patches = (TAGGER_SIZE_PX // 8) ** 2
    shape = Shape(
        32,
        2,
        2,
        64,
        8,
        patches,
        len(tags),
        class_token=False,
        norm_after_pool=False,
        qkv_bias=True,
        tanh_gelu=True,
        average_pool=True,
    )
    model = VisionTransformer(shape)
    torch.nn.init.normal_(model.pos_embed)
    if bias is not None:
        with torch.no_grad():
            model.head.weight.zero_()
            model.head.bias.copy_(torch.tensor([bias.get(name, -10.0) for name, _ in tags]))
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {
        "architecture": "vit_tiny",
        "num_classes": len(tags),
        "global_pool": "avg",
        "model_args": {
            "num_heads": 2,
            "act_layer": "gelu_tanh",
            "class_token": False,
            "fc_norm": False,
            "img_size": TAGGER_SIZE_PX,
        },
        "pretrained_cfg": {
            "input_size": [3, TAGGER_SIZE_PX, TAGGER_SIZE_PX],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
        },
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with (folder / "selected_tags.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tag_id", "name", "category", "count"])
        table.writerows([number, name, category, 1000] for number, (name, category) in enumerate(tags))
    return folder
