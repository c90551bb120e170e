"""Whoever sees little, uses no mouse or wants no motion: WCAG AA as axe-core finds it on every tab in both themes, and
the page by keyboard and finger.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.journey import (
    DESKTOP,
    PHONE,
    REPOSITORY,
    SLOW_MS,
    open_chromium,
    open_page,
    prepare_recipe,
    running_app,
    state,
    train,
    wait_for_previews,
)

pytestmark = pytest.mark.browser
AXE = REPOSITORY / "tools" / "javascript" / "node_modules" / "axe-core" / "axe.min.js"
TABS = ("Create embedding", "Preprocess images", "Captions", "Templates", "Train", "Compare", "txt2img", "Embeddings")
LEAST_PX = 40
UNFOLD = """() => {
  document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  document.querySelectorAll("button.label-wrap:not(.open)").forEach((head) => head.offsetParent && head.click());
}"""
FINDINGS = """async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
  const found = await axe.run({ runOnly: tags, resultTypes: ["violations"] });
  return found.violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 160)}`));
}"""
NAMELESS = """() => [...document.querySelectorAll("button, a[href], input, select, textarea, summary")]
  .filter((part) => part.getClientRects().length && part.type !== "file")
  .filter((part) => !(part.getAttribute("aria-label") || part.textContent.trim() || part.labels?.length
    || part.getAttribute("aria-labelledby") || part.title || part.placeholder))
  .map((part) => part.outerHTML.slice(0, 160))"""
NOT_MARKED = """() => {
  const part = document.activeElement;
  if (!part || part === document.body) return "";
  const shows = (each) => {
    const style = getComputedStyle(each);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none";
  };
  return shows(part) || shows(part.parentElement) ? "" : part.outerHTML.slice(0, 160);
}"""
SMALL = """(least) => [...document.querySelectorAll("button, summary")]
  .filter((part) => part.getClientRects().length && !part.matches(".help, .step-column button"))
  .filter((part) => part.getBoundingClientRect().height < least)
  .map((part) => `${part.getBoundingClientRect().height}: ${part.outerHTML.slice(0, 140)}`)"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_app(tmp_path_factory.mktemp("workspace")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module", autouse=True)
def trained(browser: Browser, url: str) -> None:
    """A page that has been used: with photos, captions, a run and its files."""
    page = open_page(browser, url, **DESKTOP)
    prepare_recipe(page)
    train(page, steps=4, every=2)
    wait_for_previews(page, 2)
    expect(state(page)).to_have_text("finished", timeout=SLOW_MS)
    page.context.close()


def open_tab(page: Page, name: str) -> None:
    tab = page.get_by_role("tab", name=name, exact=True)
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    page.evaluate(UNFOLD)
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(browser: Browser, url: str, theme: str) -> None:
    assert AXE.is_file(), "axe-core is missing: npm ci --prefix tools/javascript"
    page = open_page(browser, f"{url}?__theme={theme}", reduced_motion="reduce", **DESKTOP)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for name in TABS:
        open_tab(page, name)
        expect(page.locator(".upload-container[aria-label]:visible")).to_have_count(0)
        found[name] = [*page.evaluate(FINDINGS), *page.evaluate(NAMELESS)]
    page.context.close()
    assert {name: here for name, here in found.items() if here} == {}


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    page = open_page(browser, url, reduced_motion="reduce", **DESKTOP)
    yield page
    page.context.close()


def test_the_page_is_reached_by_keyboard_with_the_focus_in_view(page: Page) -> None:
    expect(page.locator("h1")).to_have_count(1)
    assert page.evaluate("document.documentElement.lang")
    first = page.get_by_role("tab", name=TABS[0], exact=True)
    first.click()
    first.focus()
    for name in TABS[1:5]:
        page.keyboard.press("ArrowRight")
        tab = page.get_by_role("tab", name=name, exact=True)
        expect(tab).to_be_focused()
        expect(tab).to_have_attribute("aria-selected", "true")
    presses, unmarked = 0, []
    while page.evaluate("document.activeElement.id") != "train-button":
        page.keyboard.press("Tab")
        presses += 1
        unmarked.append(page.evaluate(NOT_MARKED))
        assert presses <= 15
    for _ in range(60):  # the form, and the run panel behind it
        page.keyboard.press("Tab")
        unmarked.append(page.evaluate(NOT_MARKED))
    assert [part for part in unmarked if part] == []


def test_arrows_choose_among_a_groups_choices_and_tab_leaves_it(page: Page) -> None:
    open_tab(page, "Create embedding")
    choices = page.locator("#create_kind input[type=radio]")
    expect(choices.first).to_be_checked()
    choices.first.focus()
    for number in (1, 2):
        page.keyboard.press("ArrowDown")
        expect(choices.nth(number)).to_be_focused()
        expect(choices.nth(number)).to_be_checked()
    expect(page.locator("#create_slider")).to_be_visible()  # the page follows
    page.keyboard.press("Tab")
    assert not page.evaluate("() => document.activeElement.closest('#create_kind input')")


def test_the_large_picture_is_closed_by_escape_and_gives_the_focus_back(page: Page) -> None:
    opener = page.locator("#hero .enlarge")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog.large")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog.large")).to_be_hidden()
    expect(opener).to_be_focused()


def test_whoever_wants_no_motion_gets_none(page: Page) -> None:
    moving = """() => [...document.querySelectorAll("*")].filter((part) => {
      const style = getComputedStyle(part);
      return parseFloat(style.transitionDuration) > 0.001 || parseFloat(style.animationDuration) > 0.001;
    }).length"""
    assert page.evaluate(moving) == 0


def test_buttons_are_as_large_as_a_finger_on_a_phone(browser: Browser, url: str) -> None:
    page = open_page(browser, url, **PHONE)
    small: dict[str, list[str]] = {}
    for name in TABS:
        open_tab(page, name)
        small[name] = page.evaluate(SMALL, LEAST_PX - 0.5)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"], name
    page.context.close()
    assert {name: here for name, here in small.items() if here} == {}
