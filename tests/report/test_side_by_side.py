"""What runs found, each in a column."""

import re

from rspnet.report.record import Record
from rspnet.report.side_by_side import classes, findings
from tests.support.findings import guess, text_of, write_features
from tests.support.run_folders import course, write_lines, write_run

CONTROL = {"top1": 69.0, "interval": {"top1": [58.0, 79.0]}, "difference": 28.0, "difference_interval": [15.0, 40.0]}
SPEED = {"top1": 97.0, "interval": {"top1": [92.0, 100.0]}, "interval_over": "videos", "chance_top1": 50.0}
SPEED |= {"controls": {"shuffled": CONTROL, "still": CONTROL}, "num_videos": 100, "left_out": 0}
FRESH = {"top1": 98.0, "difference": {"top1": -1.0}, "difference_interval": {"top1": [-7.0, 4.0]}}


def rows_of(html):
    """Of the tables of a section: the first cell of each row, and the others."""
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', str(html))
    return {name: [text_of(cell) for cell in re.findall(r"<td.*?>(.*?)</td>", cells)] for name, cells in rows}


def test_every_number_with_its_controls(tmp_path):
    one = write_run(tmp_path / "one", "evaluate", protocol="speed", **SPEED, random=FRESH)
    two = write_run(tmp_path / "two", "evaluate", protocol="speed", **SPEED | {"top1": 61.0})
    three = write_run(tmp_path / "three", "pretrain", metrics=course("pretrain"))
    write_features(two / "features.parquet", [[1.0, 2.0]] * 30, splits=["test"] * 20 + ["train"] * 10)
    section = findings([Record.read(folder) for folder in (one, two, three)])
    rows = rows_of(section.html)
    assert rows["speed probe: accuracy"] == ["97.0 [92.0, 100.0]", "61.0 [92.0, 100.0]", ""]
    assert rows["speed probe: accuracy, frames shuffled"] == ["69.0 [58.0, 79.0]"] * 2 + [""]
    assert rows["speed probe: accuracy, ahead of fresh weights by"] == ["-1.0 [-7.0, +4.0]", "", ""]
    assert rows["test videos next to a training video (number)"] == ["", "0 of 20", ""]
    assert rows["last epoch: RSP accuracy"] == ["", "", "81.0"]
    assert rows["spread of the embeddings"] == ["", "", "0.700"]
    assert "one 97.0 % accuracy, speed probe. Not shown to differ from fresh weights" in text_of(section.html)
    assert "not measured on the same videos" not in section.html


def test_numbers_of_other_videos_do_not_compare(tmp_path):
    """Of each protocol the first number stands there, the others are folded away."""
    top = {"top1": 60.0, "top5": 90.0, "interval": {"top1": [50.0, 70.0], "top5": [85.0, 95.0]}}
    folders = [write_run(tmp_path / f, "evaluate", protocol="knn", **top, data_fingerprint=f) for f in ("one", "two")]
    section = findings([Record.read(folder) for folder in folders])
    assert "They were not measured on the same videos" in section.html
    shown, folded = section.html.split("<details>")
    assert "kNN probe: top-1" in shown
    assert "kNN probe: top-5" not in shown
    assert "kNN probe: top-5" in folded


def test_of_nothing_nothing_is_made_up(tmp_path):
    records = [Record.read(write_run(tmp_path / name, "finetune", result=None)) for name in ("one", "two")]
    section = findings(records)
    assert section.note == "No number in any of them."
    assert text_of(section.html).count("Not finished") == 2
    assert classes(records) is None


def other(folder):
    """A run of other classes."""
    write_lines(write_run(folder, "evaluate", protocol="knn") / "predictions.jsonl", [guess("0", "z", ("z", 0.9))])
    return Record.read(folder)


def test_classes_that_differ_most_come_first(tmp_path):
    said = {"one": "aabb", "two": "aaab"}
    records = []
    for name, taken in said.items():
        folder = write_run(tmp_path / name, "evaluate", protocol="knn")
        lines = [guess(f"{place}", label, (each, 0.9)) for place, (label, each) in enumerate(zip("aabb", taken))]
        write_lines(folder / "predictions.jsonl", lines)
        records.append(Record.read(folder))
    assert classes(records[:1]) is None
    assert classes([records[0], other(tmp_path / "other")]) is None
    rows = rows_of(classes(records).html)
    assert list(rows) == ["b", "a"]
    assert [cells[0].split()[0] for cells in rows.values()] == ["100.0", "100.0"]
    assert (rows["b"][1].split()[0], rows["b"][2], rows["a"][2]) == ("50.0", "50.0", "0.0")
