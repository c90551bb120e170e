"""A form as one file: what the page exports, imports and the command line takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ti_core.errors import UserError
from ti_core.settings import PreprocessSettings, TrainSettings
from ti_core.settings.form_file import MOST_BYTES, form_text, parse_form, read_form


def test_what_is_written_is_read_back_whole() -> None:
    settings = TrainSettings(embedding="änna", steps=150, shuffle_tags=True, learning_rate="0.05:10, 0.01")
    kept, given = parse_form(form_text("train", settings), "train", TrainSettings)
    assert kept.settings == settings and not kept.sentences() and given == settings.to_dict()


def test_what_is_missing_unknown_or_wrong_is_told_and_the_rest_is_used() -> None:
    text = json.dumps({"form": "train", "settings": {"steps": 150, "colour": "red", "batch_size": "many"}})
    kept, given = parse_form(text, "train", TrainSettings)
    assert given == {"steps": 150, "batch_size": 1}
    told = " ".join(kept.sentences())
    assert "colour" in told and "Batch size: 'many' is not a whole number" in told and "learning_rate" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[" * 50_000, "no JSON"),
        ("[1]", "holds no settings"),
        ('{"form": "train", "settings": [1]}', "holds no settings of this form"),
        ('{"colour": "red"}', "holds no settings of this form"),
        (form_text("preprocess", PreprocessSettings()), "for the form 'preprocess'"),
    ],
)
def test_what_is_no_form_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse_form(text, "train", TrainSettings)


def test_a_file_that_is_not_there_too_large_or_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    for name, content in (
        ("large.json", b" " * (MOST_BYTES + 1)),
        ("binary.json", b"\xff\xfe\x80"),
        ("gone.json", None),
    ):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_form(tmp_path / name)
