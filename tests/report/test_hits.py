"""Which test videos are told right; lines that say otherwise than their result."""

import pytest

from rspnet.report.hits import hits
from rspnet.report.record import Record
from tests.support.run_folders import write_lines, write_run


def test_the_first_class_decides():
    said = {"a": ["run", "jump"], "b": ["jump", "run"]}
    lines = [{"video": video, "label": "run", "predicted": classes} for video, classes in said.items()]
    assert hits(lines) == {"a": ("run", True), "b": ("run", False)}


def test_the_nearest_neighbour_decides_a_retrieval():
    near = [{"video": "x", "label": "a", "similarity": 0.9}, {"video": "y", "label": "b", "similarity": 0.8}]
    lines = [{"video": name, "label": name, "neighbours": near} for name in ("a", "b")]
    assert hits(lines) == {"a": ("a", True), "b": ("b", False)}


def test_lines_that_hold_something_else():
    odd = [{"video": 1, "label": "a"}, {"video": "b", "label": None}, {"video": "c", "label": "a", "predicted": []}]
    assert hits([*odd, {"video": "d", "label": "a", "predicted": "a"}, {"video": ["e"], "label": "a"}]) == {}


@pytest.mark.parametrize("protocol", ["knn", "retrieval", "knn,linear"])
def test_lines_of_another_run_than_the_result_are_said_and_left_out(tmp_path, protocol):
    """As where a file was copied, or counts otherwise; where there are other numbers of videos nothing is known."""
    score = {"top1": 33.33, "num_videos": 3, "num_queries": 3, "num_gallery": 9}
    score |= {of: {k: 33.33 for k in ("1", "5", "10", "20", "50")} for of in ("recall", "chance")}
    numbers = {name: score for name in protocol.split(",")} if "," in protocol else score
    folder = write_run(tmp_path / "run", "evaluate", protocol=protocol, **numbers)
    name = protocol.split(",")[0]
    files = {"knn": "predictions.jsonl", "retrieval": "neighbours.jsonl", "knn,linear": "predictions_knn.jsonl"}
    file = folder / files[protocol]
    for right, is_told in ((1, True), (2, False), (3, False)):
        said = [{"video": f"{at}.mp4", "label": "a"} for at in range(3)]
        for at, line in enumerate(said):
            first = "a" if at < right else "b"
            near = {"video": "x.mp4", "label": first, "similarity": 0.5}
            line |= {"neighbours": [near]} if name == "retrieval" else {"predicted": [first]}
        write_lines(file, said)
        record = Record.read(folder)
        assert len(record.lines(name)) == (3 if is_told else 0)
        wrong = f"{100 * right / 3:.2f} % of 3 videos are right by the lines of {name}, 33.33 % by result.json"
        assert [wrong in fault for fault in record.faults] == ([] if is_told else [True]), record.faults
        write_lines(file, said[:2])
        assert len(Record.read(folder).lines(name)) == 2
