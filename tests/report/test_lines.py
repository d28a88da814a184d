"""What is taken from an evaluation's lines, and what is left out."""

from rspnet.report.gallery import gallery
from rspnet.report.hits import hits
from rspnet.report.lines import Guess, judged, queries
from tests.support.findings import guess, query, record, text_of

GOOD = guess("1.mp4", "run", ("walk", 0.75), ("run", 0.25))


def of(tmp_path, **facts):
    return judged(record(tmp_path, **facts))


def test_a_classifier_is_asked_before_a_probe_and_a_probe_before_neighbours(tmp_path):
    near = [query("1.mp4", "run", ("9.mp4", "run", 0.9), ("8.mp4", "walk", 0.8))]
    by = {name: [GOOD] for name in ("knn", "linear", "classify")}
    assert of(tmp_path, predictions=by, neighbours=near).by == "the classifier"
    del by["classify"]
    assert of(tmp_path, predictions=by, neighbours=near).by == "the linear probe"
    del by["linear"]
    assert of(tmp_path, predictions=by).guesses == [Guess("1.mp4", "run", ("walk", "run"), (0.75, 0.25))]
    found = of(tmp_path, neighbours=near)
    assert found.guesses == [Guess("1.mp4", "run", ("run",))]
    assert found.guesses[0].is_right
    assert of(tmp_path) is None


def test_the_neighbour_that_counts_is_of_another_film(tmp_path):
    """As in the recall: where there is no split the nearest ones are of the video's own film."""
    near = query("1.mp4", "run", ("2.mp4", "run", 0.9), ("8.mp4", "walk", 0.8))
    elsewhere = {"video": "8.mp4", "label": "walk", "similarity": 0.8}
    lines = [near | {"nearest_of_another_film": other} for other in (elsewhere, None)]
    assert of(tmp_path, neighbours=lines).guesses == [Guess("1.mp4", "run", ("walk",))]
    assert "Of all 2, 0 have a video of their own class nearest among those of other films (0.0 %)." in text_of(
        gallery(record(tmp_path, neighbours=lines)).html
    )
    assert hits(record(tmp_path, neighbours=lines[:1]).neighbours) == {"1.mp4": ("run", False)}
    assert hits(record(tmp_path, neighbours=lines[1:]).neighbours) == {"1.mp4": ("run", False)}
    assert hits(record(tmp_path, neighbours=[near]).neighbours) == {"1.mp4": ("run", True)}


def test_videos_without_a_class_are_no_mistakes(tmp_path):
    nameless = guess("2.mp4", None, ("walk", 1.0))
    assert of(tmp_path, predictions={"classify": [nameless]}) is None
    assert [each.video for each in of(tmp_path, predictions={"classify": [nameless, GOOD]}).guesses] == ["1.mp4"]
    assert of(tmp_path, neighbours=[query("1.mp4", None, ("2.mp4", None, 0.5))]) is None
    some = [query("1.mp4", "run", ("3.mp4", "run", 0.5)), query("2.mp4", "run", ("4.mp4", None, 0.5))]
    assert of(tmp_path, neighbours=some) is not None
    assert of(tmp_path, neighbours=[*some, query("4.mp4", None, ("2.mp4", "run", 0.5))]) is None


def test_lines_that_say_something_else_are_left_out(tmp_path):
    bad = [
        {"video": "1.mp4"},
        GOOD | {"video": 7},
        GOOD | {"label": ["run"]},
        GOOD | {"predicted": []},
        GOOD | {"predicted": "walk"},
        GOOD | {"predicted": ["walk", None]},
        GOOD | {"probability": [0.5]},
        GOOD | {"probability": [float("nan"), 0.1]},
        GOOD | {"probability": [True, 0.1]},
        GOOD | {"probability": [1.5, 0.1]},
    ]
    assert of(tmp_path, predictions={"classify": bad}) is None
    assert len(of(tmp_path, predictions={"classify": [*bad, GOOD]}).guesses) == 1
    near = query("1.mp4", "run", ("2.mp4", "run", 0.5))
    worse = [near | {"neighbours": value} for value in ([], None, ["2.mp4"], [{"video": "2.mp4", "label": None}])]
    worse.append(query("1.mp4", "run", ("2.mp4", "run", float("inf"))))
    assert [each.video for each in queries(record(tmp_path, neighbours=[*worse, near]))] == ["1.mp4"]
