"""Numbers as a table with dots: where they are drawn, and that the numbers stand beside them."""

import re

from rspnet.report.dots import Dot, table
from tests.support.findings import NASTY, text_of


def test_numbers_and_places():
    html = str(table([Dot("run", 25.0, (10.0, 60.0), 20.0, 8)], caption="Some", head="class"))
    assert "run 8 25.0 [10.0, 60.0]" in text_of(html)
    assert '<line class="interval" x1="10.0%" x2="60.0%"' in html
    assert '<line class="chance" x1="20.0%" x2="20.0%"' in html
    assert '<circle class="dot" cx="25.0%"' in html


def test_another_scale_and_what_lies_beyond_it():
    html = str(table([Dot("ahead", -5.0, (-30.0, 20.0), 0.0, is_control=True)], caption="", head="", scale=(-10, 10)))
    assert re.findall(r'(?:x1|x2|cx)="([\d.]+)%"', html) == ["0", "100", "50.0", "50.0", "0.0", "100.0", "25.0"]
    assert '<tr class="control">' in html
    assert 'class="hollow"' in html
    assert "ahead -5.0 [-30.0, +20.0]" in text_of(html)
    none = table([Dot("same", 0.0, (-0.01, 0.04))], caption="", head="", scale=(-10, 10))
    assert "same 0.0 [0.0, 0.0" in text_of(none)


def test_a_number_alone_is_enough_and_names_are_escaped():
    html = str(table([Dot(NASTY, 1.0)], caption="<b>", head="<i>"))
    assert 'class="interval"' not in html
    assert 'class="chance"' not in html
    assert "videos" not in html
    assert not re.search("<img|<b>|<i>|\u202e", html)
