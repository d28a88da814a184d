"""The page as a parser and a browser see it, of runs as they are and as they should not be."""

import re
from html.parser import HTMLParser

import pytest

from rspnet.errors import ConfigError
from rspnet.report import page as pages
from rspnet.report.page import GENERATOR, check_out, made_of, write
from rspnet.report.record import Record
from rspnet.report.section import Section
from tests.report.test_health import WELL
from tests.support.browser import browser
from tests.support.run_folders import course, rows, write_lines, write_run

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&{{7*7}}\u202e\ud800"
VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


class Outline(HTMLParser):
    """What a page is made of: every tag is closed in its order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.links, self.headings, self.loaded = [], [], set(), [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        assert len(known) == len(attrs), f"{tag}: an attribute twice: {attrs}"
        assert not [name for name in known if name.startswith("on") or name == "style"], (tag, attrs)
        self.tags.add(tag)
        self.ids += [known["id"]] if "id" in known else []
        if "href" in known:
            self.links.append(known["href"])
        self.loaded += [known[name] for name in ("src", "srcset", "poster", "data", "action") if name in known]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(text):
    """What holds of every page; returns its outline."""
    outline = Outline(text)
    assert len(set(outline.ids)) == len(outline.ids)
    assert not re.search(r"""(src|href|url|@import)\W{0,3}(https?:)?//""", text)
    assert [link for link in outline.links if not link.startswith("#")] == ["data:,"]
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert all(place.startswith("data:") for place in outline.loaded)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(outline.headings, outline.headings[1:]))
    assert {"header", "nav", "main", "footer"} <= outline.tags
    assert "script" not in outline.tags or "script-src &#39;sha256-" in text
    assert len(text) < 5_000_000
    return outline


def all_kinds(folder, name="run"):
    """A run of each kind, and one of each kind that is not finished."""
    folders = [write_run(folder / "pretrain" / name, "pretrain", metrics=course("pretrain", **WELL))]
    folders += [write_run(folder / stage / name, stage) for stage in ("finetune", "evaluate")]
    return folders + [
        write_run(folder / f"{path.parent.name}_" / name, path.parent.name, result=None) for path in folders
    ]


def test_each_kind_of_run_has_a_page(tmp_path):
    expected = {
        "pretrain": {"curves", "health", "made"},
        "finetune": {"results", "curves", "made"},
        "evaluate": {"results", "made"},
    }
    for folder in all_kinds(tmp_path):
        page = made_of([record := Record.read(folder)])
        assert page.failed == []
        assert expected[record.stage] <= set(check(page.text).ids)
        assert "This could not be made" not in page.text


def test_several_runs_have_one_page(tmp_path):
    records = [Record.read(folder) for folder in all_kinds(tmp_path)]
    page = made_of(records)
    assert page.failed == []
    assert {"runs", "apart", "options", "curves"} <= set(check(page.text).ids)
    assert str(records[0].run_dir) in page.text  # all folders have one name


def test_names_do_no_harm(tmp_path):
    """Of folders, classes, videos, options, weights: all that may come from anywhere."""
    name = EVIL.replace("/", "")[:-1]  # a folder's name ends at a slash, and is UTF-8
    lines = course("finetune", **{"loss": EVIL, EVIL: 1.0})
    folder = write_run(
        tmp_path / name,
        "finetune",
        metrics=lines,
        videos=rows(names=(name, "other")),
        options={"encoder": {"name": EVIL}, EVIL[:-1]: {"a": EVIL}},
        weights=EVIL,
        arch=EVIL,
        class_accuracy={EVIL: 1.0},
    )
    write_lines(
        folder / "predictions.jsonl", [{"video": EVIL, "label": EVIL, "predicted": [EVIL], "probability": [1.0]}]
    )
    record = Record.read(folder)
    for page in (made_of([record]), made_of([record, record])):
        check(page.text.encode("utf-8", "backslashreplace").decode())
        assert "<script>alert" not in page.text
        assert "<img src=x" not in page.text
        assert "{{7*7}}" in page.text
    write([folder], tmp_path / "out.html")
    (tmp_path / "out.html").read_text(encoding="utf-8")


