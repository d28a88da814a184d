"""What a reader points at on a page, by mouse, touch and keys, in a real browser."""

import re

import numpy as np
import pytest

from rspnet.data.index import new_row
from rspnet.report.page import made_of
from tests.support.browser import browser
from tests.support.findings import NASTY, features, guess, query, record
from tests.support.numbered import write_numbered

ENDS = {"top1": [-10.5, 25.5], "top5": [-10.5, 25.5]}
COMPARED = {"top1": 31.1, "top5": 62.2, "chance_top1": 16.7, "interval": ENDS, "interval_over": "videos"}
COMPARED |= {
    "random": {"top1": 21.1, "top5": 52.2, "difference": {"top1": 10.0, "top5": 10.0}, "difference_interval": ENDS}
}
NAMES = [*(f"{place}.mp4" for place in range(12)), NASTY]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with all that evaluations leave: 13 videos, two of which are there, and 30 classes."""
    folder = tmp_path_factory.mktemp("pointing")
    for name in NAMES[:2]:
        write_numbered(folder / name, 12, size=(64, 64))
    rows = [new_row(name, str(folder), f"class {place % 3}") for place, name in enumerate(NAMES)]
    values = np.random.default_rng(0).normal(size=(13, 4))
    known = features(values, names=NAMES, labels=[NASTY] * 13, splits=["test"] * 5 + ["train"] * 8)
    pairs = [(one, other) for one in range(30) for other in (one, one + 1 - one % 2 * 2)]
    lines = [guess(NAMES[one % 13], f"class {one:02d}", (f"class {other:02d}", 0.9)) for one, other in pairs]
    near = [query(NAMES[0], "a", *((name, label, 0.5) for name, label in zip(NAMES[1:6], "ababa")))]
    result = {"stage": "evaluate", "protocol": "linear,knn", "linear": COMPARED, "knn": COMPARED}
    run = record(folder, rows=rows, features=known, predictions={"linear": lines}, neighbours=near, result=result)
    made = made_of([run])
    assert made.failed == []
    out = folder / "page.html"
    out.write_text(made.text)
    return out


@pytest.fixture(scope="module")
def chromium():
    with browser() as found:
        yield found


@pytest.fixture
def opened(chromium, page):
    """Opens the page in a window of its own; in the end no console has anything to say."""
    contexts, wrong = [], []

    def opens(width=1280, **how):
        contexts.append(chromium.new_context(viewport={"width": width, "height": 800}, **how))
        tab = contexts[-1].new_page()
        tab.on("console", lambda message: wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(page.as_uri())
        return tab

    yield opens
    for context in contexts:
        context.close()
    assert wrong == []


def place_of(tab, video):
    """Where a video is drawn in the first map, pixels of the window."""
    svg = tab.locator("svg.points").first
    svg.scroll_into_view_if_needed()
    return tab.evaluate(
        """(video) => {
          const facts = JSON.parse(document.querySelector(".maps script").textContent);
          const point = new DOMPoint(facts.places[0][2 * video], facts.places[0][2 * video + 1]);
          const at = point.matrixTransform(document.querySelector("svg.points").getScreenCTM());
          return [at.x, at.y];
        }""",
        video,
    )


def picture_of(tab, selector):
    return tab.evaluate("(of) => getComputedStyle(document.querySelector(of)).backgroundImage", selector)


def test_a_mouse_shows_a_video(opened):
    tab = opened()
    card = tab.locator(".maps .told")
    assert not card.is_visible()
    tab.mouse.move(*place_of(tab, 0))
    assert card.is_visible()
    assert card.inner_text().endswith(": 0.mp4")
    assert "data:image/webp" in picture_of(tab, ".maps .told .thumb")
    assert tab.locator("svg.points .cursor").nth(1).is_visible()  # the same video in the other drawing
    tab.mouse.move(*place_of(tab, 12))
    assert "<img src=x" in card.inner_text()
    assert tab.title() != "1"
    tab.mouse.move(0, 0)
    assert not card.is_visible()


def test_keys_go_from_video_to_video(opened):
    tab = opened()
    svg, card = tab.locator("svg.points").first, tab.locator(".maps .told")
    tab.locator("#map").evaluate("(section) => { section.tabIndex = -1; section.focus(); }")
    tab.keyboard.press("Tab")
    assert svg.evaluate("(svg) => svg === document.activeElement")
    assert card.inner_text().endswith(": 0.mp4")
    shown = {card.inner_text()}
    for key in ["ArrowLeft"] * 4 + ["ArrowRight"] * 8 + ["ArrowUp"] * 3 + ["ArrowDown"] * 6:
        tab.keyboard.press(key)
        shown.add(card.inner_text())
    assert len(shown) > 4
    tab.keyboard.press("Escape")
    assert not card.is_visible()


def test_a_finger_shows_a_video_on_a_phone(opened):
    tab = opened(width=375, has_touch=True, is_mobile=True, color_scheme="dark")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    tab.touchscreen.tap(*place_of(tab, 1))
    assert tab.locator(".maps .told").inner_text().endswith(": 1.mp4")


def test_a_field_of_the_matrix_says_what_it_counts(opened):
    tab = opened()
    svg, told = tab.locator("svg.matrix"), tab.locator("figure.confusion .told")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.5 / 30, box["y"] + box["height"] * 0.5 / 30)
    said = told.inner_text()
    assert said.startswith("1 of 2 videos of class")
    name = said.split(" videos of ")[1].split(" are taken for ")
    assert name[0] == name[1]
    svg.focus()
    for _ in range(40):
        tab.keyboard.press("ArrowDown")
    assert told.inner_text().startswith("0 of 2 videos of class")


def test_pictures_stand_still_for_who_asks(opened):
    tab = opened()
    moving = picture_of(tab, ".card .thumb.t0")
    tab.locator("#stand-still").check()
    still = picture_of(tab, ".card .thumb.t0")
    assert len(still) < len(moving)
    assert picture_of(opened(reduced_motion="reduce"), ".card .thumb.t0") == still
    tab.locator("#stand-still").uncheck()
    assert picture_of(tab, ".card .thumb.t0") == moving


def test_on_paper_nothing_is_cut_off_nor_dark(opened):
    """A4 with usual margins, whatever colours the system has."""
    tab = opened(718, color_scheme="dark")
    tab.emulate_media(media="print")
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    tab.evaluate("document.querySelectorAll('#map td').forEach((each) => { each.textContent += 'x'.repeat(90); })")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 718
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    used = tab.evaluate(
        "[...document.querySelectorAll('td, th, p, li, text')].map((each) => getComputedStyle(each).color)"
    )
    assert max(sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in used) < 3 * 128
    assert not tab.locator("#stand-still").is_visible()
