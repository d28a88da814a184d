"""The map of the features: directions against an eigendecomposition, neighbourhoods kept, and what is drawn."""

import json
import re

import numpy as np
import pytest

from rspnet.report import feature_map as module
from rspnet.report.feature_map import cloud_of, feature_map, laid_flat, main_directions
from tests.support.findings import NASTY, features, record, rows_of, text_of


def facts_of(html):
    return json.loads(re.search(r'json">(.*?)</script>', str(html))[1])


def clusters(number, each, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(number, 16))
    labels = np.repeat(np.arange(number), each)
    return centres[labels] + 0.05 * rng.normal(size=(number * each, 16)), labels


def test_main_directions_are_those_of_the_covariance():
    values, _ = clusters(4, 10)
    places, shares = main_directions(values)
    centred = values - values.mean(0)
    sizes, directions = np.linalg.eigh(centred.T @ centred)
    for column in (0, 1):
        assert np.abs(places[:, column]) == pytest.approx(np.abs(centred @ directions[:, -1 - column]), abs=1e-8)
        assert shares[column] == pytest.approx(sizes[-1 - column] / sizes.sum())
        assert places[np.abs(places[:, column]).argmax(), column] > 0


def test_directions_of_next_to_nothing():
    places, shares = main_directions(np.ones((3, 4)))
    assert not places.any()
    assert shares == (0, 0)
    places, shares = main_directions(np.array([[0.0], [1.0]]))
    assert places[:, 0] == pytest.approx([0.5, -0.5]) or places[:, 0] == pytest.approx([-0.5, 0.5])
    assert shares == (1, 0)


def test_neighbourhoods_stay_together_the_same_each_time():
    values, labels = clusters(3, 12)
    places = laid_flat(values)
    assert np.array_equal(places, laid_flat(values))
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).all()
    assert laid_flat(values[:5]) is None
    assert laid_flat(np.ones((30, 4))) is None


def test_a_point_for_each_video_that_could_be_read(tmp_path):
    values, labels = clusters(2, 10)
    values[3] = np.nan
    known = features(values, labels=[f"class {label}" for label in labels])
    html = feature_map(record(tmp_path, features=known)).html
    facts = facts_of(html)
    assert [each[0] for each in facts["videos"]] == [f"{place}.mp4" for place in range(20) if place != 3]
    assert [len(places) for places in facts["places"]] == [38, 38]
    assert all(0 <= place <= 400 for places in facts["places"] for place in places)
    for svg in re.findall(r'<svg class="points".*?</svg>', html):
        assert sorted(path.count("M") for path in re.findall(r'<path class="k\d" d="(.*?)"', svg)) == [9, 10]
    assert "class 0 9" in text_of(html)
    assert "class 1 10" in text_of(html)


def test_classes_differ_by_colour_and_shape_and_the_rarest_share_a_mark(tmp_path):
    values, _ = clusters(60, 2)
    known = features(values, labels=[f"class {place // 2}" for place in range(118)] + ["class 0", None])
    html = feature_map(record(tmp_path, features=known)).html
    legend = re.search(r'<ul class="legend">(.*?)</ul>', html)[1]
    marks = re.findall(r'<path class="(.*?)" d="M0 0(.*?)"', legend)
    assert len(marks) == len(set(marks)) == 25
    assert marks[0][0] == "k0"
    assert "class 0 3" in text_of(legend)
    assert "others, or without a class 71" in text_of(legend)


def test_of_many_some_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 10)
    monkeypatch.setattr(module, "_PICTURES", 4)
    known = features(np.random.default_rng(0).normal(size=(50, 3)))
    run = record(tmp_path, features=known, rows=rows_of(tmp_path, *(f"{place}.mp4" for place in range(50)), label=None))
    cloud = cloud_of(run)
    assert cloud.total == 50
    assert len(cloud.videos) == 10
    assert cloud.videos == cloud_of(run).videos
    assert np.linalg.norm(cloud.values, axis=1) == pytest.approx(1)
    assert "10 videos of 50, drawn at random" in text_of(feature_map(run).html)
    assert run.thumbnails.left_out() == "Shown without a picture: 4 videos not there any more, or damaged."


def test_in_brief_there_is_no_second_drawing_and_no_further_picture(tmp_path, monkeypatch):
    for name in ("laid_flat", "thumbnail"):
        monkeypatch.setattr(f"rspnet.report.{'thumbnails' if name == 'thumbnail' else 'feature_map'}.{name}", None)
    rows = rows_of(tmp_path, *(f"{place}.mp4" for place in range(8)))
    run = record(tmp_path, features=features(np.random.default_rng(0).normal(size=(8, 3))), rows=rows, in_brief=True)
    run.thumbnails._known[str(tmp_path / "3.mp4")] = "t5"  # shown further up
    html = feature_map(run).html
    assert html.count('<svg class="points"') == 1
    assert "second drawing" not in html
    assert [picture for _, _, picture in facts_of(html)["videos"]] == ["", "", "", "t5", "", "", "", ""]
    assert not run.thumbnails.left_out()


@pytest.mark.parametrize("number", [2, 3])
def test_few_videos_without_labels(tmp_path, number):
    html = feature_map(record(tmp_path, features=features(np.eye(number, 4)))).html
    assert html.count('<svg class="points"') == 1
    assert "no class" in html
    assert len(facts_of(html)["videos"]) == number


def test_where_there_is_nothing_to_map_it_is_said(tmp_path):
    assert feature_map(record(tmp_path)) is None
    for known in (features([[1.0, 2.0]]), features(np.eye(3), window=2.0), features(np.ones((3, 2, 2)))):
        section = feature_map(record(tmp_path, features=known))
        assert not section.html
        assert "nothing to map" in section.note


def test_names_are_escaped(tmp_path):
    nasty = f"</script>{NASTY}"
    html = str(
        feature_map(record(tmp_path, features=features(np.eye(2), names=[nasty, "b"], labels=[nasty, "b"]))).html
    )
    assert "<img" not in html
    assert html.count("</script>") == 1
    assert "\u202e" not in html
