"""Features in a file: what they are of, whatever the windows, the number of processes, and where it was stopped."""

import json
import os
import re
import shutil

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import rspnet
from rspnet.cli import options
from rspnet.data.augment import normaliser
from rspnet.data.index import write_rows
from rspnet.data.layouts import scan
from rspnet.errors import ConfigError, DiskError, VideoError
from rspnet.evaluation import features
from rspnet.running import shelf as shelves
from rspnet.running import viewing
from rspnet.video.inspection import inspect
from rspnet.video.reader import Video, encode
from stages.extract import Config, main
from tests.support import tiny
from tests.support.ranks import run_ranks

WINDOWS = {"window": "12f", "step": "4f"}


@pytest.fixture
def folder(motions, tmp_path):
    """Six videos, and what is no video."""
    (tmp_path / "videos").mkdir()
    for number, path in enumerate(sorted((motions / "train").rglob("*.mp4"))[::3]):
        shutil.copy(path, tmp_path / "videos" / f"{number}.mp4")
    (tmp_path / "videos" / "2.mp4").write_bytes(b"none")
    return tmp_path / "videos"


def rows(path):
    return pq.read_table(path).to_pylist()


def test_whole_videos_are_those_of_evaluate_to_the_last_bit(tmp_path, motions, finetuned, monkeypatch, capsys):
    from rspnet.evaluation import protocols
    from stages import evaluate

    seen, real = [], protocols.retrieval
    monkeypatch.setitem(protocols.PROTOCOLS, "retrieval", lambda *outputs: seen.extend(outputs) or real(*outputs))
    evaluate.main(tiny.evaluate(motions, tmp_path / "run", finetuned, "retrieval"))
    capsys.readouterr()
    summary = main(tiny.extract(motions, out=tmp_path / "f.parquet", weights=finetuned))
    out, err = capsys.readouterr()
    assert json.loads(out) == {key: value for key, value in summary.items() if key != "exit_status"}
    assert (summary["num_videos"], summary["num_windows"], summary["failed"]) == (23, 23, {})
    assert "23 videos: whole videos, 2 clips each, 8 frames a clip, central crop 48" in err
    found = {row["video"]: row for row in rows(tmp_path / "f.parquet")}
    assert list(found) == [row["video"] for row in scan(motions)]
    compared = 0
    for outputs in seen:
        for place, value in zip(outputs.rows.tolist(), outputs.values):
            known = outputs.index[place]
            row = found[known["video"]]
            assert row["feature"] == value.tolist()
            assert row["label"] == outputs.index.features["label"].int2str(known["label"])
            assert row["split"] == known["split"]
            compared += 1
    assert compared == 23
    facts = {key: row[key] for row in found.values() for key in ("start", "end", "start_frame", "end_frame", "status")}
    assert facts == {"start": 0, "end": 0.96, "start_frame": 0, "end_frame": 24, "status": "ok"}


