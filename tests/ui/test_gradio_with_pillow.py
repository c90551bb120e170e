"""Pillow is newer than gradio's bound allows (requirements-over.txt); what gradio does with pictures for this page
works with it.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import numpy as np
import PIL
import pytest
from gradio import processing_utils
from PIL import Image

from ti_core.data.images import open_only_known_formats

PICTURE = Image.fromarray(np.arange(16 * 12 * 3, dtype=np.uint8).reshape(12, 16, 3))


def test_the_decoders_are_those_without_the_published_faults() -> None:
    assert int(PIL.__version__.split(".")[0]) >= 13


def test_a_gallery_shows_pictures_and_takes_them_back(tmp_path: Path) -> None:
    with gr.Blocks():
        gallery = gr.Gallery(type="filepath", format="png")
    gallery.GRADIO_CACHE = str(tmp_path)
    shown = gallery.postprocess([(PICTURE, "red shirt"), (np.asarray(PICTURE), "smiling")])
    assert shown is not None and len(shown.root) == 2
    (file, caption), _ = gallery.preprocess(shown)
    assert caption == "red shirt"
    with Image.open(file) as again:
        assert np.array_equal(np.asarray(again.convert("RGB")), np.asarray(PICTURE))


@pytest.mark.parametrize("form", ["png", "webp", "jpeg", "gif"])
def test_gradio_writes_and_reads_each_format_of_the_web(tmp_path: Path, form: str) -> None:
    file = processing_utils.save_pil_to_cache(PICTURE, str(tmp_path), format=form)
    with gr.Blocks():
        image = gr.Image(type="pil", format=form)
    from gradio.data_classes import ImageData

    read = image.preprocess(ImageData(path=file, orig_name=f"a.{form}"))
    assert read is not None and read.size == (16, 12)


def test_gradio_opens_no_format_that_the_page_does_not_take(tmp_path: Path) -> None:
    """Whatever the file is called: PostScript starts a program, and others have decoders that nobody needs here."""
    registered, openers = list(Image.ID), dict(Image.OPEN)
    PICTURE.save(tmp_path / "a.eps")
    PICTURE.save(tmp_path / "b.tga")
    PICTURE.save(tmp_path / "c.jpg")
    try:
        open_only_known_formats()
        for name in ("a.eps", "b.tga"):
            (tmp_path / name).rename(tmp_path / f"{name}.png")
            with pytest.raises(PIL.UnidentifiedImageError):
                Image.open(tmp_path / f"{name}.png")
        with Image.open(tmp_path / "c.jpg") as image:
            assert image.size == (16, 12)
    finally:
        Image.ID[:], Image.OPEN = registered, openers
