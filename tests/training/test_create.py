from __future__ import annotations

import pytest
import torch
from PIL import Image

from tests.conftest import TINY
from tests.models.tiny_families import save_folder
from ti_core.embeddings.folder import optimizer_file
from ti_core.embeddings.formats import load_embedding
from ti_core.errors import UserError
from ti_core.models.checkpoint import load_checkpoint
from ti_core.models.token_tables import load_token_tables
from ti_core.settings import CreateSettings
from ti_core.training.create import create_embedding
from ti_core.workspace import Workspace


def test_it_starts_as_the_token_rows_of_its_text(workspace: Workspace) -> None:
    tokenizer, table = load_token_tables(TINY, workspace)["clip_l"]
    ids = tokenizer("ab", add_special_tokens=False).input_ids
    embedding = load_embedding(
        create_embedding(CreateSettings(name="anna", initialization_text="ab", vectors=4, checkpoint=TINY), workspace)
    )
    expected = table[[ids[i * len(ids) // 4] for i in range(4)]].float()
    assert torch.equal(embedding.vectors["clip_l"], expected)
    assert (embedding.step, embedding.checkpoint_hash) == (0, None)


@pytest.mark.parametrize(("typed", "begins_with"), [({}, "ab"), ({"initialization_text": "cd"}, "cd")])
def test_a_slider_begins_with_its_line_of_more_where_no_text_was_typed(
    workspace: Workspace, typed: dict[str, str], begins_with: str
) -> None:
    tokenizer, table = load_token_tables(TINY, workspace)["clip_l"]
    lines = {"kind": "slider", "slider_on": "a photo", "slider_more": " ab "}
    made = create_embedding(CreateSettings.from_dict({"name": "a", "checkpoint": TINY, **lines, **typed}), workspace)
    first = tokenizer(begins_with, add_special_tokens=False).input_ids[0]
    assert torch.equal(load_embedding(made).vectors["clip_l"][0], table[first].float())
    assert not torch.equal(table[first], table[tokenizer("*", add_special_tokens=False).input_ids[0]])


def test_the_token_table_alone_is_that_of_the_loaded_encoder(workspace: Workspace) -> None:
    whole = load_checkpoint(TINY, workspace).text_encoders[0].get_input_embeddings().weight.cpu()
    assert torch.equal(load_token_tables(TINY, workspace)["clip_l"][1], whole)


def test_more_tokens_than_vectors_use_the_first_ones_and_empty_text_gives_zeros(workspace: Workspace) -> None:
    tokenizer, table = load_token_tables(TINY, workspace)["clip_l"]
    one = load_embedding(
        create_embedding(CreateSettings(name="one", initialization_text="abcdef", checkpoint=TINY), workspace)
    )
    first = tokenizer("abcdef", add_special_tokens=False).input_ids[0]
    assert torch.equal(one.vectors["clip_l"][0], table[first].float())
    none = load_embedding(
        create_embedding(CreateSettings(name="none", initialization_text="", vectors=2, checkpoint=TINY), workspace)
    )
    assert not none.vectors["clip_l"].any()


def test_sd2_spreads_all_tokens_over_the_vectors(workspace: Workspace, tiny_families: object) -> None:
    """A1111 cuts the text for CLIP-L alone: 8 tokens and 3 vectors are tokens 0, 2 and 5 (A1111 1.10.1,
    textual_inversion.py: create_embedding).
    """
    save_folder("sd2_eps", workspace.checkpoints / "sd2")
    tokenizer, table = load_token_tables("sd2", workspace)["clip_h"]
    text = "one two three four five six seven eight"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    made = load_embedding(
        create_embedding(CreateSettings(name="two", initialization_text=text, vectors=3, checkpoint="sd2"), workspace)
    )
    assert torch.equal(made.vectors["clip_l"], table[[ids[i * len(ids) // 3] for i in range(3)]].float())
    assert ids[len(ids) // 3] != ids[1]


def test_a_thumbnail_of_the_same_name_is_nobodys_to_delete(workspace: Workspace) -> None:
    workspace.embeddings.mkdir(parents=True, exist_ok=True)
    thumbnail = workspace.embeddings / "anna.png"
    Image.new("RGB", (8, 8)).save(thumbnail)
    for overwrite in (False, True):
        create_embedding(CreateSettings(name="anna", checkpoint=TINY, overwrite=overwrite), workspace)
        assert thumbnail.is_file()


def test_an_old_embedding_is_kept_unless_overwriting_is_asked_for(workspace: Workspace) -> None:
    path = create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"'anna' exists already.*tick Overwrite"):
        create_embedding(CreateSettings(name="anna", vectors=2, checkpoint=TINY), workspace)
    assert path.read_bytes() == before
    optimizer_file(path).write_bytes(b"of the old one")
    create_embedding(CreateSettings(name="anna", vectors=2, overwrite=True, checkpoint=TINY), workspace)
    assert load_embedding(path).count == 2 and not optimizer_file(path).exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_name_that_differs_in_capital_letters_only_is_refused(workspace: Workspace, overwrite: bool) -> None:
    """A prompt could name but one of the two."""
    create_embedding(CreateSettings(name="anna", checkpoint=TINY), workspace)
    with pytest.raises(UserError, match=r"'anna' exists already.*no difference between capital and small"):
        create_embedding(CreateSettings(name="Anna", checkpoint=TINY, overwrite=overwrite), workspace)
    (workspace.embeddings / "Anna.pt").write_bytes((workspace.embeddings / "anna.pt").read_bytes())  # another program's
    if overwrite:
        create_embedding(CreateSettings(name="anna", checkpoint=TINY, vectors=3, overwrite=True), workspace)
        assert load_embedding(workspace.embeddings / "anna.pt").count == 3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": ""}, "Name is empty"),
        ({"name": "///"}, "'///'"),
        ({"name": "a", "vectors": 0}, "is 0"),
        ({"name": "a", "vectors": 76}, "76"),
        ({"name": "a", "checkpoint": "nowhere"}, "'nowhere' does not exist"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_writes_nothing(
    workspace: Workspace, values: dict[str, object], named: str
) -> None:
    with pytest.raises(UserError, match=named):
        create_embedding(CreateSettings.from_dict({"checkpoint": TINY, **values}), workspace)
    assert not workspace.embeddings.exists()