def test_windows_against_the_obvious_way(tmp_path, motions, finetuned):
    video = next((motions / "test").rglob("*.mp4"))
    main(tiny.extract(video, out=tmp_path / "w.parquet", weights=finetuned, **WINDOWS))
    found = rows(tmp_path / "w.parquet")
    assert [(row["start_frame"], row["end_frame"]) for row in found] == [(0, 12), (4, 16), (8, 20), (12, 24)]
    assert [(row["start"], row["end"]) for row in found] == [(0, 0.48), (0.16, 0.64), (0.32, 0.8), (0.48, 0.96)]
    encoder = rspnet.load_encoder(finetuned)
    for row in found:
        with Video(video) as opened, torch.no_grad():
            crop = (0, (opened.width - 32) // 2, 32, 32)
            starts = (row["start_frame"], row["start_frame"] + 4)  # two clips of 8 frames in 12
            clips = np.stack([opened.read(range(start, start + 8), crop, 48) for start in starts])
            expected = encoder(normaliser(encoder.clip)(torch.from_numpy(clips))).mean(0)
        assert np.allclose(row["feature"], expected, rtol=1e-4, atol=1e-5)


def test_pooling_and_layers(tmp_path, motions, finetuned):
    video = next((motions / "test").rglob("*.mp4"))
    made = {}
    for pooling in ("average", "max", "none"):
        main(tiny.extract(video, out=tmp_path / pooling, weights=finetuned, layer="layer2", pooling=pooling))
        made[pooling] = features.read(str(tmp_path / pooling)).values
    assert made["none"].shape == (1, 32, 2, 6, 6)
    assert np.allclose(made["average"], made["none"].mean((2, 3, 4)), atol=1e-5)
    assert made["max"].shape == (1, 32)
    assert (made["max"] >= made["average"]).all()
    with pytest.raises(ConfigError, match=r"layer: conv9; the stages of this network are relu, layer1"):
        main(tiny.extract(video, out=tmp_path / "x.parquet", weights=finetuned, layer="conv9"))


def test_others_read_it(tmp_path, folder):
    main(tiny.extract(folder, out=tmp_path / "f.parquet", **WINDOWS))
    main(tiny.extract(folder, out=tmp_path / "f", **WINDOWS))
    table = pq.read_table(tmp_path / "f.parquet")
    assert table.column_names == [
        *("video", "label", "split", "start", "end", "start_frame", "end_frame", "status", "feature")
    ]
    made = json.loads(table.schema.metadata[b"rspnet.features"])
    assert made["clip"] == made["clip"] | {"num_frames": 8, "size": 48, "views": 2}
    assert made == made | {"arch": "resnet18", "window": "12f", "step": "4f", "shape": [128], "weights_sha256": None}
    dataset = datasets.load_dataset("parquet", data_files=str(tmp_path / "f.parquet"), cache_dir=str(tmp_path / "hf"))
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(tmp_path / "f.parquet")
    array, index = np.load(tmp_path / "f" / "features.npy"), pq.read_table(tmp_path / "f" / "index.parquet")
    assert index.column_names == table.column_names[:-1]
    assert array.shape == (21, 128)
    assert np.isnan(array[8]).all()
    assert np.isfinite(np.delete(array, 8, axis=0)).all()
    for place, row in enumerate(table.to_pylist()):
        assert dataset["train"][place] == row == frame.row(place, named=True)
        assert row["status"] == ("broken" if row["video"] == "2.mp4" else "ok")
        assert row["feature"] == (None if row["status"] != "ok" else array[place].tolist())
        assert index.slice(place, 1).to_pylist()[0] == {key: row[key] for key in index.column_names}
    for made in ("f.parquet", "f"):
        read = features.read(str(tmp_path / made))
        assert np.array_equal(read.values, array, equal_nan=True)
        assert read.rows.to_pylist() == index.to_pylist()


def test_going_on_after_a_stop_gives_the_same_file(tmp_path, folder, monkeypatch, capsys):
    main(tiny.extract(folder, out=tmp_path / "whole.parquet", **WINDOWS))
    monkeypatch.setattr(shelves, "_SECONDS", -1)
    real, stop_after = viewing.windows, 0

    def stopped(*args):
        for number, window in enumerate(real(*args)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield window

    command = tiny.extract(folder, out=tmp_path / "f.parquet", **WINDOWS)
    for stop_after in (0, 3, 2, 4, 1):  # noqa: B007 - it is read above
        monkeypatch.setattr(viewing, "windows", stopped)
        with pytest.raises(
            KeyboardInterrupt, match=r"kept in .*f\.parquet\.partial; the same command goes on from there"
        ):
            main(command)
        assert not (tmp_path / "f.parquet").exists()
    with pytest.raises(ConfigError, match=r"interrupted run with another step \(4f, now 3f\); give that command again"):
        main(tiny.extract(folder, out=tmp_path / "f.parquet", window="12f", step="3f"))
    monkeypatch.setattr(viewing, "windows", real)
    damaged = sorted((tmp_path / "f.parquet.partial").glob("*.arrow"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    capsys.readouterr()
    main(command)
    err = capsys.readouterr().err
    assert f"{damaged}: is damaged; its windows are computed again" in err
    assert re.search(r"going on after the [1-9] windows in", err)
    assert (tmp_path / "f.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not (tmp_path / "f.parquet.partial").exists()


def test_shares_write_what_one_command_writes(tmp_path, folder, monkeypatch, capsys):
    """In any order, one of them stopped; without a share the rest is done, too."""
    main(tiny.extract(folder, out=tmp_path / "whole.parquet", **WINDOWS))
    whole = (tmp_path / "whole.parquet").read_bytes()
    real, windows = viewing.windows, []

    def stopped(*args):
        yield next(real(*args))
        raise KeyboardInterrupt

    def share(number, out):
        capsys.readouterr()
        summary = main(tiny.extract(folder, out=tmp_path / out, share=number, **WINDOWS))
        windows.append(summary.get("num_windows"))
        return capsys.readouterr()

    monkeypatch.setattr(viewing, "windows", stopped)
    with pytest.raises(KeyboardInterrupt):
        share("2/3", "f.parquet")
    monkeypatch.setattr(viewing, "windows", real)
    out, err = share("3/3", "f.parquet")
    assert json.loads(out)["share"] == "3/3"
    assert "share 3/3 is done; to come: shares 1, 2 of 3" in err
    share("2/3", "f.parquet")
    assert not (tmp_path / "f.parquet").exists()
    share("1/3", "f.parquet")
    assert (tmp_path / "f.parquet").read_bytes() == whole
    assert not (tmp_path / "f.parquet.partial").exists()
    share("2/2", "g.parquet")
    main(tiny.extract(folder, out=tmp_path / "g.parquet", **WINDOWS))
    assert (tmp_path / "g.parquet").read_bytes() == whole
    assert windows == [None, None, 20, None]
    with pytest.raises(ConfigError, match=r"a pipe cannot be shared \(this is share 1/2\)"):
        main(tiny.extract("-", out=tmp_path / "g.parquet", share="1/2"))
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    for name, value in {"ID": "5", "MIN": "5", "MAX": "6"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    assert "share 1/2 is done; to come: share 2/2" in share(None, "h.parquet").err


def _extract(folder, out):
    main(tiny.extract(folder, out=out, **WINDOWS))


def test_two_processes_write_the_same_file(tmp_path, folder):
    main(tiny.extract(folder, out=tmp_path / "one.parquet", **WINDOWS))
    assert run_ranks(tmp_path, _extract, str(folder), str(tmp_path / "two.parquet"), ACCELERATE_USE_CPU="true") == [
        0,
        0,
    ]
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert "could not read" in (tmp_path / "0.err").read_text() + (tmp_path / "1.err").read_text()


def test_a_command_that_was_given_before(tmp_path, folder, capsys):
    (folder / "2.mp4").unlink()
    command = tiny.extract(folder, out=tmp_path / "f.parquet")
    first = main(command)
    before = os.stat(tmp_path / "f.parquet").st_ino
    assert main(command) == first
    assert "was made by the same command before; remove it to make it again" in capsys.readouterr().err
    assert os.stat(tmp_path / "f.parquet").st_ino == before
    main(tiny.extract(folder, out=tmp_path / "f.parquet", pooling="max"))  # replaced: it is another command's
    assert os.stat(tmp_path / "f.parquet").st_ino != before
    assert "f.parquet: was made by another command (pooling differs); it is replaced when" in capsys.readouterr().err
    encode(folder / "2.mp4", np.zeros((24, 32, 32, 3), np.uint8), 25)
    assert main(command)["num_videos"] == 6
    before = rows(tmp_path / "f.parquet")
    encode(folder / "2.mp4", np.full((20, 32, 32, 3), 255, np.uint8), 25)  # another video of this name
    capsys.readouterr()
    main(command)
    assert "f.parquet: was made from other videos, or from files of other sizes; it is" in capsys.readouterr().err
    changed = [row["video"] for row, then in zip(rows(tmp_path / "f.parquet"), before) if row != then]
    assert changed == ["2.mp4"]


@pytest.mark.parametrize("out", ["f.parquet", "f"])
def test_what_could_not_be_read_is_tried_again_and_nothing_else(tmp_path, folder, out, monkeypatch, capsys):
    good = (folder / "3.mp4").read_bytes()
    (folder / "3.mp4").write_bytes(bytes(len(good)))
    command = tiny.extract(folder, out=tmp_path / out, **WINDOWS)
    assert main(command)["failed"] == {"broken": 2}
    (folder / "3.mp4").write_bytes(good)
    read, real = [], viewing.windows
    monkeypatch.setattr(viewing, "windows", lambda *given: (read.append(each) or each for each in real(*given)))
    capsys.readouterr()
    assert main(command)["failed"] == {"broken": 1}
    err = capsys.readouterr().err
    assert f"{out}: lacks videos that could not be read, which are tried again; it is replaced when" in err
    assert "going on after the 16 windows in" in err
    assert {window.row for window in read} == {2, 3}
    main(tiny.extract(folder, out=tmp_path / "g.parquet", **WINDOWS))
    found, whole = (features.read(str(tmp_path / name)) for name in (out, "g.parquet"))
    assert found.rows.to_pylist() == whole.rows.to_pylist()
    assert np.array_equal(found.values, whole.values, equal_nan=True)


def test_what_the_index_calls_bad_is_a_row(tmp_path, folder):
    found = list(scan(folder))
    found[1].update(status="truncated", reason="cut")
    write_rows(found, tmp_path / "i.jsonl")
    (folder / "3.mp4").unlink()
    summary = main(tiny.extract(tmp_path / "i.jsonl", out=tmp_path / "f.parquet"))
    assert [row["status"] for row in rows(tmp_path / "f.parquet")] == [
        "ok",
        "truncated",
        "broken",
        "missing",
        "ok",
        "ok",
    ]
    assert summary["failed"] == {"truncated": 1, "broken": 1, "missing": 1}
    assert summary["exit_status"] == 0


def test_a_window_shorter_than_a_clip(tmp_path, folder, capsys):
    summary = main(tiny.extract(folder, out=tmp_path / "f.parquet", window=0.2))
    assert summary["failed"] == {"short": 5, "broken": 1}
    assert summary["exit_status"] == 1
    assert "a window of 0.2 s is 5 frames, but a clip spans 8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": None}, "--weights: name a run folder"),
        ({"out": None}, "--out: name the .parquet file"),
        ({"out": "f.csv"}, "--out: f.csv; features go into a .parquet file"),
        ({"out": "full"}, "--out: full: holds a.txt, which is not a feature file"),
        ({"out": "file"}, "--out: file is a file"),
        ({"sources": ["nowhere"]}, "nowhere: no such file or folder"),
        ({"data": options.Data(fold=2)}, "data.fold: 2; 0.mp4 has the splits of 1 fold"),
    ],
)
def test_mistakes(tmp_path, folder, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        main(Config(**{"sources": [str(folder)], "weights": "none", "out": "f.parquet"} | changes))
    assert {path.name for path in tmp_path.iterdir()} == {"videos", "full", "file"}


def test_a_second_process_is_refused(tmp_path, folder):
    from rspnet.lock import locked

    (tmp_path / "f.parquet.partial").mkdir()
    (tmp_path / "f.parquet.partial/lock").touch()
    with locked(tmp_path / "f.parquet.partial/lock"), pytest.raises(ConfigError, match="another process is at it"):
        main(tiny.extract(folder, out=tmp_path / "f.parquet"))


def test_a_full_disk(tmp_path, folder, no_file_larger_than):
    with no_file_larger_than(2000), pytest.raises(DiskError, match=r"f\.parquet.*cannot be written"):
        main(tiny.extract(folder, out=tmp_path / "f.parquet", **WINDOWS))
    assert not (tmp_path / "f.parquet").exists()
    main(tiny.extract(folder, out=tmp_path / "f.parquet", **WINDOWS))
    assert len(rows(tmp_path / "f.parquet")) == 21


@pytest.mark.parametrize(
    ("name", "place"),
    [
        *((name, place) for name in ("f.parquet", "f/index.parquet") for place in (0.1, b"num_frames", b"average")),
        *(("f/features.npy", place) for place in (0.1, 0.5, 0.97)),
    ],
)
def test_damage_is_told(tmp_path, folder, name, place):
    """In rows, in values, and in what they were made with; a reader does not look at all that Parquet adds to them."""
    out = name.split("/")[0]
    main(tiny.extract(folder, out=tmp_path / out))
    content = bytearray((tmp_path / name).read_bytes())
    content[content.index(place) + 1 if isinstance(place, bytes) else int(place * len(content))] ^= 64
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match="damaged"):
        features.read(str(tmp_path / out))


@pytest.mark.parametrize("window", [{}, WINDOWS])
def test_an_estimate_looks_at_some_and_writes_nothing(tmp_path, folder, window, capsys):
    """The index tells how long the videos are; a bare folder does not."""
    known = tmp_path / "i.jsonl"
    write_rows([row | inspect(folder / row["video"], "decode") for row in scan(folder)], known)
    result = main(tiny.extract(known, out=tmp_path / "new" / "f.parquet", estimate=True, **window))
    out, told = capsys.readouterr()
    assert json.loads(out) == {key: value for key, value in result.items() if key != "exit_status"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.jsonl", "videos"]
    # five videos of 24 frames; windows of 12, one every 4, or whole
    number = 5 * (1 + (24 - 12) // 4) if window else 5
    assert result == result | {"stage": "extract", "estimate": True, "num_videos": 5, "num_windows": number}
    assert result["seconds"] == pytest.approx(number / result["per_second"], rel=1e-4)
    assert result["disk_bytes"] == 4 * 128 * number
    assert f"all {number}: " in told
    result = main(tiny.extract(folder, out=tmp_path / "f.parquet", estimate=True, **window))
    assert (result["seconds"] is None) == bool(window)


def test_an_estimate_of_nothing_that_can_be_read(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"none")
    with pytest.raises(VideoError, match="nothing of the 1 video could be read"):
        main(tiny.extract(tmp_path / "broken.mp4", out=tmp_path / "f.parquet", estimate=True))
