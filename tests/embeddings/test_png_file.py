"""Embeddings in pictures: exact round trips, A1111's layout, and pictures made to harm."""

from __future__ import annotations

import base64
import json
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.png_file import (
    CARD_KEY,
    MAX_JSON_BYTES,
    from_payload,
    hide_in_pixels,
    load_picture,
    save_card,
    to_payload,
)
from ti_core.errors import UserError

FIRST_STATES_MOD_255 = [253, 242, 127, 44, 157, 27, 239, 133, 38, 79, 167, 4, 177]
KEYS = ["string_to_token", "string_to_param", "name", "step", "sd_checkpoint", "sd_checkpoint_name"]


def an_embedding(vectors: int = 2, width: int = 192) -> Embedding:
    rows = torch.randn(vectors, width, generator=torch.Generator().manual_seed(vectors)) * 0.03
    return Embedding("anna-01-10", {"clip_l": rows}, 10, "0123456789", "Portraits (built in)")


def a_picture(width: int = 200, height: int = 160) -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8))


def keystream_as_in_a1111(count: int) -> list[int]:
    """The states of A1111's cipher (1.10.1, image_embedding.py: lcg), one state after the other."""
    state, keys = 0, []
    for _ in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        keys.append(state % 255)
    return keys


def read_as_in_a1111(pixels: np.ndarray, width: int) -> bytes:
    """The hidden bytes, nibble by nibble with the positions of A1111's image_embedding.py, of a card whose blocks
    are `width` columns wide.
    """
    height, keys = len(pixels), keystream_as_in_a1111(len(pixels) * width * 3)

    def nibble(k: int, left: int) -> int:
        value = int(pixels[k // (3 * width), left + (k // 3) % width, k % 3])
        return (value & 15) ^ (keys[k] & 15)

    high_left = pixels.shape[1] - width
    return bytes(nibble(k, high_left) << 4 | nibble(k, 0) for k in range(height * width * 3))


def card_as_in_a1111(data: bytes, picture: Image.Image) -> Image.Image:
    """A card with the smallest blocks, zeros as filler and no decoration."""
    height = picture.height
    width = -(-len(data) // (3 * height))
    padded = data + bytes(3 * height * width - len(data))
    keys = keystream_as_in_a1111(len(padded))
    blocks = [
        np.array([(shifted & 15) ^ (k & 15) for shifted, k in zip(values, keys, strict=True)], np.uint8).reshape(
            height, width, 3
        )
        for values in (padded, [b >> 4 for b in padded])
    ]
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(np.concatenate([blocks[0], black, np.asarray(picture), black, blocks[1]], axis=1))


def test_the_keystream_begins_as_a1111s() -> None:
    from ti_core.embeddings.hidden_pixels import _keystream

    assert keystream_as_in_a1111(13) == FIRST_STATES_MOD_255
    assert _keystream(5000).tolist() == [k & 15 for k in keystream_as_in_a1111(5000)]


def test_the_payload_has_a1111s_keys_in_a1111s_order() -> None:
    payload = json.loads(json.dumps(to_payload(an_embedding())))
    assert list(payload) == KEYS
    assert payload["string_to_token"] == {"*": 265}
    assert list(payload["string_to_param"]["*"]) == ["TORCHTENSOR"]


@pytest.mark.parametrize(("vectors", "width"), [(1, 192), (3, 768), (2, 1024)])
def test_a_card_gives_back_exactly_what_it_was_given(tmp_path: Path, vectors: int, width: int) -> None:
    given = an_embedding(vectors, width)
    found = load_picture(save_card(tmp_path / "anna-01-10.png", a_picture(), given))
    assert torch.equal(found.vectors["clip_l"], given.vectors["clip_l"])
    assert (found.name, found.step, found.checkpoint_hash, found.checkpoint_name) == (
        "anna-01-10",
        10,
        "0123456789",
        "Portraits (built in)",
    )


def test_the_text_chunk_is_base64_of_the_json_and_the_only_text(tmp_path: Path) -> None:
    path = save_card(tmp_path / "card.png", a_picture(), an_embedding())
    with Image.open(path) as image:
        image.load()
        assert list(image.text) == [CARD_KEY]
        assert list(json.loads(base64.b64decode(image.text[CARD_KEY]))) == KEYS
    assert b"tEXt" + CARD_KEY.encode() in path.read_bytes()


def test_the_embedding_survives_without_the_text_chunk(tmp_path: Path) -> None:
    given = an_embedding()
    with Image.open(save_card(tmp_path / "card.png", a_picture(), given)) as image:
        image.save(tmp_path / "stripped.png")
        bordered = Image.new("RGB", (image.width + 30, image.height + 14))
        bordered.paste(image, (11, 5))
        bordered.save(tmp_path / "bordered.png")
        image.save(tmp_path / "lossless.webp", lossless=True)
    with Image.open(tmp_path / "stripped.png") as image:
        assert CARD_KEY not in image.info
    for name in ("stripped.png", "bordered.png", "lossless.webp"):
        assert torch.equal(load_picture(tmp_path / name).vectors["clip_l"], given.vectors["clip_l"])


def test_the_hidden_bytes_lie_where_a1111_puts_them() -> None:
    given, picture = an_embedding(1, 40), a_picture(70, 64)
    pixels = np.asarray(hide_in_pixels(picture, given))
    width = (pixels.shape[1] - picture.width - 2) // 2
    size = len(zlib.compress(json.dumps(to_payload(given)).encode(), 9))
    padded = size + 64 - size % 64
    assert width == (padded + 3 * 64 - padded % (3 * 64)) // (3 * 64)
    assert not pixels[:, width].any() and not pixels[:, -width - 1].any()
    assert np.array_equal(pixels[:, width + 1 : -width - 1], np.asarray(picture))
    data = zlib.decompressobj().decompress(read_as_in_a1111(pixels, width))
    assert json.loads(data) == to_payload(given)


def test_a_card_of_the_smallest_kind_without_decoration_is_read(tmp_path: Path) -> None:
    given = an_embedding(1, 192)
    card_as_in_a1111(zlib.compress(json.dumps(to_payload(given)).encode()), a_picture()).save(tmp_path / "plain.png")
    assert torch.equal(load_picture(tmp_path / "plain.png").vectors["clip_l"], given.vectors["clip_l"])


def test_a_black_picture_keeps_its_embedding(tmp_path: Path) -> None:
    given = an_embedding(1, 192)
    for seed in range(20):
        varied = Embedding(f"anna-{seed}", given.vectors, seed)
        hide_in_pixels(Image.new("RGB", (64, 512)), varied).save(tmp_path / "black.png")
        assert load_picture(tmp_path / "black.png").step == seed


def test_the_card_is_quick() -> None:
    given, picture = an_embedding(8, 768), a_picture(512, 512)
    hide_in_pixels(picture, given)
    began = time.process_time()
    hide_in_pixels(picture, given)
    assert time.process_time() - began < 0.3


def test_a_name_from_a_picture_cannot_leave_its_folder() -> None:
    payload = to_payload(an_embedding())
    assert from_payload({**payload, "name": "../../evil"}, "card.png").name == "evil"
    assert from_payload({**payload, "name": 7}, "card.png").name == "card"
    assert from_payload({**payload, "name": "///"}, "card.png").name == "embedding card"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[]],
        [[1.0], [1.0, 2.0]],
        [["x"]],
        "rows",
        [[[1.0]]],
        [[1e40]],
        [[float("nan")]],
        [[10**400]],
        [[0.0]] * 1000,
        None,
    ],
    ids=[
        "empty",
        "no numbers",
        "ragged",
        "text",
        "a string",
        "three deep",
        "too large",
        "nan",
        "huge",
        "too many",
        "null",
    ],
)
def test_vectors_that_are_none_are_refused(rows: object) -> None:
    payload = {**to_payload(an_embedding()), "string_to_param": {"*": {"TORCHTENSOR": rows}}}
    with pytest.raises(UserError, match=r"'card\.png'"):
        from_payload(payload, "card.png")


