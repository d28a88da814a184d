"""Videos of a run by name, and the cards that show them."""

from rspnet.report.videos import Videos, label_of
from tests.support.findings import NASTY, record, rows_of, text_of


def test_a_video_is_known_by_a_name_that_it_has_alone(tmp_path):
    rows = rows_of(tmp_path / "one", "a.mp4", "b.mp4") + rows_of(tmp_path / "other", "b.mp4")
    videos = Videos(record(tmp_path, rows=rows))
    assert videos.row("a.mp4")["root"] == str(tmp_path / "one")
    assert videos.row("b.mp4") is None  # which of both?
    assert videos.row("c.mp4") is None
    assert Videos(record(tmp_path)).row("a.mp4") is None


def test_a_card_says_what_it_shows(tmp_path):
    videos = Videos(record(tmp_path, rows=rows_of(tmp_path, "a.mp4")))
    html = videos.card("a.mp4", "<i>one</i>", right=False)
    assert text_of(html) == "✗ wrong &lt;i&gt;one&lt;/i&gt; a.mp4"
    assert 'aria-label="a.mp4, without a picture"' in html
    assert '<figure class="card is-wrong">' in html
    assert text_of(videos.card("a.mp4", "one")) == "one a.mp4"
    assert videos.picture_class("a.mp4") == videos.picture_class("nowhere.mp4") == ""


def test_names_can_be_seen(tmp_path):
    html = Videos(record(tmp_path)).card(NASTY)
    assert "\u202e" not in html
    assert "<img" not in html
    assert label_of(None) == "no class"
    assert label_of("a\u202eb") == "a\\u202eb"
