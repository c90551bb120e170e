"""The page in other languages: every text stands in the one table, whole in each language, and none stands there for
nothing.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import gradio as gr
import pytest
from playwright.sync_api import expect

from tests.ui.journey import ANSWER_MS, REPOSITORY, START_S, open_chromium, running_app
from ti_core.jobs.queue import JobQueue
from ti_core.ui.app_context import AppContext
from ti_core.ui.page import Page
from ti_core.ui.translations import SOURCE, TEXTS, translations
from ti_core.workspace import Workspace

CODE = REPOSITORY / "ti_core"
PLACEHOLDER = re.compile(r"\{[a-z]?\}")
TABLE = json.loads((TEXTS / f"{SOURCE}.json").read_text(encoding="utf-8"))
NAMED_ATTRIBUTES = ("title", "aria-label", "alt", "placeholder")
IS_DATA = re.compile(r"\.(txt|pt|png|safetensors)$|^(SD|\[\w+\]|a (photo|sketch) of \[name\].*|textual_inversion)$")
SAME_EVERYWHERE = {"Automatic", "on", "off", "anna", "boris", "${value}"}
"""A1111's own values, which the explanations name, and names."""
IS_CODE = re.compile(r"^: \"|[#.\[][\w-]+[\s\]=,>]|\]|=>|\$\{|:scope|^\(|^[#.]\w|^(td|tbody) |^input,|\{ \w")
SELECTORS = {"#{} > .label-wrap", "dialog, .close"}
KEYS_AND_NAMES = {"Enter", "ArrowUp", "ArrowDown", "Home", "End", "Escape", "Unidentified", "Notification"}
UNITS = {"{} min {} s", "{} h {} min"}
FROM_GRADIO = (
    "number input for {}",
    "range slider for {}",
    *("Reset to default value", "Copy table data", "Open cell menu", "Paste from clipboard", "Fullscreen"),
    *("Upload file", "File upload", "Table actions", "Empty value"),
)
PUT_TOGETHER = re.compile(
    r"\{n\} (of \{n\} )?steps, stopped|Preview of step .*|\{n\} photos, .*none with a caption file"
    r"|Each step looks at .*|It needs about .*|Training finished at .*"
)
"""Whole sentences that the code puts together of pieces."""
MONTH = re.compile(r"\{n\} [A-Z][a-z]+ \{n\}")


class Texts(HTMLParser):
    """All texts of a piece of HTML, and of its attributes that people read or hear."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(markup)

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in NAMED_ATTRIBUTES and value]


def plain(text: str) -> str:
    """One way of writing for all placeholders, and for spaces."""
    return " ".join(PLACEHOLDER.sub("{}", text).split())


def is_text(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{2}", text)) and text not in SAME_EVERYWHERE and not IS_DATA.search(text)


def texts_of(component: gr.blocks.Block) -> Iterator[str]:
    """What a component shows; values of dropdowns are what is sent and stay as they are."""
    if type(component).__name__ == "Api":  # of the programs' interface, not of the page
        return
    for name in ("label", "info", "placeholder"):
        if isinstance(text := getattr(component, name, None), str):
            yield text
    if isinstance(component, gr.HTML):
        for markup in (component.value, component.html_template):
            yield from Texts(markup or "").found
    elif isinstance(component, gr.Markdown):
        yield from (component.value or "").split("**")
    elif isinstance(component, gr.Button):
        if component.visible != "hidden":
            yield str(component.value)
    elif isinstance(component, gr.Dataframe):
        yield from component.headers
    elif isinstance(component, gr.Radio):
        yield from (str(name) for name, _ in component.choices)


@pytest.fixture(scope="module")
def page_texts(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    blocks = Page(AppContext(workspace, JobQueue(workspace))).build()
    found = {plain(text) for component in blocks.blocks.values() for text in texts_of(component)}
    return {text for text in found if is_text(text)}


def script_texts() -> set[str]:
    """The literals of our scripts that are read by people: with a space in it or a capital letter first."""
    found = set()
    for file in (CODE / "ui").rglob("*.js"):
        if file.name == "translate.js":
            continue
        code = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        code = re.sub(r"(?:^|\s)//.*$", "", code, flags=re.MULTILINE)
        for quoted, template in re.findall(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`', code):
            text = plain(re.sub(r"\$\{(?:[^{}`]|\{[^{}]*\})*\}", "{}", quoted or template))
            if is_text(text) and (" " in text or text[0].isupper()) and not IS_CODE.search(text):
                found.add(text)
    return found - KEYS_AND_NAMES - SELECTORS - UNITS


SAYS_TO_PEOPLE = {"UserError", "Problem", "Notice", "Progress", "Finished", "Info", "Warning"}
FOR_THE_TERMINAL = re.compile(
    r"/(cli|program|portraits)/|/server/(hosting|page_server|gradio_internals|guarded_blocks|server)\.py"
    r"|/(webui|a1111_api)\.py"
)
"""What these modules say is read where the server was started, or by programs."""


def literal(node: ast.expr) -> str:
    """The text that an expression makes, with {} for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left) + literal(node.right)
    return "{}"