@pytest.mark.parametrize(
    "payload",
    [None, 3, [], {}, {"string_to_param": {}}, {"string_to_param": {"a": 1, "b": 2}}, {"string_to_param": {"*": 5}}],
)
def test_json_that_is_no_embedding_is_refused(payload: object) -> None:
    with pytest.raises(UserError, match=r"'card\.png'"):
        from_payload(payload, "card.png")


@pytest.mark.parametrize(
    "text", ["not base64!", base64.b64encode(b"not json").decode(), base64.b64encode(b"[" * 200_000).decode()]
)
def test_a_damaged_text_chunk_is_refused(tmp_path: Path, text: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(CARD_KEY, text)
    a_picture().save(tmp_path / "card.png", pnginfo=info)
    with pytest.raises(UserError, match="damaged"):
        load_picture(tmp_path / "card.png")


def test_data_that_unpacks_to_far_too_much_is_refused_at_once(tmp_path: Path) -> None:
    card_as_in_a1111(zlib.compress(b" " * (4 * MAX_JSON_BYTES), 9), a_picture()).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match="more data than any embedding"):
        load_picture(tmp_path / "bomb.png")


def test_a_picture_whose_data_is_cut_off_says_so(tmp_path: Path) -> None:
    data = zlib.compress(json.dumps(to_payload(an_embedding())).encode())
    card_as_in_a1111(data[: 3 * 160], a_picture()).save(tmp_path / "cut.png")
    with pytest.raises(UserError, match="cut off"):
        load_picture(tmp_path / "cut.png")


def test_a_picture_without_an_embedding_says_so(tmp_path: Path) -> None:
    a_picture().save(tmp_path / "photo.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "black.png")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(UserError, match=r"'photo\.png' carries no embedding"):
        load_picture(tmp_path / "photo.png")
    with pytest.raises(UserError, match=r"'black\.png' carries no embedding"):
        load_picture(tmp_path / "black.png")
    with pytest.raises(UserError, match=r"'text\.png' cannot be opened"):
        load_picture(tmp_path / "text.png")
    with pytest.raises(UserError, match=r"'gone\.png' does not exist"):
        load_picture(tmp_path / "gone.png")
