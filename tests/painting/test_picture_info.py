"""The infotext of pictures, ours and A1111's, back into the txt2img form."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import TINY, Recorder
from ti_core.errors import UserError
from ti_core.painting.infotext import save_png
from ti_core.painting.picture_info import form_values, painted_file, painted_pictures, parse_infotext, read_infotext
from ti_core.painting.txt2img import txt2img
from ti_core.settings import Txt2ImgSettings
from ti_core.workspace import Workspace

OF_A1111 = """a photo of (anna-01:1.2), smiling,
in a park
Negative prompt: blurry, (bad hands)
Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 6.5, Seed: 12345, \
Size: 512x768, Model hash: cc6cb27103, Model: v1-5-pruned, Denoising strength: 0.4, \
Clip skip: 2, TI hashes: "anna-01: 1234567890ab", Version: v1.10.1"""


def test_what_we_painted_is_painted_again_from_its_own_text(workspace: Workspace) -> None:
    asked = Txt2ImgSettings(
        prompt='a "photo", (red:1.2)',
        negative_prompt="b, c",
        steps=3,
        seed=7,
        cfg_scale=4.5,
        checkpoint=TINY,
        width=64,
        height=128,
        sampler="Euler a",
    )
    (file,) = txt2img(asked, workspace, recorder := Recorder(), recorder.stop)
    values, sentences = form_values(read_infotext(file), workspace, TINY)
    assert values == {name: getattr(asked, name) for name in values} and len(values) == 8
    assert sentences == []
    (listed,) = painted_pictures(workspace, 10)
    assert painted_file(listed, workspace) == file


def test_a_text_of_a1111_fills_the_form_and_the_rest_is_told(workspace: Workspace) -> None:
    values, sentences = form_values(OF_A1111, workspace, "portraits")
    assert values == {
        "prompt": "a photo of (anna-01:1.2), smiling,\nin a park",
        "negative_prompt": "blurry, (bad hands)",
        "steps": 28,
        "sampler": "DPM++ 2M Karras",
        "cfg_scale": 6.5,
        "seed": 12345,
        "width": 512,
        "height": 768,
    }
    assert sentences == [
        "It was painted with the checkpoint v1-5-pruned; portraits is chosen.",
        "It was painted with Clip skip 2: set it at the top of the page.",
        "It needs embeddings that are not here: anna-01.",
        "Not used here: Denoising strength 0.4.",
    ]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ("Steps: 20, Sampler: LMS, CFG scale: 7", "Sampler 'LMS' is not known here, so the form keeps its own."),
        ("Steps: 900, Sampler: Euler, CFG scale: 7", "Steps 900 is out of the form's range, so it keeps its own."),
        ("Steps: 9, Seed: 1, Size: 8", "Size '8' is not known here, so the form keeps its own."),
        ("Steps: 9, Seed: 1, CFG scale: nan", "CFG scale nan is out of the form's range, so it keeps its own."),
    ],
)
def test_what_does_not_fit_leaves_the_form_as_it_is(workspace: Workspace, facts: str, told: str) -> None:
    values, sentences = form_values(f"a prompt\n{facts}", workspace)
    assert sentences == [told] and set(values) >= {"prompt", "negative_prompt"}
    assert not {"sampler", "width"} & set(values) or "Euler" in facts or "nan" in facts


@pytest.mark.parametrize("sampler", ["Sampler: DPM++ 2M Karras", "Sampler: DPM++ 2M, Schedule type: Automatic"])
def test_both_ways_of_naming_a_sampler_are_understood(workspace: Workspace, sampler: str) -> None:
    assert form_values(f"p\nSteps: 9, Seed: 1, {sampler}", workspace)[0]["sampler"] == "DPM++ 2M Karras"


def test_a_text_without_facts_is_a_prompt() -> None:
    info = parse_infotext("a photo of anna, 12:30\nred: yes")
    assert info.prompt == "a photo of anna, 12:30\nred: yes" and not info.facts


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_the_exif_comment_of_a_jpeg_or_webp_is_read(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "prompt é\nSteps: 1".encode("utf-16-be")
    Image.new("RGB", (8, 8)).save(tmp_path / f"a{suffix}", exif=exif)
    assert read_infotext(tmp_path / f"a{suffix}") == "prompt é\nSteps: 1"


def test_files_that_tell_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    for name, told in (("text.png", "no picture that can be read"), ("bare.png", "does not tell how it was made")):
        with pytest.raises(UserError, match=told):
            read_infotext(tmp_path / name)
    assert read_infotext(save_png(tmp_path / "a.png", Image.new("RGB", (8, 8)), "a prompt")) == "a prompt"


@pytest.mark.parametrize("name", ["../../secret.png", "2026-01-01/../../x.png", "/etc/passwd", "2026-01-01/1.png", ""])
def test_only_painted_pictures_are_found(workspace: Workspace, name: str) -> None:
    with pytest.raises(UserError):
        painted_file(name, workspace)


@pytest.mark.parametrize("line", [f"x{' ' * 99_990}x", "a: " * 33_000, 'a: "' * 25_000, "a/-" * 33_000])
def test_no_text_keeps_the_page_busy(line: str) -> None:
    """It comes out of a foreign picture, or from somebody who may look only; nobody else is answered meanwhile."""
    began = time.monotonic()
    parse_infotext(f"a prompt\n{line}")
    assert time.monotonic() - began < 5
