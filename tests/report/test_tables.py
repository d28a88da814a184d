"""Tables: a cell for each column, and texts from outside that stay texts."""

from markupsafe import Markup

from rspnet.report.tables import details, said, table


def test_a_table():
    html = table(["run", "%"], [("<b>", "1 & 2"), ("two", Markup("<i>3</i>"))], label='a "table"', kind="numbers")
    assert html.count('<th scope="col">') == 2
    assert '<th scope="row">&lt;b&gt;</th><td>1 &amp; 2</td>' in html
    assert "<td><i>3</i></td>" in html
    assert 'tabindex="0" role="group" aria-label="a &#34;table&#34;"' in html
    html = table(["run", "%", "by"], [("1", "0.5 [0, 1]", "kNN"), ("2", "", "2nd")], label="", kind="numbers")
    assert html.count('<td class="figure">') == 2
    assert "<td>2nd</td>" in html  # a word stands in that column


def test_details():
    assert details("<x>", Markup("<p></p>")) == "<details><summary>&lt;x&gt;</summary><p></p></details>"


def test_numbers():
    assert [said(value, "%") for value in (0, 0.0061, 33.333, 100)] == ["0.0", "0.0061", "33.3", "100.0"]
    assert [said(value, "") for value in (0, 0.05, 1234.5)] == ["0", "0.0500", "1234"]
