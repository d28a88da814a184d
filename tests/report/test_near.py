"""The nearest pairs of test and training videos, and whether their files are the same."""

import numpy as np
import pytest

from rspnet.data.index import new_row
from rspnet.report.feature_map import feature_map
from rspnet.report.near import near, same_file, sides_of
from tests.support.findings import NASTY, features, record, text_of

SPLITS = ["test"] * 3 + ["train"] * 4


def values():
    rng = np.random.default_rng(0)
    found = rng.normal(size=(7, 8))
    found[1] = found[5]
    return found


def test_the_nearest_pair_stands_first(tmp_path):
    known = features(values(), splits=SPLITS, labels=list("abcdefg"))
    html = near(record(tmp_path, features=known)).html
    assert html.count('<figure class="two">') == 3
    first = text_of(html.split('<figure class="two">')[1])
    assert first.startswith("test: b 1.mp4 training: f 5.mp4 distance 0.00 (usual); files not compared")
    assert "None stands out from what is usual here." in html  # of three videos nothing is usual


def test_copies_in_a_large_test_set_stand_out(tmp_path):
    rng = np.random.default_rng(0)
    many = rng.normal(size=(80, 8))
    many[7] = many[55] + 1e-6
    known = features(many, splits=["test"] * 40 + ["train"] * 40)
    html = near(record(tmp_path, features=known)).html
    assert "1 test video stands out" in html
    assert text_of(html.split('<figure class="two">')[1]).startswith("test: no class 7.mp4 training: no class 55.mp4")
    assert html.count("(stands out)") == 1
    assert "The nearest 30 of 40" in html


def test_videos_without_a_feature_and_other_splits_are_no_side(tmp_path):
    bad = values()
    bad[0] = np.nan
    test, train = sides_of(record(tmp_path, features=features(bad, splits=["test"] * 2 + ["val"] + ["train"] * 4)))
    assert test.videos == ["1.mp4"]
    assert train.videos == ["3.mp4", "4.mp4", "5.mp4", "6.mp4"]
    val, _ = sides_of(record(tmp_path, features=features(values(), splits=["val"] * 3 + ["train"] * 4)))
    assert val.videos == ["0.mp4", "1.mp4", "2.mp4"]


@pytest.mark.parametrize("splits", [None, ["test"] * 7, ["train"] * 7])
def test_without_two_sides_it_is_said(tmp_path, splits):
    section = near(record(tmp_path, features=features(values(), splits=splits)))
    assert not section.html
    assert "there is nothing to compare" in section.note


def test_without_features_or_of_windows_there_are_no_pairs(tmp_path):
    assert near(record(tmp_path)) is None
    assert sides_of(record(tmp_path, features=features(values(), splits=SPLITS, window=1.0))) is None


def test_files_are_compared_by_their_packets_or_bytes(tmp_path):
    for name, content in (("a", b"1234"), ("b", b"1234"), ("c", b"1235"), ("d", b"12345")):
        (tmp_path / name).write_bytes(content)

    def row(name, **facts):
        return new_row(name, str(tmp_path), "x", **facts)

    assert same_file(row("a"), row("b")) == "the same bytes in both files"
    assert same_file(row("a", bytes=4), row("c", bytes=4)) == "other bytes"
    assert same_file(row("a", bytes=4), row("d", bytes=5)) == "other bytes"
    assert (
        same_file(row("a", content="p"), row("d", content="p")) == "the same pictures in both files, packet by packet"
    )
    assert same_file(row("a", content="p"), row("c", content="q")) == "other bytes"
    assert same_file(row("a", content="p"), row("b")) == "the same bytes in both files"
    assert same_file(row("gone"), row("gone too")).startswith("files not compared")
    assert same_file(None, row("a")).startswith("files not compared")


def test_names_are_escaped(tmp_path):
    known = features(values(), splits=SPLITS, labels=[NASTY] * 7, names=[f"{place}{NASTY}" for place in range(7)])
    html = near(record(tmp_path, features=known)).html
    assert "<img" not in html
    assert "\u202e" not in html


@pytest.mark.parametrize("cut", [{"window": 2}, {"step": 1}])
def test_features_of_windows_are_none_of_videos(tmp_path, cut):
    known = features([[1.0, 0.0], [0.0, 1.0]], splits=["test", "train"])
    assert sides_of(record(tmp_path, features=known)) is not None
    known.made.update(cut)
    found = record(tmp_path, features=known)
    assert sides_of(found) is None
    assert "not of whole videos" in feature_map(found).note