def sentences_of(file: Path) -> Iterator[str]:
    """Whole sentences that a module says to people: errors with their hints, notices, progress, answers."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in SAYS_TO_PEOPLE:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                text = plain(literal(argument))
                if " " in text and re.match(r"[A-Z]|\W*\{\}", text) and re.search(r"[a-z]{3}", text):
                    yield text


def test_every_sentence_of_the_server_is_translated() -> None:
    files = [file for file in CODE.rglob("*.py") if not FOR_THE_TERMINAL.search(file.as_posix())]
    said = {sentence for file in files for sentence in sentences_of(file)}
    assert len(said) > 400
    assert sorted(text for text in said if text not in KEYS and not is_covered(text)) == []


def is_covered(text: str) -> bool:
    """Whether it is a key, or a part of what a script puts together and the table holds as a whole."""
    parts = [re.escape(part.strip()) for part in text.split("{}") if part.strip()]
    with_placeholders = [key for key in KEYS if "{}" in key]
    return (
        text in KEYS
        or any(re.search(".*".join(parts), key) for key in with_placeholders)
        or any(re.fullmatch(re.escape(key).replace(r"\{\}", ".+"), text) for key in with_placeholders if len(key) > 12)
    )


KEYS = {plain(key) for key in TABLE}


def test_english_is_the_table_itself() -> None:
    assert {key: value for key, value in TABLE.items() if key != value} == {}


@pytest.mark.parametrize("language", translations())
def test_no_text_is_missing_in_a_language_and_none_is_left_over(language: str) -> None:
    table = translations()[language]
    assert set(TABLE) - set(table) == set()
    assert set(table) - set(TABLE) == set()
    assert [key for key, text in table.items() if not text.strip()] == []
    in_another_order = [k for k, text in table.items() if PLACEHOLDER.findall(k) != PLACEHOLDER.findall(text)]
    assert in_another_order == []


def test_no_text_of_the_page_stands_outside_the_table(page_texts: set[str]) -> None:
    assert {text for text in page_texts if text not in KEYS and not is_covered(text)} == set()


def test_no_text_of_a_script_stands_outside_the_table() -> None:
    found = script_texts()
    assert len(found) > 60
    assert {text for text in found if not is_covered(text)} == set()


def test_every_text_of_the_table_is_used(page_texts: set[str]) -> None:
    files = [file for kind in ("py", "js", "html") for file in CODE.rglob(f"*.{kind}")]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    code = " ".join(re.sub(r"[\"']\s*\n\s*f?[\"']", "", code).replace("\\", "").split())
    shown = page_texts | script_texts()
    unused = []
    for key in TABLE:
        parts = [part.strip(" .,:;()'") for part in re.split(r"\{[a-z]?\}|(?<=[.:?]) ", key)]
        words = [part for part in parts if len(part) > 1]
        known = (
            plain(key) in shown
            or plain(key) in FROM_GRADIO
            or MONTH.fullmatch(key)
            or PUT_TOGETHER.fullmatch(key)
            or not words
        )
        if not known and not all(word in code for word in words):
            unused.append(key)
    assert unused == [], "\n".join(unused)


@pytest.mark.browser
def test_a_spanish_browser_sees_spanish_and_an_english_one_english(tmp_path: Path) -> None:
    with running_app(tmp_path) as (url, _), open_chromium() as browser:
        for locale, language, button, help_of, plan, invitation in (
            ("es-AR", "es", "Entrenar embedding (Train)", "Ayuda: Pasos máximos (Max steps)", "Elija", "No hay nada"),
            ("en-GB", "en", "Train Embedding", "Help: Max steps", "Choose", "Nothing is running"),
        ):
            page = browser.new_context(locale=locale).new_page()
            page.set_default_timeout(ANSWER_MS)
            page.goto(url)
            page.wait_for_function("window.pageIsBack && window.formsAreBack", timeout=START_S * 1000)
            page.locator("#tab-train-button").click()
            expect(page.locator("#train-button")).to_have_text(button)
            expect(page.locator("#train_steps .help")).to_have_attribute("aria-label", help_of)
            expect(page.locator("#train_plan textarea")).to_have_value(re.compile(f"^{plan}"))
            expect(page.locator("#live .text")).to_have_text(re.compile(f"^{invitation}"))
            expect(page.locator("html")).to_have_attribute("lang", re.compile(f"^{language}"))
            page.locator("#train_find").get_by_role("textbox").fill("seed")  # A1111's word is found in every language
            expect(page.locator("#train_seed:visible")).to_have_count(1)
            page.context.close()
