"""Some queries with their neighbours: a fair draw, marked by more than colour."""

from rspnet.report.gallery import drawn, gallery
from rspnet.report.lines import queries
from tests.support.findings import NASTY, query, record, text_of


def lines(number, labels=("run", "walk")):
    near = [(f"near {place}.mp4", labels[place % len(labels)], 0.9 - place / 10) for place in range(10)]
    return [query(f"{place}.mp4", labels[0], *near) for place in range(number)]


def test_few_are_all_shown_and_marked_by_a_sign_and_a_word(tmp_path):
    html = gallery(record(tmp_path, neighbours=lines(2))).html
    assert html.count('<figure class="card is-right">') == 2 * 3
    assert html.count('<figure class="card is-wrong">') == 2 * 2
    text = text_of(html)
    assert text.count("✓ right") == 6
    assert text.count("✗ wrong") == 4
    assert "near 5.mp4" not in text
    assert "cosine 0.900" in text
    assert "Of all 2, 2 have a video of their own class nearest (100.0 %)." in text


def test_of_many_some_are_drawn_the_same_each_time(tmp_path):
    found = queries(record(tmp_path, neighbours=lines(100)))
    chosen = [each.video for each in drawn(found)]
    assert chosen == [each.video for each in drawn(found)]
    assert len(set(chosen)) == 12
    places = [int(name.removesuffix(".mp4")) for name in chosen]
    assert places == sorted(places)
    assert max(places) > 50  # not the first ones


def test_without_labels_there_are_no_marks(tmp_path):
    html = gallery(record(tmp_path, neighbours=lines(2, labels=(None,)))).html
    assert "right</b>" not in html
    assert "wrong</b>" not in html
    assert "Without labels it is not known which are right." in html
    assert gallery(record(tmp_path)) is None


def test_with_labels_of_some_videos_there_is_no_recall(tmp_path):
    """As in the evaluation; two videos without a class are not of the same class."""
    found = gallery(record(tmp_path, neighbours=[*lines(1), *lines(2, labels=(None,))]))
    assert "Without labels it is not known which are right." in found.html
    assert "of their own class nearest" not in found.html


def test_names_are_escaped(tmp_path):
    html = gallery(record(tmp_path, neighbours=[query(NASTY, NASTY, (NASTY, NASTY, 0.5))])).html
    assert "<img" not in html
    assert "\u202e" not in html
