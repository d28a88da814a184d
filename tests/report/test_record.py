"""What a run's folder holds, and what is said of what cannot be read."""

import os

import pyarrow as pa
import pytest

from rspnet.errors import ConfigError
from rspnet.evaluation import features
from rspnet.report.record import Record
from tests.support.run_folders import SOURCES, course, write_lines, write_run

NAMES = ("config.yaml", "result.json", "environment.json", "metrics.jsonl", "index.parquet", "predictions.jsonl")


def test_what_a_whole_run_tells(tmp_path):
    folder = write_run(tmp_path / "f", "finetune")
    write_lines(folder / "predictions.jsonl", [{"video": "a\u2028b.mp4", "label": "down"}])  # one line, for JSON
    record = Record.read(folder)
    assert (record.name, record.stage, record.faults) == ("f", "finetune", ())
    assert (record.config["optim"]["lr"], record.environment["sources"]) == (0.1, SOURCES)
    assert record.metrics == course("finetune")
    assert len(record.index) == 30
    assert record.scores["classify"]["top1"] == 60
    assert record.predictions == {"classify": [{"video": "a\u2028b.mp4", "label": "down"}]}
    assert (record.neighbours, record.features) == ([], None)


def test_protocols_of_one_pass(tmp_path):
    knn = {"top1": 20.0, "top5": 90.0, "num_videos": 5, "chance_top1": 10.0}
    folder = write_run(tmp_path / "e", "evaluate", protocol="knn, linear", knn=knn, linear=knn | {"top1": 30.0})
    write_lines(folder / "predictions_knn.jsonl", [{"video": "a"}])
    write_lines(folder / "neighbours_retrieval.jsonl", [{"video": "b"}])
    record = Record.read(folder)
    assert {name: score["top1"] for name, score in record.scores.items()} == {"knn": 20, "linear": 30}
    assert (record.predictions, record.neighbours) == ({"knn": [{"video": "a"}]}, [{"video": "b"}])


def test_a_run_that_is_not_finished(tmp_path):
    record = Record.read(write_run(tmp_path / "p", "pretrain", result=None))
    assert (record.result, record.scores, record.stage, record.faults) == (None, {}, "pretrain", ())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", [b"\x00\xff{", b"[1, 2]", b"[" * 100_000, "folder", "pipe"], ids=range(5))
def test_what_cannot_be_read_is_said_and_left_out(tmp_path, name, damage):
    folder = write_run(tmp_path / "f", "finetune")
    path = folder / name
    path.unlink(missing_ok=True)
    if damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(damage)
    record = Record.read(folder)
    assert record.stage == "finetune"
    (fault,) = record.faults
    assert str(path) in fault
    assert "\n" not in fault


def test_no_run_at_all(tmp_path):
    with pytest.raises(ConfigError, match="nowhere: no such folder; name the folder of a run"):
        Record.read(tmp_path / "nowhere")
    (tmp_path / "config.yaml").write_text("color: red\n")  # somebody else's
    (tmp_path / "result.json").write_text('{"accuracy": 1}')
    said = r"is not the folder of a run \(\S+result.json: is no result of a run \(it lacks stage\)\); name"
    with pytest.raises(ConfigError, match=f"{said} that of a pretraining, fine-tuning or evaluation"):
        Record.read(tmp_path)


def test_features_that_are_named_must_be_there(tmp_path):
    folder = write_run(tmp_path / "e", "evaluate")
    with pytest.raises(ConfigError, match="no such features"):
        Record.read(folder, features=str(tmp_path / "none.parquet"))


@pytest.mark.parametrize("out", ["f.parquet", "f"])
def test_features_that_an_evaluation_measured_are_shown(tmp_path, out):
    """They stay where they are; what has become another file since is said and left out."""
    path = str(tmp_path / out)
    named = {name: [None] for name in features.SCHEMA.names} | {"video": ["a"], "feature": [[1.0]], "status": ["ok"]}
    features.write(path, [pa.table(named, features.SCHEMA)], {"shape": [1]}, shape=(1,))
    then = {"options": {"features": path}, "features_sha256": features.sha256_of(path)}
    found = Record.read(write_run(tmp_path / "same", "evaluate", **then))
    assert (found.features.values.tolist(), found.faults) == ([[1.0]], ())
    found = Record.read(write_run(tmp_path / "other", "evaluate", **then | {"features_sha256": "0"}))
    said = f"{path}: has changed since it was measured; it is left out here"
    assert (found.features, found.faults) == (None, (said,))
    gone = then | {"options": {"features": str(tmp_path / "gone")}}
    assert Record.read(write_run(tmp_path / "gone_from", "evaluate", **gone)).features is None
