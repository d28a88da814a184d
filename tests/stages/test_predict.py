"""Predictions: those of the final test, in the order of the videos, as lines or in a file."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from accelerate.state import AcceleratorState

from rspnet.data.index import read_rows, write_rows
from rspnet.data.layouts import scan
from rspnet.errors import CheckpointError, ConfigError
from rspnet.evaluation.predictions import ranked
from rspnet.running import viewing
from stages.predict import Config, main
from tests.support import published_files, tiny
from tests.support.ranks import run_ranks

KEYS = ["video", "start", "end", "classes", "probabilities", "status"]
WINDOWS = {"window": "12f", "step": "4f"}


@pytest.fixture
def flat(motions, tmp_path):
    """The test videos in one folder without labels, and what is no video."""
    (tmp_path / "flat").mkdir()
    for path in sorted((motions / "test").rglob("*.mp4")):
        shutil.copy(path, tmp_path / "flat" / f"{path.parent.name}_{path.name}")
    (tmp_path / "flat" / "zero.mp4").write_bytes(b"none")
    return tmp_path / "flat"


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_whole_videos_as_the_final_test_has_them(motions, finetuned, capsys):
    summary = main(tiny.predict(motions, weights=finetuned, top=2))
    out, err = capsys.readouterr()
    found = {line["video"]: line for line in lines(out)}
    assert list(found) == [row["video"] for row in scan(motions)]
    assert all(list(line) == KEYS for line in found.values())
    tested = tiny.read_lines(finetuned / "predictions.jsonl")
    for line in tested:
        ours = found[line["video"]]
        assert ours["classes"] == line["predicted"][:2]
        assert ours["probabilities"] == pytest.approx(line["probability"][:2], abs=1e-5)
        assert ours == ours | {"start": 0, "end": 0.96, "status": "ok"}
    right = sum(line["classes"][0] == line["video"].split("/")[-2] for line in found.values())
    assert summary == summary | {"num_predictions": 23, "failed": {}, "num_labelled": 23, "exit_status": 0}
    assert summary["top1"] == round(100 * right / 23, 2)
    trained = sum(row["split"] == "train" for row in scan(motions))
    assert summary["num_labelled_for_training"] == trained > 0
    among = f"top-1 {100 * right / 23:.1f} % of the 23 that have a label among the classes"
    assert f"{among}; {trained} of them are of training videos" in err


def test_a_folder_without_labels(flat, finetuned, capsys):
    summary = main(tiny.predict(flat, weights=finetuned))
    out, err = capsys.readouterr()
    *good, broken = lines(out)
    assert [line["video"] for line in good] == sorted(line["video"] for line in good)
    assert all(sum(line["probabilities"]) == pytest.approx(1, abs=1e-4) for line in good)
    nothing = dict.fromkeys(KEYS[1:5])
    assert broken == {"video": "zero.mp4", **nothing, "status": "broken"}
    assert summary == summary | {"num_predictions": 5, "failed": {"broken": 1}, "num_labelled": 0}
    assert "top1" not in summary
    assert "5 predictions; videos not read, or not to their end: 1 broken" in err
    assert "zero.mp4: cannot be opened as a video" in err


def test_outputs_that_are_not_finite_are_not_written(tmp_path, flat, finetuned, monkeypatch):
    forward = viewing.Forward.__call__
    monkeypatch.setattr(viewing.Forward, "__call__", lambda *args: forward(*args) * torch.nan)
    with pytest.raises(FloatingPointError, match=r"\.mp4: the network's output is NaN or infinite; give other weights"):
        main(tiny.predict(flat, weights=finetuned, out=str(tmp_path / "found.jsonl")))
    assert not (tmp_path / "found.jsonl").exists()


def test_half_precision_is_said(flat, finetuned, capsys, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    AcceleratorState._reset_state()
    try:
        main(tiny.predict(flat, weights=finetuned))
    finally:
        AcceleratorState._reset_state()
    assert "8 frames a clip, central crop 48, in bf16\n" in capsys.readouterr().err


def test_windows_and_files(tmp_path, flat, finetuned, monkeypatch, capsys):
    main(tiny.predict(flat, weights=finetuned, **WINDOWS))
    expected = lines(capsys.readouterr().out)
    assert len(expected) == 21
    assert [line["start"] for line in expected[:4]] == [0, 0.16, 0.32, 0.48]
    real = viewing.windows

    def stopped(*args):
        for number, window in enumerate(real(*args)):
            if number == 7:
                raise KeyboardInterrupt
            yield window

    for name in ("p.jsonl", "p.parquet"):
        command = tiny.predict(flat, weights=finetuned, out=str(tmp_path / name), **WINDOWS)
        monkeypatch.setattr(viewing, "windows", stopped)
        with pytest.raises(KeyboardInterrupt):
            main(command)
        assert not (tmp_path / name).exists()
        monkeypatch.setattr(viewing, "windows", real)
        capsys.readouterr()
        summary = main(command)
        out, err = capsys.readouterr()
        assert lines(out) == [{key: value for key, value in summary.items() if key != "exit_status"}]
        assert "going on after the" in err
    assert lines((tmp_path / "p.jsonl").read_text()) == expected
    table = pq.read_table(tmp_path / "p.parquet")
    assert (table.column_names, table.to_pylist()) == (KEYS, expected)


def test_what_an_index_calls_bad_keeps_its_place(tmp_path, flat, finetuned, capsys):
    rows = list(scan(flat))
    rows[0].update(status="truncated", reason="cut")
    write_rows(rows, tmp_path / "i.jsonl")
    main(tiny.predict(tmp_path / "i.jsonl", weights=finetuned))
    found = lines(capsys.readouterr().out)
    assert [line["status"] for line in found] == ["truncated", *["ok"] * 4, "broken"]
    for said in ("5 videos (not read: 1 truncated): whole", "p.jsonl: exists; it is replaced"):
        main(tiny.predict(tmp_path / "i.jsonl", weights=finetuned, out=str(tmp_path / "p.jsonl")))
        assert lines((tmp_path / "p.jsonl").read_text()) == found
        assert said in capsys.readouterr().err
    assert len(list(read_rows(tmp_path / "i.jsonl"))) == 6


def _predict(folder, weights, out):
    main(tiny.predict(folder, weights=weights, out=out, **WINDOWS))


@pytest.mark.parametrize("out", ["-", "two.jsonl"])
def test_two_processes(tmp_path, flat, finetuned, capsys, out):
    main(tiny.predict(flat, weights=finetuned, **WINDOWS))
    expected = lines(capsys.readouterr().out)
    place = out if out == "-" else str(tmp_path / out)
    assert run_ranks(tmp_path, _predict, str(flat), str(finetuned), place, ACCELERATE_USE_CPU="true") == [0, 0]
    written = (tmp_path / "0.out" if out == "-" else tmp_path / out).read_text()
    assert lines(written) == expected
    assert (tmp_path / "1.out").read_text() == ""


def test_a_published_classifier_goes_by_numbers(tmp_path, motions, capsys):
    published_files.fine_tuned_file(tmp_path / "p.pth.tar", "resnet18")
    encoder = tiny.sizes()["encoder"]
    encoder.width = 8
    video = next(motions.rglob("*.mp4"))
    main(tiny.predict(video, weights=tmp_path / "p.pth.tar", encoder=encoder))
    out, err = capsys.readouterr()
    assert sorted(lines(out)[0]["classes"]) == ["0", "1", "2", "3", "4"]
    assert "does not name its classes; they are numbered from 0" in err


def test_mistakes(tmp_path, flat, pretrained, finetuned):
    with pytest.raises(CheckpointError, match="has no classifier; fine-tune this encoder first"):
        main(tiny.predict(flat, weights=pretrained))
    for weights in (None, "none"):
        with pytest.raises(ConfigError, match="--weights: name a fine-tuned run folder"):
            main(Config([str(flat)], weights))
    with pytest.raises(ConfigError, match=r"--out: p\.csv; predictions go into"):
        main(tiny.predict(flat, weights=finetuned, out="p.csv"))
    (tmp_path / "mine.jsonl").write_text('{"video": "a.mp4"}\n')
    pq.write_table(pq.read_table(finetuned / "index.parquet"), tmp_path / "mine.parquet")
    for name in ("mine.jsonl", "mine.parquet"):
        with pytest.raises(ConfigError, match=f"--out: .*{name} exists and holds no predictions; choose another"):
            main(tiny.predict(flat, weights=finetuned, out=str(tmp_path / name)))
    with pytest.raises(ConfigError, match="top: 0; it must be between 1 and "):
        tiny.predict(flat, weights=finetuned, top=0)
    with pytest.raises(ConfigError, match="--window: 1x; give seconds"):
        tiny.predict(flat, weights=finetuned, window="1x")


def test_classes_are_ranked_by_their_logits():
    """Also where two are so unlikely that their probabilities are the same."""
    ((classes, probabilities),) = ranked(torch.tensor([[-400.0, 0.0, -300.0, 0.0]]), 4)
    assert classes == [1, 3, 2, 0]
    assert probabilities == [0.5, 0.5, 0, 0]
