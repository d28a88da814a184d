"""Drawings: from numbers to places, what is read out, and what cannot do harm."""

import math
import re
from html.parser import HTMLParser

from rspnet.report.charts import Curve, finite, grid, lines

POINTS = [(1.0, 20.0), (2.0, 40.0), (3.0, 80.0)]


def path(html, kind):
    (found,) = re.findall(rf'class="{kind} c0" d="M([^"]*)"', html)
    return [tuple(map(float, place.split())) for place in found.split("L")]


def test_a_curve_is_where_its_numbers_are():
    html = lines("Accuracy", [Curve("top-1", POINTS, chance=10.0)], x_name="epoch", unit="%")
    (x0, y0), (x1, y1), (x2, y2) = path(html, "line")
    assert x1 - x0 == x2 - x1 > 50
    assert y0 - y1 == (y1 - y2) / 2 > 10  # 20 points of percent, and 40; up is less
    (across,) = re.findall(r'class="by-chance c0" d="M42 ([\d.]+)H332"', html)
    assert float(across) - y0 == (y0 - y1) / 2  # half as far below 20 as 40 is above it
    assert '<text class="tick" x="36"' in html


def test_what_is_read_out():
    html = lines("Accuracy", [Curve("top-1", POINTS, chance=10.0)], x_name="epoch", unit="%")
    assert "<title>Accuracy</title>" in html
    assert "<desc>top-1: 20.0 at epoch 1, 80.0 at epoch 3, 10.0 by chance</desc>" in html
    rows = re.findall(r'<tr><th scope="row">(\d)</th><td class="figure">([\d.]+)</td></tr>', html)
    assert rows == [("1", "20.0"), ("2", "40.0"), ("3", "80.0")]


def test_names_are_escaped():
    html = lines("<script>", [Curve('"><img src=x>', POINTS)], x_name="<b>", unit="<i>")
    assert not re.search(r"<(script|img|b>[^<]*<text)", html)
    assert "&lt;script&gt;" in html


def test_logarithmic_steps_are_factors():
    points = [(0.0, 0.001), (1.0, 0.01), (2.0, 0.1)]
    html = lines("Rate", [Curve("rate", points)], x_name="epoch", log=True)
    (_, y0), (_, y1), (_, y2) = path(html, "line")
    assert y0 - y1 == y1 - y2 > 30
    assert "epoch (y logarithmic)" in html


def test_one_point_and_none():
    assert lines("Loss", [Curve("loss", [])], x_name="epoch") == ""
    html = lines("Loss", [Curve("loss", [(1.0, 0.0)])], x_name="epoch")
    assert "<circle" in html
    assert not re.search(r"\bnan\b", html)
    assert grid([html, lines("Loss", [], x_name="epoch")]).count("<figure") == 1
    assert grid([]) == ""


def test_many_points_stay_small():
    points = [(float(x), math.sin(x)) for x in range(100_000)]
    html = lines("Loss", [Curve("loss", points, faint=points)], x_name="step")
    assert len(html) < 20_000
    assert '<th scope="row">99999</th>' in html  # the last is always there


def test_only_numbers_are_drawn():
    values = [1, 2.5, True, None, "3", math.nan, math.inf, 10**400, [1]]
    assert finite((0, value) for value in values) == [(0.0, 1.0), (0.0, 2.5)]


def test_tags_are_balanced():
    open_tags = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

        def handle_startendtag(self, tag, attrs):
            pass

    Parser().feed(str(grid([lines("Loss", [Curve("a", POINTS, faint=POINTS), Curve("b", POINTS)], x_name="epoch")])))
    assert open_tags == []
