"""Pages of evaluations of next to nothing: one video, one class, no labels, videos that are gone, names like HTML."""

import numpy as np
import pytest

from rspnet.data.index import new_row
from rspnet.report.page import made_of
from rspnet.report.record import Record
from tests.report.test_page import check
from tests.support.findings import NASTY, features, guess, query, record
from tests.support.run_folders import write_run


def run_of(folder, *, number, labels, names=None, values=None):
    """All that an evaluation leaves, of so many videos, half of them to train on."""
    names = names or [f"{place}.mp4" for place in range(number)]
    splits = ["test" if place % 2 == 0 else "train" for place in range(number)]
    rows = [
        new_row(name, str(folder / "gone"), label, split=split) for name, label, split in zip(names, labels, splits)
    ]
    values = np.random.default_rng(0).normal(size=(number, 8)) if values is None else values
    tested = list(zip(names, labels))[::2]
    lines = [guess(name, label, ("other", 0.9)) for name, label in tested if label is not None]
    near = [query(name, label, (names[-1], labels[-1], 0.5)) for name, label in tested]
    return record(
        folder,
        rows=rows,
        features=features(values, names=names, labels=labels, splits=splits),
        predictions={"knn": lines},
        neighbours=near,
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"number": 1, "labels": [None]},
        {"number": 1, "labels": ["a"]},
        {"number": 2, "labels": ["a", "a"]},
        {"number": 9, "labels": [None] * 9},
        {"number": 9, "labels": ["a"] * 9},
        {"number": 9, "labels": [*"abcabcab", None]},
        {"number": 9, "labels": ["a"] * 9, "values": np.zeros((9, 8))},
        {"number": 9, "labels": ["a"] * 9, "values": np.full((9, 8), np.nan)},
        {"number": 9, "labels": ["a"] * 9, "values": np.arange(9.0)[:, None]},
        {"number": 9, "labels": [NASTY] * 9, "names": [f"{place}{NASTY}" for place in range(9)]},
    ],
    ids=lambda odd: f"{odd['number']} {str(odd['labels'][0])[:4]} {np.ravel(odd.get('values', 'usual'))[:1]}",
)
def test_every_section_has_something_to_say(tmp_path, odd):
    page = made_of([run_of(tmp_path, **odd)])
    assert page.failed == []
    check(page.text)
    assert "Shown without a picture:" in page.text
    assert {"map", "near-duplicates", "unread", "gallery"} <= set(check(page.text).ids)


def test_names_of_runs_and_values_of_options_do_not_turn_text_around(tmp_path):
    runs = []
    for seed in (1, 2):
        said = {"weights": NASTY, "arch": NASTY, "seed": seed}
        folder = write_run(tmp_path / f"{seed}" / NASTY, "finetune", options={"weights": NASTY}, **said)
        (folder / "predictions.jsonl").write_text("{")
        write_run(folder / NASTY, "evaluate")
        runs.append(Record.read(folder))
    for records in (runs[:1], runs):
        page = made_of(records)
        assert page.failed == []
        assert NASTY not in page.text
        assert "\u202e" not in page.text
