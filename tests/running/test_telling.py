"""What a run says first and last."""

import json
from pathlib import Path

import pytest

from rspnet.running.telling import closing, opening

ENCODER, CLIPS = {"name": "c3d", "width": None}, {"num_frames": 16, "size": 112}
PRETRAIN = {"pretext": {"speeds": [2], "motion_weight": 1.0, "appearance_weight": 1.0}, "weights": None}
FINETUNE = {"frozen": False, "weights": "runs/c3d"}
EVALUATE = {"protocol": "knn", "features": None, "weights": "none"}
SHARED = {"encoder": ENCODER, "clips": CLIPS, "data": {"root": "/data/videos", "index": None}}
COLLAPSED = {"event": "epoch", "step": 300, "spread": 0.01, "effective_rank": 1.1, "avid_top1": 0.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SHARED | PRETRAIN, "pretrain: c3d from fresh weights, clips of 16 x 112² of /data/videos; into runs/x"),
        (SHARED | FINETUNE, "finetune: c3d from runs/c3d, clips of 16 x 112² of /data/videos; into runs/x"),
        (
            SHARED | EVALUATE | {"data": {"root": "/v", "index": "a.csv"}, "encoder": {"name": "s3dg", "width": 8}},
            "evaluate knn: s3dg (width 8) from fresh weights, clips of 16 x 112² of a.csv in /v; into runs/x",
        ),
        (SHARED | EVALUATE | {"features": "f.parquet"}, "evaluate knn: features of f.parquet; into runs/x"),
    ],
    ids=["pretrain", "finetune", "evaluate", "features"],
)
def test_what_is_about_to_be_done(options, said):
    assert opening(options, Path("runs/x")) == said


def test_what_was_made_has_its_path(tmp_path):
    for name in ("predictions.jsonl", "confusion.csv", "encoder.safetensors", "metrics.jsonl", "config.yaml"):
        (tmp_path / name).write_text("")
    expected = [
        f"network: {tmp_path}/encoder.safetensors",
        f"test: {tmp_path}/predictions.jsonl, {tmp_path}/confusion.csv",
        f"curves: {tmp_path}/metrics.jsonl",
    ]
    assert closing(SHARED | FINETUNE, tmp_path) == expected
    (tmp_path / "report.html").write_text("")
    (tmp_path / "tensorboard").mkdir()
    lines = closing(SHARED | FINETUNE, tmp_path)
    assert (lines[0], lines[-1]) == (f"report: {tmp_path}/report.html", f"{expected[-1]}, {tmp_path}/tensorboard")


@pytest.mark.parametrize("rest", ["", "[1]\n", "{cut off", "null\n"], ids=["whole", "list", "cut", "null"])
def test_what_is_wrong_with_a_pretraining_is_said(tmp_path, rest):
    (tmp_path / "metrics.jsonl").write_text(json.dumps(COLLAPSED) + "\n" + rest)
    lines = closing(SHARED | PRETRAIN, tmp_path)
    assert lines[0].startswith("look: the embeddings have collapsed (spread 0.01 of 1, effective rank 1.1)")
    assert max(map(len, lines[:-1])) <= 100
    assert not any(line.startswith("look") for line in closing(SHARED | FINETUNE, tmp_path))


def test_a_folder_without_a_log_has_nothing_wrong(tmp_path):
    assert closing(SHARED | PRETRAIN, tmp_path) == []
