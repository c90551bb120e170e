"""What the keyboard chooses in a dropdown, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from tests.conftest import TINY, save_tiny_checkpoint
from tests.ui.journey import SLOW_MS, choose_tab, fill, open_chromium, open_page, running_app, state, value_of
from ti_core.embeddings.embedding import Embedding
from ti_core.embeddings.formats import save_embedding

NAMES = ("Joanna", "Zora anna", "anna", "berta-two", "robert")
MANY = 130
"""More embeddings than gradio's lists show at first."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    save_tiny_checkpoint(root / "models" / "Stable-diffusion" / TINY)
    dataset = root / "datasets" / "anna"
    dataset.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(np.full((16, 16, 3), 60 * i + 60, np.uint8)).save(dataset / f"{i}.png")
        (dataset / f"{i}.txt").write_text("smiling", encoding="utf-8")
    for name in (*NAMES, *(f"Hanna-{i:03d}" for i in range(MANY))):
        save_embedding(root / "embeddings" / f"{name}.pt", Embedding(name, {"clip_l": torch.randn(1, 32)}))
    return root


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[Page]:
    with running_app(folder, "--ckpt", TINY) as (url, _), open_chromium() as browser:
        page = open_page(browser, url, viewport={"width": 1400, "height": 1000})
        choose_tab(page, "Train")
        yield page


def box(page: Page, name: str):  # type: ignore[no-untyped-def]
    return page.locator(f"#{name}").get_by_role("combobox")


def write(page: Page, name: str, text: str, *keys: str) -> None:
    """As a person does: click, mark everything, type, press keys."""
    box(page, name).click()
    page.keyboard.press("Control+A")
    page.keyboard.type(text)
    for key in keys:
        page.keyboard.press(key)


def test_enter_takes_the_exact_name_and_the_job_trains_it(page: Page, folder: Path) -> None:
    write(page, "train_embedding", "anna")
    expect(page.locator("#train_embedding [role=option][data-enter]")).to_have_text(re.compile("anna$"))
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert value_of(page, "train_embedding") == "anna"
    before = {name: (folder / "embeddings" / f"{name}.pt").read_bytes() for name in NAMES}
    fill(page, "train_dataset_directory", "datasets/anna")
    for field, value in (
        ("steps", 1),
        ("batch_size", 1),
        ("image_every", 0),
        ("save_every", 0),
    ):
        fill(page, f"train_{field}", value)
    page.get_by_role("button", name="Train Embedding").click()
    expect(state(page)).to_have_text("finished", timeout=SLOW_MS)
    assert [name for name in NAMES if (folder / "embeddings" / f"{name}.pt").read_bytes() != before[name]] == ["anna"]


def test_a_list_that_opens_after_it_was_left_is_closed_by_whatever_is_entered_next(page: Page) -> None:
    """gradio answers a key after a moment, on a slow computer when the name has been chosen already."""
    entry = box(page, "train_embedding")
    write(page, "train_embedding", "anna", "Enter")
    expect(entry).to_have_attribute("aria-expanded", "false")
    entry.dispatch_event("keydown", {"key": "Unidentified", "bubbles": True})
    expect(entry).to_have_attribute("aria-expanded", "true")
    page.locator("#train_steps input").first.click()
    expect(entry).to_have_attribute("aria-expanded", "false")
    assert value_of(page, "train_embedding") == "anna"


@pytest.mark.parametrize(
    ("text", "keys", "value"),
    [
        ("ANNA", ("Enter",), "anna"),  # capital letters make no difference where there is no such name
        ("bert", ("Enter",), "berta-two"),  # begins so; "robert" only holds it
        ("obert", ("Enter", "Tab"), "robert"),  # in the middle of a name: the first that holds it, where none begins so
        ("nobody", ("Enter", "Tab"), "nobody"),
        ("ann", ("Tab",), "ann"),  # without Enter it is what was typed
        ("anna", ("Tab",), "anna"),
        ("ANNA", ("Tab",), "anna"),
        ("anna", ("Escape",), "robert"),  # takes back what was typed
        ("xyz", ("Escape", "Tab"), "robert"),
        ("anna", ("Home", "Enter"), "anna"),  # moves in the text, and is no choice
        ("anna", ("ArrowDown", "ArrowUp", "Enter"), "Hanna-000"),  # what the arrows have chosen is shown
        ("Hanna-125", ("Enter",), "Hanna-125"),  # far below in a long list
        ("Joanna", ("Backspace",) * 6 + ("Enter", "Tab"), ""),
    ],
)
def test_the_keyboard_chooses_what_was_typed_or_is_shown(
    page: Page, text: str, keys: tuple[str, ...], value: str
) -> None:
    write(page, "train_embedding", "robert", "Tab")
    write(page, "train_embedding", text, *keys)
    page.locator("#live").click()
    expect(box(page, "train_embedding")).to_have_value(value, timeout=3_000)