def test_what_is_damaged_is_said_and_the_rest_is_there(tmp_path):
    folder = write_run(tmp_path / "f", "finetune")
    (folder / "metrics.jsonl").write_text("[" * 99_999)
    (folder / "index.parquet").write_bytes(b"PAR1")
    text = made_of([Record.read(folder)]).text
    check(text)
    assert "Not everything could be read" in text
    assert "metrics.jsonl: 1 line cannot be read" in text
    assert "No curves" in text
    assert "60.0 %" in text


def test_a_section_that_fails_takes_no_other_along(tmp_path, monkeypatch):
    def broken(record):
        raise RuntimeError("a <b>thought</b>")

    monkeypatch.setattr(pages, "SECTIONS", (broken, *pages.SECTIONS))
    page = made_of([Record.read(write_run(tmp_path / "f", "finetune"))])
    assert page.failed == ["section broken: RuntimeError: a <b>thought</b>"]
    assert "could not be made (RuntimeError: a &lt;b&gt;thought&lt;/b&gt;)" in page.text
    assert {"broken", "results"} <= set(check(page.text).ids)


@pytest.mark.parametrize("field", ["result", "config", "environment"])
@pytest.mark.parametrize("value", [{"pretext": 1, "optim": [], "encoder": "x", "sources": 3, "versions": 1}, {}])
def test_values_of_other_kinds(tmp_path, field, value):
    for folder in all_kinds(tmp_path):
        record = Record.read(folder)
        check(made_of([type(record)(**vars(record) | {field: value})]).text)


def test_what_is_replaced(tmp_path):
    folder = write_run(tmp_path / "f", "finetune")
    for out in (tmp_path / "page.html", folder / "report.html"):
        check_out(str(out))
        assert write([folder], out) == []
        check_out(str(out))
        assert GENERATOR in out.read_text(encoding="utf-8")
    (tmp_path / "mine.html").write_text("<p>my rspnet report</p>")
    for name, said in {"page.txt": "ends in .html", "mine.html": "is not a report", "f.html": "is not a file"}.items():
        (tmp_path / "f.html").mkdir(exist_ok=True)
        with pytest.raises(ConfigError, match=said):
            check_out(str(tmp_path / name))
    check_out(str(tmp_path / "new" / "folder" / "page.html"))
    with pytest.raises(ConfigError, match=r"nothing can be written into .*mine.html; choose another place"):
        check_out(str(tmp_path / "mine.html" / "new" / "page.html"))
    assert not (tmp_path / "new").exists()


def test_every_section_is_a_section(tmp_path):
    for folder in all_kinds(tmp_path):
        for function in pages.SECTIONS:
            found = function(Record.read(folder))
            assert found is None or isinstance(found, Section)
            assert found is None or re.fullmatch(r"[a-z-]+", found.name)
            assert found is None or found.html or found.note


def test_in_a_browser(tmp_path):
    folders = all_kinds(tmp_path)[:3]
    outs = [tmp_path / f"{number}.html" for number in range(4)]
    for folder, out in zip(folders, outs):
        write([folder], out)
    write(folders, outs[3])
    wrong = []
    with browser() as chromium:
        for scheme, width in (("light", 1280), ("dark", 375)):
            context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
            tab = context.new_page()
            tab.on("console", lambda message: wrong.append(message.text))
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on("request", lambda request: request.url.startswith("http") and wrong.append(request.url))
            for out in outs:
                tab.goto(out.as_uri())
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, out
                for name in re.findall(r'<section id="([^"]+)"', out.read_text(encoding="utf-8")):
                    assert tab.locator(f"section#{name}").is_visible()
                tab.keyboard.press("Tab")
                assert tab.evaluate("document.activeElement.className") == "skip"
                assert tab.locator("a.skip").bounding_box()["y"] >= 0
            context.close()
    assert wrong == []


def luminance(colour):
    """Of sRGB, as WCAG 2 has it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stand_out(scheme):
    style = (pages._HERE / "style.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    colours = dict(re.findall(r"(--\w+): (#\w+);", roots[0] + (roots[1] if scheme == "dark" else "")))
    for ground in ("--ground", "--surface"):
        for name, least in [
            *((name, 4.5) for name in ("--text", "--muted", "--accent", "--good", "--bad")),
            *((name, 3.0) for name in ("--mark", *(f"--c{number}" for number in range(6)))),
        ]:
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= least, (scheme, name, ground)