def test_what_is_pasted_is_chosen_alike(page: Page) -> None:
    box(page, "train_embedding").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("anna")
    expect(page.locator("#train_embedding [role=option]").nth(5)).to_be_visible()
    page.keyboard.press("Enter")
    expect(box(page, "train_embedding")).to_have_value("anna")


def test_enter_of_an_input_method_chooses_nothing(page: Page) -> None:
    write(page, "train_embedding", "anna")
    composing = (
        "(box) => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true,"
        " cancelable: true}))"
    )
    box(page, "train_embedding").evaluate(composing)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(box(page, "train_embedding")).to_be_focused()
    assert value_of(page, "train_embedding") == "anna"
    page.keyboard.press("Enter")
    expect(box(page, "train_embedding")).to_have_value("anna")


def test_a_list_that_takes_no_other_text_says_what_stays_chosen(page: Page) -> None:
    name = "person"
    told = page.locator(f"#{name} .not-in-list")
    before = value_of(page, name)
    write(page, name, "zzz", "Tab")
    expect(told).to_have_text(f"'zzz' is not in this list. '{before}' stays chosen.")
    assert value_of(page, name) == before
    box(page, name).click()
    expect(told).to_have_count(0)
    page.keyboard.press("Control+A")
    page.keyboard.type("zzz")
    page.keyboard.press("Enter")
    expect(told).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    other = page.locator(f"#{name} [role=option]")
    box(page, name).click()
    last = other.last.get_attribute("aria-label") or ""
    page.keyboard.press("Control+A")
    page.keyboard.type(last.upper())
    page.keyboard.press("Tab")
    expect(box(page, name)).to_have_value(last)


def test_a_list_that_takes_no_other_text_takes_an_exact_name_without_enter(page: Page) -> None:
    for name in ("boris", "rex"):
        write(page, "person", name, "Tab")
        page.locator("#live").click()
        expect(box(page, "person")).to_have_value(name)
        assert page.locator("#person .not-in-list").count() == 0


def test_a_list_of_several_takes_exact_names_each_once(page: Page) -> None:
    choose_tab(page, "Embeddings")
    expect(page.locator("#embeddings_table")).to_contain_text("anna.pt", timeout=SLOW_MS)
    page.locator("#embeddings_merge_part .label-wrap").click()
    tokens = page.locator("#embeddings_merged .token")
    write(page, "embeddings_merged", "anna.pt", "Enter")
    expect(tokens).to_have_text([re.compile("^anna.pt")])
    page.keyboard.type("Joanna.pt")
    page.keyboard.press("Enter")
    page.keyboard.type("anna.pt")  # a second time: it neither goes away nor comes twice
    page.keyboard.press("Enter")
    page.keyboard.type("rob")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # adds no empty one
    page.keyboard.press("Tab")
    expect(tokens).to_have_text([re.compile("^anna.pt"), re.compile("^Joanna.pt"), re.compile("^robert.pt")])


AT_ONCE = """(box, [text, keys]) => {
  box.focus();
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(box, text);
  box.dispatchEvent(new Event("input", { bubbles: true }));
  for (const key of keys)
    if (key === "Tab") box.blur();
    else box.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}"""
"""As on a computer so slow that the list has not followed the text when the keys come that end it."""


@pytest.mark.parametrize("keys", [("Enter",), ("Tab",), ("Enter", "Tab")], ids="+".join)
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("person", "BORIS", "boris"),
        ("person", "zzz", "rex"),
        ("train_embedding", "ANNA", "anna"),
        ("train_embedding", "nobody", "nobody"),
        ("train_embedding", "bert", "berta-two"),
    ],
)
def test_a_name_typed_faster_than_the_list_follows_is_chosen(
    page: Page, name: str, text: str, value: str, keys: tuple[str, ...]
) -> None:
    entry, told = box(page, name), page.locator(f"#{name} .not-in-list")
    choose_tab(page, "Train")
    write(page, name, {"person": "rex", "train_embedding": "robert"}[name], "Tab")
    entry.evaluate(AT_ONCE, [text, keys])
    expect(told).to_have_count(int(text == "zzz"))
    page.locator("#live").click()
    expect(entry).to_have_value(text if (text, keys) == ("bert", ("Tab",)) else value)
    expect(entry).to_have_attribute("aria-expanded", "false")


def test_a_name_typed_fast_is_chosen_also_when_the_choice_before_comes_to_the_box_only_then(page: Page) -> None:
    choose_tab(page, "Train")
    write(page, "person", "rex", "Tab")
    expect(box(page, "person")).to_have_value("rex")
    late = AT_ONCE.rstrip("}") + 'setTimeout(() => { box.value = "rex"; });}'
    box(page, "person").evaluate(late, ["BORIS", ("Enter", "Tab")])
    expect(box(page, "person")).to_have_value("boris")


def test_escape_after_a_name_that_is_not_in_the_list_brings_back_what_was_chosen(page: Page) -> None:
    write(page, "person", "rex", "Tab")
    write(page, "person", "zzz", "Enter")
    expect(page.locator("#person .not-in-list")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box(page, "person")).to_have_value("rex")
